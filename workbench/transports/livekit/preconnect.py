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
from workbench.transports.livekit.webm import decode_webm
from workbench.transports.resample import Resampler, to_samples, to_wave

TOPIC = "lk.agent.pre-connect-audio-buffer"
FEATURE = 6
"""`AudioTrackFeature.TF_PRECONNECT_BUFFER` of LiveKit's protocol: a client recorded before its track was heard."""
BEGIN_S, READ_S = 2.0, 5.0
"""How long a recording may take to begin once its track is there, and then to end, s; the track waits meanwhile."""
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
    """Receives what clients recorded, by track."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._open: dict[tuple[str, str], tuple[Any, asyncio.TimerHandle]] = {}
        """Streams that nobody has read, and the end of the wait: the SDK keeps what comes of them."""
        self._finished: set[str] = set()
        """Tracks whose past is known, or came too late."""
        self._opened = asyncio.Event()

    def wire(self, room: Any) -> None:
        """Before it connects."""
        for key in [*self._open]:
            self._drop(key)  # of another connection: nothing more comes of them
        room.register_byte_stream_handler(TOPIC, lambda reader, sender: self._on_stream(room, reader, sender))

    def expects(self, publication: Any) -> bool:
        """Return whether a recording comes with this track; once."""
        return (
            publication is not None
            and FEATURE in publication.audio_features
            and publication.sid not in self._finished
        )

    async def speech(self, identity: str, sid: str) -> Samples:
        """Return what was said before that track was subscribed to, at 16 kHz; nothing where nothing came in time."""
        key = (identity, sid)
        with suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_S):
                while key not in self._open:
                    self._opened.clear()
                    await self._opened.wait()
        stream = self._open.pop(key, None)
        self._finished.add(sid)
        if stream is None:
            return silence(0)
        reader, timer = stream
        timer.cancel()
        try:
            with foreign("a recording of what was said before we were there", "source"), outside():
                async with asyncio.timeout(READ_S):
                    data = b"".join([bytes(piece) async for piece in _bounded(reader)])
                samples = await asyncio.get_running_loop().run_in_executor(None, _samples, reader.info, data)
                self._report(identity, reader.info, samples, len(data))
                return samples
        except StageError as error:
            self._trace.emit(Notice("warning", "room", error.reason, "what is said from now on is heard"))
            return silence(0)
        finally:
            reader.close()

    def _on_stream(self, room: Any, reader: Any, sender: str) -> None:
        """Accept it with a track of theirs only; what the room says of a new one may come later than the recording."""
        sid = (reader.info.attributes or {}).get("trackId", "")
        participant = room.remote_participants.get(sender)
        publication = participant.track_publications.get(sid) if participant is not None else None
        most = (
            len(self._open) >= MOST_OPEN
            or sum(identity == sender for identity, _ in self._open) >= MOST_OF_ONE
        )
        duplicate = (sender, sid) in self._open or sid in self._finished
        if most or duplicate or not (publication is None or self.expects(publication)):
            reader.close()
            return
        timer = asyncio.get_running_loop().call_later(READ_S, self._drop, (sender, sid))
        self._open[sender, sid] = reader, timer
        self._opened.set()

    def _drop(self, key: tuple[str, str]) -> None:
        """Close a stream that nobody reads."""
        reader, timer = self._open.pop(key)
        timer.cancel()
        reader.close()

    def _report(self, identity: str, info: Any, samples: Samples, size: int) -> None:
        name, kind = plain(identity, 100, one_line=True), plain(info.mime_type or "", 60, one_line=True)
        text = f"{len(samples) / INPUT_RATE:.1f} s from before we were there ({kind})"
        self._trace.emit(RoomMessage("bytes", name, TOPIC, text, size))
        if not len(samples) and size:
            reason = f"what {name} said before we were there cannot be decode_webm: {kind}"
            self._trace.emit(Notice("warning", "room", reason))


async def _bounded(reader: Any) -> Any:
    size = 0
    async for piece in reader:
        size += len(piece)
        if size > MOST_BYTES:
            return
        yield piece


def _samples(info: Any, data: bytes) -> Samples:
    """Decode it: browsers send WebM, other clients PCM16; the attributes are the sender's word."""
    attributes = info.attributes or {}
    if data.startswith(b"\x1aE\xdf\xa3"):
        sound, rate = decode_webm(data)
    elif (info.mime_type or "").partition("/")[0] == "video" or data[4:8] == b"ftyp":
        return silence(0)  # MP4 of iOS: nothing here decodes AAC
    else:
        rate, channels = int(attributes.get("sampleRate", "")), int(attributes.get("channels", "1"))
        if not (8_000 <= rate <= 96_000 and 1 <= channels <= 8):
            raise ValueError("no rate or number of channels that there is")
        count = len(data) // (2 * channels) * channels
        sound = np.frombuffer(data, "<i2", count).reshape(-1, channels)[-round(LONGEST_S * rate) :]
        sound = sound.mean(axis=1).astype(np.int16)
    resample = Resampler(rate, INPUT_RATE)
    sound = to_samples(np.concatenate((resample(to_wave(sound)), resample.flush())))
    return sound[-round(LONGEST_S * INPUT_RATE) :]


def join_overlapping(before: Samples, live: Samples) -> Samples:
    """Return both, with what is at the end of `before` and at the beginning of `live` once."""
    at = _overlap(before, live)
    return np.concatenate((before if at is None else before[:at], live))


def _overlap(before: Samples, live: Samples) -> int | None:
    """Return where in `before` the beginning of `live` is; None where it is not, or is silent."""
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
