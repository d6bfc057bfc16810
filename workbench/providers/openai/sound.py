"""The sound that a speech server sends: raw PCM, a wav file as it streams, or a file of another format."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator

import numpy as np
import soxr

from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.errors import GarbageError
from workbench.providers.openai.errors import Endpoint

FORMATS = ("pcm", "wav", "flac", "mp3", "opus")
"""What is asked for, in this order, where a server refuses one; the first two stream."""
FILES = (b"OggS", b"fLaC", b"ID3", b"FORM", b"RF64", b"riff", b".snd", b"\x1aE\xdf\xa3")
"""First bytes of files that are decoded when they are whole: played as raw PCM, they would be a loud noise."""
FILE_TYPES = (
    "audio/mpeg",
    "audio/mp3",
    "audio/ogg",
    "audio/opus",
    "audio/flac",
    "audio/x-flac",
    "audio/webm",
    "audio/aac",
    "audio/mp4",
    "audio/basic",
)
LONGEST_S = 600
"""Sound of one answer that is decoded, s."""
LONGEST_HEADER = 1_000_000
"""Bytes before the sound of a wav."""
HEAD = 12
"""Bytes that tell the format."""


class SoundDecoder:
    """Takes the bytes of an answer and gives mono samples at 24 kHz. GarbageError for what is no sound."""

    def __init__(self, content_type: str, endpoint: Endpoint) -> None:
        self._type = content_type.lower()
        self._endpoint = endpoint
        self._bytes = b""
        self._pcm: PcmStream | None = None
        self._is_file = False

    def feed(self, chunk: bytes) -> Samples:
        """Return the samples that these bytes complete."""
        self._bytes += chunk
        if self._pcm is None and not self._is_file:
            self._begin(at_end=False)
        return self._take()

    def flush(self) -> Samples:
        """Return the rest at the end of the answer; half a sample there is dropped."""
        if self._pcm is None and not self._is_file:
            self._begin(at_end=True)
        if self._is_file:
            return self._decode()
        return np.concatenate((self._take(), self._pcm.flush() if self._pcm else silence(0)))

    def _take(self) -> Samples:
        if self._pcm is None:
            return silence(0)
        samples, self._bytes = self._pcm.feed(self._bytes), b""
        return samples

    def _begin(self, *, at_end: bool) -> None:
        """Find the format out, once there is enough to tell it by."""
        if len(self._bytes) < HEAD and not at_end:
            return
        if self._type.startswith(("text/", "application/json")) or self._bytes.startswith(b'{"'):
            raise self._garbage(self._type or "JSON")
        if self._bytes.startswith(FILES) or self._type.startswith(FILE_TYPES):
            self._is_file = True
        elif self._bytes.startswith(b"RIFF"):
            self._begin_wav(at_end=at_end)
        elif len(self._bytes) > 1:
            rate = re.search(r"rate=(\d{4,6})", self._type)
            self._pcm = PcmStream(self._checked(int(rate[1])) if rate else OUTPUT_RATE, 1)

    def _begin_wav(self, *, at_end: bool) -> None:
        """Read the header of a wav whose length may not be known yet; what is not PCM16 is decoded as a file."""
        form: bytes | None = None
        for name, start, size in _chunks(self._bytes):
            if name == b"fmt ":
                form = self._bytes[start : start + size]
            elif name == b"data" and form is not None and len(form) >= 16:
                kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
                if kind not in (1, 0xFFFE) or bits != 16 or not channels or not rate:
                    self._is_file = True
                    return
                length = (
                    size if 0 < size < 0x7FFFFFFF else None
                )  # 0 or all ones: it was not known when it began
                self._bytes = self._bytes[start:]
                self._pcm = PcmStream(self._checked(rate), channels, length)
                return
        if at_end or len(self._bytes) > LONGEST_HEADER:
            raise self._garbage("half a wav file")

    def _decode(self) -> Samples:
        import soundfile  # 30 ms, for servers that give nothing else

        try:
            with soundfile.SoundFile(io.BytesIO(self._bytes)) as file:
                rate = self._checked(file.samplerate)
                sound = file.read(min(file.frames, LONGEST_S * rate), dtype="float32", always_2d=True)
        except (RuntimeError, TypeError, ValueError, MemoryError) as error:
            raise self._garbage(self._type or "an unknown format") from error
        pcm = PcmStream(rate, sound.shape[1])
        samples = (np.clip(np.nan_to_num(sound), -1, 1) * 32767).astype("<i2")
        return np.concatenate((pcm.feed(samples.tobytes()), pcm.flush()))

    def _checked(self, rate: int) -> int:
        if not 4_000 <= rate <= 384_000:
            raise self._garbage(f"sound at {rate} Hz")
        return rate

    def _garbage(self, other: str) -> GarbageError:
        reason = f"{self._endpoint.server} sent {self._endpoint.clean(other)} where sound was asked for"
        hint = "check that tts.base_url is an OpenAI-compatible API that speaks"
        return GarbageError(reason, hint, stage="tts")


class PcmStream:
    """Little-endian PCM16 of any rate and number of channels, made mono and 24 kHz piece by piece."""

    def __init__(self, rate: int, channels: int, length: int | None = None) -> None:
        self._channels = channels
        self._left = length
        self._rest = b""
        self._resampler = (
            None if rate == OUTPUT_RATE else soxr.ResampleStream(rate, OUTPUT_RATE, 1, dtype="int16")
        )

    def feed(self, data: bytes) -> Samples:
        """Return the samples that these bytes complete; behind the length of a wav there are no more."""
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        data = self._rest + data
        whole = len(data) - len(data) % (2 * self._channels)
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").reshape(-1, self._channels)
        mono = samples[:, 0] if self._channels == 1 else samples.mean(axis=1, dtype=np.float32)
        return self._resample(mono.astype(np.int16), last=False)

    def flush(self) -> Samples:
        """Return what the resampler still holds."""
        return self._resample(silence(0), last=True)

    def _resample(self, samples: Samples, *, last: bool) -> Samples:
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples, last=last)
        return resampled


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the start and the size of each chunk of a RIFF file whose header is there."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], at + 8, size
        at += 8 + size + size % 2
