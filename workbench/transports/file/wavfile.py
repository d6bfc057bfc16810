"""Reading and writing wav files as streams: an hour of sound is never held."""

from __future__ import annotations

import os
import shlex
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from workbench.model.audio import Samples
from workbench.model.errors import UsageError
from workbench.transports.resample import Resampler, Wave, to_samples

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
COMPRESSED = {2: "ADPCM", 6: "A-law", 7: "µ-law", 0x11: "IMA ADPCM", 0x31: "GSM", 0x50: "MPEG", 0x55: "MP3"}
UNKNOWN_SIZE = 0xFFFFFFFF
"""What a header says when its writer did not know (or, in RF64, when the size is elsewhere)."""
BLOCK_S = 0.25
"""Sound read at a time, s: 0.3 ms of the loop's time for 48 kHz stereo."""


@dataclass(frozen=True, slots=True)
class WavFormat:
    """What a wav file holds: `count` samples of each channel at `rate` Hz, each `width` bytes, from byte `offset` on.

    `note` says what is wrong with its header, empty if nothing is.
    """

    rate: int
    channels: int
    width: int
    floating: bool
    offset: int
    count: int
    note: str = ""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.count / self.rate


class WavFile:
    """A wav file that is open for reading: any PCM or float format, rate and number of channels, mixed down to mono.

    Raises `UsageError` if it can't be read, is not a wav, is compressed or holds no sound. Where the header and the
    file disagree about the length, the file is right (a recording that was killed, a download that broke off).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = open(path, "rb", opener=_at_once)  # noqa: SIM115
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror or error}", "give the path of a wav file that you can read"
            ) from error
        try:
            self.format = read_header(self._file, path)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def blocks(self, rate: int) -> Iterator[Samples]:
        """The whole sound from its start, mono at `rate` Hz, in blocks of about `BLOCK_S`."""
        shape = self.format
        plain = (shape.rate, shape.channels, shape.width, shape.floating) == (rate, 1, 2, False)
        resampler = Resampler(shape.rate, rate)
        for data in self._raw():
            if plain:
                yield np.frombuffer(data, "<i2").astype(np.int16, copy=False)
            elif len(ready := resampler(decode(data, shape))):
                yield to_samples(ready)
        if len(rest := resampler.flush()):
            yield to_samples(rest)

    def _raw(self) -> Iterator[bytes]:
        shape = self.format
        frame = shape.width * shape.channels
        self._file.seek(shape.offset)
        left = shape.count
        while left:
            data = self._file.read(min(left, max(1, int(shape.rate * BLOCK_S))) * frame)
            if len(data) < frame:
                return  # it became shorter while we read
            left -= len(data) // frame
            yield data[: len(data) // frame * frame]


def read_wav(path: Path, rate: int) -> Iterator[Samples]:
    """The sound of a wav file, mono at `rate` Hz, as a stream of blocks; errors as of `WavFile`."""
    with WavFile(path) as file:
        yield from file.blocks(rate)


def decode(data: bytes, shape: WavFormat) -> Wave:
    """Whole frames of a wav file as one mono wave: the mean of the channels."""
    if shape.floating:
        wave = np.nan_to_num(
            np.frombuffer(data, f"<f{shape.width}").astype(np.float32), posinf=1.0, neginf=-1.0
        )
    elif shape.width == 1:  # the one unsigned format
        wave = (np.frombuffer(data, np.uint8).astype(np.float32) - 128.0) / np.float32(128.0)
    elif shape.width == 3:  # as the upper three bytes of 32 bits
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        wave = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2.0**31)
    else:
        wave = np.frombuffer(data, f"<i{shape.width}").astype(np.float32) / np.float32(
            2.0 ** (8 * shape.width - 1)
        )
    if shape.channels == 1:
        return wave
    return np.asarray(wave.reshape(-1, shape.channels).mean(axis=1), dtype=np.float32)


def _at_once(name: str, flags: int) -> int:
    """Opened without waiting for somebody to write into a pipe."""
    return os.open(name, flags | os.O_NONBLOCK)


def read_header(file: BinaryIO, path: Path) -> WavFormat:
    """What `file` holds; leaves it anywhere."""
    if not file.seekable():
        raise UsageError(
            f"{path}: a pipe cannot be a source: the length of its sound is not known",
            "write the sound to a file first, and give that: `… > sound.wav`",
        )
    length = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    if not head:
        raise UsageError(f"{path}: the file is empty", "give a wav file with sound in it")
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise UsageError(f"{path}: not a wav file", _convert(path))
    riff_end = 8 + struct.unpack("<I", head[4:8])[0]
    fmt, wide_size = b"", 0
    while len(chunk := file.read(8)) == 8:
        name, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        start = file.tell()
        if name == b"data":
            size = wide_size if size == UNKNOWN_SIZE and wide_size else size
            return _format(fmt, path, start, _true_size(start, size, riff_end, length))
        if name == b"fmt ":
            fmt = file.read(min(size, 40))
        elif name == b"ds64" and size >= 24:
            riff_size, wide_size = struct.unpack("<QQ", file.read(16))
            riff_end = 8 + riff_size
        file.seek(start + size + size % 2)
    raise UsageError(
        f"{path}: there is no sound in this wav file", "its data chunk is missing: record or export it again"
    )


def _convert(path: Path) -> str:
    """Into another file: ffmpeg does not write the one that it reads."""
    source, target = shlex.quote(path.name), shlex.quote(f"{path.stem}-pcm.wav")
    return f"convert it: `ffmpeg -i {source} -c:a pcm_s16le {target}`"


def _true_size(start: int, size: int, riff_end: int, length: int) -> tuple[int, str]:
    """Bytes of sound that are in the file, and what is wrong with those that its header claims."""
    there = length - start
    if size == UNKNOWN_SIZE:
        return there, ""
    if size > there:
        return there, f"its header promises {size} bytes of sound, {there} are there"
    end = start + size + size % 2
    if riff_end <= end < length or (size == 0 and there):
        return there, f"its header tells of {size} bytes of sound, {there} are there"
    return size, ""


def _format(fmt: bytes, path: Path, offset: int, found: tuple[int, str]) -> WavFormat:
    if len(fmt) < 16:
        raise UsageError(
            f"{path}: a wav file without a format", "its fmt chunk is missing: record or export it again"
        )
    tag, channels, rate, _, align, _ = struct.unpack("<HHIIHH", fmt[:16])
    if tag == EXTENSIBLE and len(fmt) >= 26:
        tag = struct.unpack("<H", fmt[24:26])[0]
    if tag not in (PCM, FLOAT):
        kind = COMPRESSED.get(tag, f"format {tag:#x}")
        raise UsageError(
            f"{path}: the sound is compressed ({kind})",
            _convert(path),
        )
    width = align // channels if channels else 0
    if (
        width not in ((4, 8) if tag == FLOAT else (1, 2, 3, 4))
        or align % channels
        or not 1000 <= rate <= 1_000_000
    ):
        raise UsageError(
            f"{path}: {channels} channels of {8 * width} bit at {rate} Hz is no format of sound",
            "the header is damaged: record or export it again",
        )
    size, note = found
    if size < align:
        raise UsageError(f"{path}: the wav file holds no sound", "give a wav file with sound in it")
    return WavFormat(rate, channels, width, tag == FLOAT, offset, size // align, note)


class WavWriter:
    """A mono PCM16 wav file that grows; its header is true at every whole second written, and at the end.

    Raises OSError as files do: what to do about it is its owner's to say.
    """

    def __init__(self, path: Path, rate: int) -> None:
        self.rate = rate
        self.count = 0
        self._told = 0
        self._file = path.open("wb", buffering=0)
        try:
            self._file.write(self._header())
        except OSError:
            self._file.close()
            raise

    def write(self, samples: Samples) -> None:
        """Append samples."""
        self._file.write(samples.astype("<i2", copy=False).tobytes())
        self.count += len(samples)
        if self.count - self._told >= self.rate:
            self._refresh()

    def close(self) -> None:
        """Make the header true, close the file."""
        with self._file:
            self._refresh()

    def _refresh(self) -> None:
        self._told = self.count
        self._file.seek(0)
        self._file.write(self._header())
        self._file.seek(0, 2)

    def _header(self) -> bytes:
        size = min(2 * self.count, UNKNOWN_SIZE - 36)
        fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, self.rate, 2 * self.rate, 2, 16)
        return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + fmt + struct.pack("<4sI", b"data", size)
