"""Speech from before we were there: a client that records while nobody listens sends it when an agent joins.

The recording ends when the client sees that its track is listened to, and the track itself begins a little earlier, so
that the same words are at the end of the one and at the beginning of the other. They are found there by their sound,
and heard once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import numpy as np

from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.model.clock import outside
from workbench.model.errors import StageError, foreign
from workbench.model.events import Notice, RoomMessage
from workbench.model.text import plain
from workbench.trace.trace import Trace
from workbench.transports.livekit.webm import decoded
from workbench.transports.resample import Resampler, to_samples, to_wave

TOPIC = "lk.agent.pre-connect-audio-buffer"
FEATURE = 6
"""`AudioTrackFeature.TF_PRECONNECT_BUFFER` of LiveKit's protocol: a client recorded before its track was heard."""
BEGIN_S, READ_S = 2.0, 5.0
"""How long its beginning is waited for once the track is there, and then its end, s; the track waits meanwhile."""
MOST_BYTES = 4_000_000
LONGEST_S = 20.0
"""Of what was said before, the last seconds are heard, s; clients record 10."""
MOST_OPEN, MOST_OF_ONE = 16, 2
"""Recordings that wait for their track, of all and of one participant."""
PROBE, PROBES, TAIL = INPUT_RATE // 8, 8, INPUT_RATE * 4
"""How much of the track's beginning is searched in how much of the recording's end, samples, and how often: WebRTC
stretches sound while its buffer finds its size."""
ALIKE = 0.6
"""Correlation from which two stretches are the same sound: what was encoded twice is at 0.8 or more."""
AUDIBLE = 100.0
"""Level under which there is nothing to be found, PCM16."""


class PreConnectBuffer:
    """Takes what clients recorded, by track."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._begun: dict[tuple[str, str], tuple[Any, asyncio.TimerHandle]] = {}
        """Recordings that nobody has fetched, and the end of the wait: the SDK keeps what comes of them."""
        self._over: set[str] = set()
        """Tracks whose past is known, or came too late."""
        self._come = asyncio.Event()

    def wire(self, room: Any) -> None:
        """Before it connects."""
        for key in [*self._begun]:
            self._drop(key)  # of another connection: nothing more comes of them
        room.register_byte_stream_handler(TOPIC, lambda reader, sender: self._begins(room, reader, sender))

    def expects(self, publication: Any) -> bool:
        """Whether speech from before comes with this track; once."""
        return (
            publication is not None
            and FEATURE in publication.audio_features
            and publication.sid not in self._over
        )

    async def speech(self, identity: str, sid: str) -> Samples:
        """What was said before that track was listened to, at the engine's rate; nothing where nothing came in time."""
        key = (identity, sid)
        with suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_S):
                while key not in self._begun:
                    self._come.clear()
                    await self._come.wait()
        begun = self._begun.pop(key, None)
        self._over.add(sid)
        if begun is None:
            return silence(0)
        reader, timer = begun
        timer.cancel()
        try:
            with foreign("a recording of what was said before we were there", "source"), outside():
                async with asyncio.timeout(READ_S):
                    data = b"".join([bytes(piece) async for piece in _bounded(reader)])
                samples = await asyncio.get_running_loop().run_in_executor(None, _samples, reader.info, data)
                self._tell(identity, reader.info, samples, len(data))
                return samples
        except StageError as error:
            self._trace.emit(Notice("warning", "room", error.reason, "what is said from now on is heard"))
            return silence(0)
        finally:
            reader.close()

    def _begins(self, room: Any, reader: Any, sender: str) -> None:
        """Only with a track of theirs; what the room says of a new one may come later than the recording."""
        sid = (reader.info.attributes or {}).get("trackId", "")
        one = room.remote_participants.get(sender)
        publication = one.track_publications.get(sid) if one is not None else None
        most = len(self._begun) >= MOST_OPEN or sum(who == sender for who, _ in self._begun) >= MOST_OF_ONE
        told = (sender, sid) in self._begun or sid in self._over
        if most or told or not (publication is None or self.expects(publication)):
            reader.close()
            return
        timer = asyncio.get_running_loop().call_later(READ_S, self._drop, (sender, sid))
        self._begun[sender, sid] = reader, timer
        self._come.set()

    def _drop(self, key: tuple[str, str]) -> None:
        """Nobody fetches it."""
        reader, timer = self._begun.pop(key)
        timer.cancel()
        reader.close()

    def _tell(self, identity: str, info: Any, samples: Samples, size: int) -> None:
        who, kind = plain(identity, 100, one_line=True), plain(info.mime_type or "", 60, one_line=True)
        said = f"{len(samples) / INPUT_RATE:.1f} s from before we were there ({kind})"
        self._trace.emit(RoomMessage("bytes", who, TOPIC, said, size))
        if not len(samples) and size:
            reason = f"what {who} said before we were there cannot be decoded: {kind}"
            self._trace.emit(Notice("warning", "room", reason))


async def _bounded(reader: Any) -> Any:
    size = 0
    async for piece in reader:
        size += len(piece)
        if size > MOST_BYTES:
            return
        yield piece


def _samples(info: Any, data: bytes) -> Samples:
    """Browsers send WebM, other clients PCM16; the attributes are the sender's word."""
    attributes = info.attributes or {}
    if data.startswith(b"\x1aE\xdf\xa3"):
        sound, rate = decoded(data)
    elif (info.mime_type or "").partition("/")[0] == "video" or data[4:8] == b"ftyp":
        return silence(0)  # MP4 of iOS: nothing here decodes AAC
    else:
        rate, channels = int(attributes.get("sampleRate", "")), int(attributes.get("channels", "1"))
        if not (8_000 <= rate <= 96_000 and 1 <= channels <= 8):
            raise ValueError("no rate or number of channels that there is")
        whole = len(data) // (2 * channels) * channels
        sound = np.frombuffer(data, "<i2", whole).reshape(-1, channels)[-round(LONGEST_S * rate) :]
        sound = sound.mean(axis=1).astype(np.int16)
    resample = Resampler(rate, INPUT_RATE)
    sound = to_samples(np.concatenate((resample(to_wave(sound)), resample.flush())))
    return sound[-round(LONGEST_S * INPUT_RATE) :]


def join_overlapping(before: Samples, live: Samples) -> Samples:
    """Both, with what is at the end of `before` and at the beginning of `live` once."""
    found = _overlap(before, live)
    return np.concatenate((before if found is None else before[:found], live))


def _overlap(before: Samples, live: Samples) -> int | None:
    """Where in `before` the beginning of `live` is; None where it is not, or is silent."""
    first = max(0, len(before) - TAIL)
    tail = before[first:].astype(np.float64)
    if len(tail) < PROBE:
        return None
    size = 1 << (len(tail) + PROBE).bit_length()
    spectrum = np.fft.rfft(tail, size)
    sums = np.concatenate(([0.0], np.cumsum(tail**2)))
    levels = np.sqrt(np.maximum(sums[PROBE:] - sums[:-PROBE], PROBE * AUDIBLE**2))
    best, where = ALIKE, None
    for start in range(0, len(live) - PROBE + 1, PROBE)[:PROBES]:
        probe = live[start : start + PROBE].astype(np.float64)
        level = float(np.sqrt(np.sum(probe**2)))
        if level < np.sqrt(PROBE) * AUDIBLE:
            continue
        product = np.fft.irfft(spectrum * np.conj(np.fft.rfft(probe, size)), size)[: len(levels)]
        alike = product / (levels * level)
        if (likeness := float(alike.max())) > best:
            best, where = likeness, max(0, first + int(alike.argmax()) - start)
    return where
