"""The ends of a session, recorded: frames that come, pulls of the sink, and when their samples are at the user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from workbench.engine.interfaces import Pull, Sink, Source, Transit
from workbench.engine.reply import Vision
from workbench.model.audio import Frame, Samples
from workbench.model.conversation import Picture
from workbench.trace.cassette import CassetteLog
from workbench.trace.recorded_errors import error_row


class RecordedSource(Source):
    """A source whose frames are recorded: when each came, and where it is on `user`."""

    def __init__(self, source: Source, log: CassetteLog) -> None:
        self._inner, self._log = source, log
        self.name = source.name

    async def frames(self) -> AsyncIterator[Frame]:
        """See `Source`."""
        log, inner = self._log, self._inner
        try:
            async for frame in inner.frames():
                self.name = inner.name
                position = frame.position
                spoken = inner.time_of(position) - log.origin
                log.frames.append((log.now(), spoken, position, len(frame.samples), log.counted()))
                yield frame
        except Exception as error:
            log.put("shut", side="source", error=error_row(error))
            raise
        log.put("shut", side="source")

    def time_of(self, sample: int) -> float:
        """See `Source`."""
        return self._inner.time_of(sample)

    def transit(self, sample: int) -> Transit:
        """See `Source`."""
        return _noted(self._log, "source", sample, self._inner.transit(sample))


class RecordedSink(Sink):
    """A sink whose pulls are recorded: when each was made, and when its samples leave the speaker."""

    def __init__(self, sink: Sink, log: CassetteLog) -> None:
        self._inner, self._log = sink, log
        self._position = 0
        self._waking = False
        self._wakes = 0
        self._was_disconnected = False
        self.name = sink.name

    @property
    def disconnected(self) -> bool:  # type: ignore[override]  # the sink's own
        """See `Sink`."""
        disconnected = self._inner.disconnected
        if disconnected != self._was_disconnected:
            self._was_disconnected = disconnected
            self._log.put("disconnected", on=disconnected)
        return disconnected

    async def play(self, pull: Pull) -> None:
        """See `Sink`."""
        log, inner = self._log, self._inner

        def noted(count: int) -> Samples:
            t, i = log.now(), log.counted()
            samples = pull(count)
            leaves = inner.time_of(self._position) - log.origin
            log.pulls.append((t, leaves, count, self._waking, self._wakes, i))
            self._position += count
            return samples

        try:
            await inner.play(noted)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.put("shut", side="sink", error=error_row(error))
            raise
        log.put("shut", side="sink")

    def wake(self) -> None:
        """See `Sink`."""
        self._waking = True
        self._wakes += 1
        self._inner.wake()
        self._waking = False

    def time_of(self, sample: int) -> float:
        """See `Sink`."""
        return self._inner.time_of(sample)

    def transit(self, sample: int) -> Transit:
        """See `Sink`."""
        return _noted(self._log, "sink", sample, self._inner.transit(sample))


def _noted(log: CassetteLog, side: str, sample: int, parts: Transit) -> Transit:
    parts = list(parts)
    log.put("transit", side=side, sample=sample, parts=[[part, until - log.origin] for part, until in parts])
    return parts


class RecordedVision:
    """What the user shows, as far as the model is sent it."""

    def __init__(self, vision: Vision, log: CassetteLog) -> None:
        self._inner, self._log = vision, log

    async def look(self, reply: int) -> tuple[Picture, ...]:
        """See `Vision`."""
        began = self._log.now()
        pictures = await self._inner.look(reply)
        if pictures:
            rows: list[Any] = [[len(each.jpeg), each.width, each.height, each.file] for each in pictures]
            data = b"".join(each.jpeg for each in pictures)
            self._log.put("pictures", data, began=began, pictures=rows)
        return pictures
