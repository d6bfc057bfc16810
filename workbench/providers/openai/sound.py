"""The sound that a speech server sends: raw PCM, a wav file as it streams, or a file of another format."""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import soxr

from workbench.model.audio import OUTPUT_RATE, Samples, silence
from workbench.model.errors import GarbageError
from workbench.providers.openai.errors import Endpoint, message_of

FORMATS = ("pcm", "wav", "flac", "mp3", "opus")
"""What is asked for, in this order, where a server refuses one; the first two stream."""
FILES = (b"OggS", b"fLaC", b"ID3", b"FORM", b"RF64", b"riff", b".snd", b"\x1aE\xdf\xa3", b"ADIF")
"""First bytes of files that are decoded when they are whole: played as raw PCM, they would be a loud noise."""
FILE_TYPE = re.compile(r"audio/(?:x-)?(?:mpe?g|mp3|ogg|opus|vorbis|flac|webm|aac|mp4|m4a|aiff)\b")
LOGARITHMIC = {"basic": "ULAW", "pcmu": "ULAW", "mulaw": "ULAW", "pcma": "ALAW", "alaw": "ALAW"}
"""Types of sound without a header, in eight bits."""
SPLIT = re.compile(rb"(?=OggS\x00\x02|fLaC\x00)")
"""Where a file begins of several that are sent as one."""
RIFF = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
LONGEST_S = 600
"""Sound of one answer that is decoded, s."""
LONGEST_HEADER = 1_000_000
"""Bytes before the sound of a wav."""
HEAD = 12
"""Bytes that tell most formats."""
BIT_RATES = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
"""Kilobits per second of MPEG layer 3: of versions 2 and 2.5, and of version 1."""
JUDGED = 2_048
"""Bytes of raw PCM that are looked at before it is played: 43 ms."""
LOUD = 9_000
"""Amplitude (RMS) that no voice has in them, but what is no PCM."""
LONGEST_TEXT = 10_000
"""Bytes of a text in the place of sound that are read."""


