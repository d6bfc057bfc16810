"""Reading and writing sound files as streams: an hour of sound is never held."""

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
from workbench.trace.wav import wav_header
from workbench.transports.resample import Resampler, to_samples

BLOCK_S = 0.25
"""Sound read at a time, s: 0.3 ms of the loop's time for 48 kHz stereo."""
UNKNOWN_SIZE = b"\xff\xff\xff\xff"
"""What a wav's header says where its writer did not know: libsndfile then reads to the end of the file."""


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """What a sound file holds: `count` samples of each channel at `rate` Hz. `note` says what is wrong with its header,
    empty if nothing is."""

    rate: int
    channels: int
    count: int
    note: str = ""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.count / self.rate


class WavFile:
    """A sound file that is open for reading, mixed down to mono: wav of any kind, and what else libsndfile reads.

    Raises `UsageError` if it can't be read or holds no sound. Where the header of a wav and the file disagree about the
    length, the file is right (a recording that was killed, a download that broke off).
    """

    def __init__(self, path: Path, file: BinaryIO | None = None) -> None:
        """`file` is what is read, where it is open already; `path` is then its name in errors."""
        self.path = path
        try:
            self._file = file or open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror or error}", "give the path of a wav file that you can read"
            ) from error
        try:
            self.format = self._open()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._sound.close()
        self._file.close()

    def blocks(self, rate: int) -> Iterator[Samples]:
        """Yield the whole sound from its start, mono at `rate` Hz, in blocks of about `BLOCK_S`."""
        form, sound = self.format, self._sound
        pcm16 = (form.rate, form.channels, sound.subtype) == (rate, 1, "PCM_16")
        resampler = Resampler(form.rate, rate)
        sound.seek(0)
        remaining, most = form.count, max(1, int(form.rate * BLOCK_S))
        while remaining and len(block := sound.read(min(remaining, most), "int16" if pcm16 else "float32")):
            remaining -= len(block)
            if pcm16:
                yield block
                continue
            wave = np.nan_to_num(block, posinf=1.0, neginf=-1.0)
            wave = wave if wave.ndim == 1 else wave.mean(axis=1, dtype=np.float32)
            if len(ready := resampler(wave)):
                yield to_samples(ready)
        if len(rest := resampler.flush()):
            yield to_samples(rest)

    def _open(self) -> SoundFormat:
        import soundfile  # 20 ms with libsndfile

        path, file = self.path, self._file
        if not file.seekable():
            raise UsageError(
                f"{path}: a pipe cannot be a source: the length of its sound is not known",
                "write the sound to a file first, and give that: `… > sound.wav`",
            )
        if not file.seek(0, os.SEEK_END):
            raise UsageError(f"{path}: the file is empty", "give a wav file with sound in it")
        note, patch = _wrong_size(file)
        file.seek(0)
        try:
            self._sound = soundfile.SoundFile(_Patched(file, patch) if patch else file)
        except soundfile.LibsndfileError as error:
            raise UsageError(
                f"{path}: not a sound file that can be read ({error.error_string})", _convert(path)
            ) from None
        rate, count = self._sound.samplerate, self._sound.frames
        if not 1000 <= rate <= 1_000_000:
            raise UsageError(f"{path}: {rate} Hz is no rate of sound", "record or export it again")
        if not count:
            raise UsageError(f"{path}: the file holds no sound", "give a wav file with sound in it")
        return SoundFormat(rate, self._sound.channels, count, note)


def read_wav(path: Path, rate: int) -> Iterator[Samples]:
    """Yield the sound of a file, mono at `rate` Hz, as a stream of blocks; errors as of `WavFile`."""
    with WavFile(path) as file:
        yield from file.blocks(rate)


def _open_without_waiting(name: str, flags: int) -> int:
    """Open a file; do not wait for somebody to write into a pipe."""
    return os.open(name, flags | os.O_NONBLOCK)


def _convert(path: Path) -> str:
    """Say how to convert it: into another file, as ffmpeg does not write the one that it reads."""
    source, target = shlex.quote(path.name), shlex.quote(f"{path.stem}-pcm.wav")
    return f"convert it: `ffmpeg -i {source} -c:a pcm_s16le {target}`"


def _wrong_size(file: BinaryIO) -> tuple[str, int]:
    """Return what is wrong with the size of the sound in a wav's header, and where that stands if it is too small:
    libsndfile corrects a size that is too large, and believes the others."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return "", 0
    riff_end = 8 + struct.unpack("<I", head[4:8])[0]
    while len(chunk := file.read(8)) == 8:
        size, start = struct.unpack("<I", chunk[4:])[0], file.tell()
        end, actual = start + size + size % 2, length - start
        if chunk[:4] != b"data":
            file.seek(end)
        elif chunk[4:] == UNKNOWN_SIZE:
            break
        elif size > actual:
            return f"its header promises {size} bytes of sound, {actual} are there", 0
        elif riff_end <= end < length or (size == 0 and actual):
            return f"its header tells of {size} bytes of sound, {actual} are there", start - 4
        else:
            break
    return "", 0


class _Patched:
    """A file in which the four bytes at `at` read as `UNKNOWN_SIZE`."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        self._file = file
        self._at = at
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        """Read as from the file."""
        start = self._file.tell()
        data = bytearray(self._file.read(count))
        for offset in range(4):
            if 0 <= (at := self._at + offset - start) < len(data):
                data[at] = UNKNOWN_SIZE[offset]
        return bytes(data)


class WavWriter:
    """A mono PCM16 wav file that grows; its header is true at every whole second written, and at the end.

    Raises OSError as files do: what to do about it is its owner's to say.
    """

    def __init__(self, path: Path, rate: int) -> None:
        self.rate = rate
        self.count = 0
        self._header_count = 0
        self._file = path.open("wb", buffering=0)
        try:
            self._file.write(wav_header(rate, 0))
        except OSError:
            self._file.close()
            raise

    def write(self, samples: Samples) -> None:
        """Append samples."""
        self._file.write(samples.astype("<i2", copy=False).tobytes())
        self.count += len(samples)
        if self.count - self._header_count >= self.rate:
            self._refresh()

    def close(self) -> None:
        """Make the header true, close the file."""
        with self._file:
            self._refresh()

    def _refresh(self) -> None:
        self._header_count = self.count
        self._file.seek(0)
        self._file.write(wav_header(self.rate, self.count))
        self._file.seek(0, os.SEEK_END)
