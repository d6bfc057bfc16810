"""A stand-in for a session, in a process of its own: microphone and speaker without an engine.

It answers each tone that it hears with one, and tells everything as lines of JSON on standard output, until its
standard input ends.

    python -m tests.sound.standin [INPUT] [OUTPUT]
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import numpy as np

from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.errors import WorkbenchError
from workbench.model.events import type_name
from workbench.trace.trace import Trace
from workbench.transports.local.microphone import Microphone
from workbench.transports.local.speaker import Speaker

LOUD = 2_000
QUIET_S = 0.3
ANSWER: Samples = (9000 * np.cos(2 * np.pi * 1000 * np.arange(OUTPUT_RATE // 10) / OUTPUT_RATE)).astype(
    np.int16
)


def tell(kind: str, /, **what: Any) -> None:
    """A line on standard output."""
    print(json.dumps({"type": kind, **what}), flush=True)


class AnswerTrack:
    """Plays an answer when asked, silence otherwise; knows where on the track each answer began."""

    def __init__(self) -> None:
        self.position = 0
        self.began: list[int] = []
        self._left = silence(0)
        self._asked = False

    def answer(self) -> None:
        """Speak at the next pull."""
        self._asked = True

    def pull(self, count: int) -> Samples:
        """The next samples of the track; called in the device's thread."""
        if self._asked:
            self._asked = False
            self._left = ANSWER
            self.began.append(self.position)
        out = silence(count)
        part, self._left = self._left[:count], self._left[count:]
        out[: len(part)] = part
        self.position += count
        return out


async def listen(microphone: Microphone, mouth: AnswerTrack, heard: list[int]) -> None:
    """Answer each tone as soon as it is heard."""
    quiet, end = 0, 0
    async for frame in microphone.frames():
        if frame.position != end:
            tell("gap", at=end, upto=frame.position)
        end = frame.end
        loud = np.flatnonzero(np.abs(frame.samples.astype(np.int32)) > LOUD)
        if len(loud) and quiet > QUIET_S * frame.rate:
            heard.append(frame.position + int(loud[0]))
            mouth.answer()
        quiet = 0 if len(loud) else quiet + len(frame.samples)


async def tell_events(trace: Trace) -> None:
    """Every event, as it comes."""
    async for entry in trace.follow():
        tell(type_name(type(entry.event)), **dataclasses.asdict(entry.event))


async def standard_input_ended() -> None:
    """Wait until whoever started us has had enough."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def main(wanted: list[str | None]) -> int:
    """Until the end of standard input, or an error."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    trace = Trace(lambda: (loop.time() - start) * 1000)
    mouth, heard = AnswerTrack(), list[int]()
    ended, failed = time.monotonic(), False
    try:
        async with AsyncExitStack() as stack:
            microphone = await stack.enter_async_context(Microphone(wanted[0], trace))
            speaker = await stack.enter_async_context(Speaker(wanted[1], trace))
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(tell_events(trace)),
                    tasks.create_task(speaker.play(mouth.pull)),
                    tasks.create_task(listen(microphone, mouth, heard)),
                ]
                tell("ready")
                await standard_input_ended()
                for n, (question, answer) in enumerate(zip(heard, mouth.began, strict=False)):
                    latency = speaker.time_of(answer) - microphone.time_of(question)
                    tell("answered", n=n, latency_ms=latency * 1000)
                for task in running:
                    task.cancel()
            ended = time.monotonic()
    except* WorkbenchError as errors:
        for error in errors.exceptions:
            if isinstance(error, WorkbenchError):
                tell("error", kind=type(error).__name__, reason=error.reason, hint=error.hint)
        failed = True
    tell("left", after_s=time.monotonic() - ended)
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main([*sys.argv[1:], None, None])))