class SoundDecoder:
    """Takes the bytes of an answer and gives mono samples at 24 kHz. GarbageError for what is no sound."""

    def __init__(self, content_type: str, endpoint: Endpoint) -> None:
        self._type = content_type.lower()
        self._endpoint = endpoint
        self._bytes = b""
        self._pcm: PcmStream | None = None
        self._is_file = self._is_text = False

    def feed(self, chunk: bytes) -> Samples:
        """Return the samples that these bytes complete."""
        self._bytes += chunk
        return self._take(at_end=False)

    def flush(self) -> Samples:
        """Return the rest at the end of the answer; half a sample there is dropped."""
        samples = self._take(at_end=True)
        if self._is_text:
            raise self._garbage(self._words())
        if self._is_file:
            return self._decode()
        return np.concatenate((samples, self._pcm.flush() if self._pcm else silence(0)))

    def _take(self, *, at_end: bool) -> Samples:
        """Return what can be played, of as many wavs as there are."""
        taken = [silence(0)]
        while True:
            if self._pcm is None and not self._is_file and not self._is_text:
                self._begin(at_end=at_end)
            if self._pcm is None:
                return np.concatenate(taken)
            samples, self._bytes = self._pcm.feed(self._bytes, at_end=at_end)
            taken.append(samples)
            if not self._pcm.is_over:
                return np.concatenate(taken)
            if (other := RIFF.search(self._bytes)) is None:  # a chunk of text behind the sound, or the end
                self._bytes = self._bytes[-HEAD:]
                return np.concatenate(taken)
            taken.append(self._pcm.flush())
            self._pcm, self._bytes = None, self._bytes[other.start() :]

    def _begin(self, *, at_end: bool) -> None:
        """Find the format out, once there is enough to tell it by."""
        data = self._bytes
        if len(data) < HEAD and not at_end:
            return
        if data.startswith(b"RIFF"):
            self._begin_wav(at_end=at_end)
        elif data.startswith(FILES) or data[4:8] == b"ftyp":
            self._is_file = True
        elif self._type.startswith(("text/", "application/json")) or _is_text(data[:JUDGED]):
            self._is_text = True
        elif len(data) < JUDGED and not at_end:
            return
        elif _is_mpeg(data) or FILE_TYPE.match(self._type) or self._logarithmic:
            self._is_file = True
        elif len(data) > 1:
            self._begin_pcm()

    def _begin_pcm(self) -> None:
        form = dict(re.findall(r"(rate|channels)=\"?(\d{1,6})", self._type))
        rate, channels = self._checked(int(form.get("rate", OUTPUT_RATE))), int(form.get("channels", 1))
        if not 0 < channels <= 8:
            raise self._garbage(f"sound in {channels} channels")
        samples = self._bytes[: min(len(self._bytes), JUDGED) // 2 * 2]
        orders = [
            order for order in ("<i2", ">i2") if not _is_noise(np.frombuffer(samples, order)[::channels])
        ]
        if not orders:
            raise self._garbage(f"{self._type or 'something'} that is no PCM")
        self._pcm = PcmStream(rate, channels, order=orders[0])

    @property
    def _logarithmic(self) -> str:
        return LOGARITHMIC.get(re.split(r"[/;]", f"{self._type}/")[1].removeprefix("x-").strip(), "")

    def _words(self) -> str:
        """Return what a text says that came in the place of sound."""
        text = self._bytes[:LONGEST_TEXT].decode(errors="replace").strip()
        with suppress(ValueError, RecursionError):
            text = message_of(json.loads(text))
        return f"{self._type or 'a text'} ({text})" if text else self._type

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
                # 0 or all ones: it was not known when it began
                length = size + size % 2 if 0 < size < 0x7FFFFFFF else None
                self._bytes = self._bytes[start:]
                self._pcm = PcmStream(self._checked(rate), channels, length, is_wav=True)
                return
        if at_end or len(self._bytes) > LONGEST_HEADER:
            raise self._garbage("half a wav file")

    def _decode(self) -> Samples:
        """Return the samples of all files in the answer."""
        return np.concatenate([self._decode_file(part) for part in SPLIT.split(self._bytes) if part])

    def _decode_file(self, data: bytes) -> Samples:
        import soundfile  # 30 ms, for servers that give nothing else

        form: dict[str, Any] = {}
        if self._logarithmic and not data.startswith(FILES):
            rate = int(match[1]) if (match := re.search(r"rate=(\d{1,6})", self._type)) else 8000
            form = {
                "format": "RAW",
                "subtype": self._logarithmic,
                "samplerate": self._checked(rate),
                "channels": 1,
            }
        try:
            with soundfile.SoundFile(io.BytesIO(data), **form) as file:
                rate = self._checked(file.samplerate)
                sound = file.read(min(file.frames, LONGEST_S * rate), dtype="float32", always_2d=True)
        except (RuntimeError, TypeError, ValueError, MemoryError) as error:
            raise self._garbage(self._type or "an unknown format") from error
        pcm = PcmStream(rate, sound.shape[1])
        samples = (np.clip(np.nan_to_num(sound), -1, 1) * 32767).astype("<i2")
        return np.concatenate((pcm.feed(samples.tobytes())[0], pcm.flush()))

    def _checked(self, rate: int) -> int:
        if not 4_000 <= rate <= 384_000:
            raise self._garbage(f"sound at {rate} Hz")
        return rate

    def _garbage(self, other: str) -> GarbageError:
        reason = f"{self._endpoint.server} sent {self._endpoint.clean(other)} where sound was asked for"
        hint = "check that tts.base_url is an OpenAI-compatible API that speaks"
        return GarbageError(reason, hint, stage="tts")


class PcmStream:
    """PCM16 of any rate and number of channels, made mono and 24 kHz piece by piece.

    `length` is that of a wav, bytes; where a wav (`is_wav`) did not know it, another may begin anywhere.
    """

    def __init__(
        self, rate: int, channels: int, length: int | None = None, *, order: str = "<i2", is_wav: bool = False
    ) -> None:
        self.is_over = False
        """Whether another wav begins, or there is no more sound in this one."""
        self._channels = channels
        self._order = order
        self._left = length
        self._searches = is_wav and length is None
        self._resampler = (
            None if rate == OUTPUT_RATE else soxr.ResampleStream(rate, OUTPUT_RATE, 1, dtype="int16")
        )

    def feed(self, data: bytes, *, at_end: bool = False) -> tuple[Samples, bytes]:
        """Return the samples that are complete with these bytes, and the bytes that are not used yet."""
        stop = len(data) if self._left is None else min(len(data), self._left)
        if self._searches:
            other = RIFF.search(data)
            self.is_over = other is not None
            half = data.rfind(b"R", max(0, len(data) - 11))
            stop = other.start() if other else half if half >= 0 and not at_end else stop
        whole = stop - stop % (2 * self._channels)
        if self._left is not None:
            self._left -= whole
            self.is_over = self._left < 2 * self._channels
        samples = np.frombuffer(data[:whole], self._order).reshape(-1, self._channels)
        mono = samples[:, 0] if self._channels == 1 else samples.mean(axis=1, dtype=np.float32)
        return self._resample(mono.astype(np.int16), last=False), data[stop if self.is_over else whole :]

    def flush(self) -> Samples:
        """Return what the resampler still holds."""
        return self._resample(silence(0), last=True)

    def _resample(self, samples: Samples, *, last: bool) -> Samples:
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples, last=last)
        return resampled


def _is_text(data: bytes) -> bool:
    """Decide whether bytes are a text; those of PCM go all over the place."""
    return len(data) > 1 and all(9 <= byte < 127 for byte in data[:64]) and data[:64].strip() != b""


def _is_mpeg(data: bytes) -> bool:
    """Decide whether bytes are frames of MPEG sound without a header: one, and the next where it ends."""
    length = _frame_length(data)
    return length > 0 and (len(data) < length + 4 or _frame_length(data[length : length + 8]) > 0)


def _frame_length(data: bytes) -> int:
    """Return the bytes of the MPEG frame (or of ADTS, as AAC has it) that begins here; 0 if none does."""
    if len(data) < 8 or data[0] != 0xFF or data[1] < 0xE0:
        return 0
    version, layer, rate = data[1] >> 3 & 3, data[1] >> 1 & 3, data[2] >> 2 & 3
    if layer == 0:  # ADTS
        return (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5 if data[1] >> 4 == 0xF else 0
    if version == 1 or rate == 3 or layer != 1 or data[2] >> 4 in (0, 15):
        return 0
    kbits = BIT_RATES[version == 3][data[2] >> 4]
    hertz = (44_100, 48_000, 32_000)[rate] >> (0 if version == 3 else 1 if version == 2 else 2)
    return (144 if version == 3 else 72) * kbits * 1000 // hertz + (data[2] >> 1 & 1)


def _is_noise(samples: Samples) -> bool:
    """Decide whether these are no samples: loud, and none like the one before."""
    if len(samples) < 64:
        return False
    sound = samples.astype(np.float64)
    level = float(np.sqrt(np.mean(sound**2)))
    return level > LOUD and float(np.mean(sound[1:] * sound[:-1])) < 0.5 * level**2


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the start and the size of each chunk of a RIFF file whose header is there."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], at + 8, size
        at += 8 + size + size % 2
