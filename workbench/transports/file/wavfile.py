"""Reading and writing sound files as streams: an hour of sound is never held."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from workbench.model.audio import Samples
from workbench.model.errors import UsageError
from workbench.trace.wav import wav_header
from workbench.transports.file.container import open_view
from workbench.transports.resample import Resampler, to_samples

BLOCK_S = 0.25
"""Sound read at a time, s: 0.3 ms of the loop's time for 48 kHz stereo."""
QUIET = 0.1
"""Where the mean of all channels has less than this share of the loudest one's energy, that one is better alone."""
LOOK_S = 60.0
"""Sound by which that is decided, s."""
HEADLESS = (".raw", ".pcm", ".s16", ".s16le", ".sw", ".l16")
"""Names of files that hold nothing but samples."""


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """What a sound file holds: `count` samples of each channel at `rate` Hz. `note` says what is odd about it, empty if
    nothing is."""

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

    _sound: Any

    def __init__(self, path: Path, file: BinaryIO | None = None) -> None:
        """`file` is what is read, where it is open already; `path` is then its name in errors."""
        self.path = path
        self.broken = ""
        """Why `blocks` ended before the sound did."""
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
        pcm16 = (self.format.rate, self.format.channels, self._sound.subtype) == (rate, 1, "PCM_16")
        resampler = Resampler(self.format.rate, rate)
        self._sound = self._sound_file()  # not every compression can be wound back
        for block in self._read("int16" if pcm16 else "float32"):
            if pcm16:
                yield block
            elif len(ready := resampler(self._mono(np.nan_to_num(block, posinf=1.0, neginf=-1.0)))):
                yield to_samples(ready)
        if len(rest := resampler.flush()):
            yield to_samples(rest)

    def _read(self, dtype: str) -> Iterator[Any]:
        """Yield blocks of the sound, shape (n,) or (n, channels); what cannot be decoded ends it."""
        from soundfile import LibsndfileError

        remaining, most = self._sound.frames, max(1, int(self.format.rate * BLOCK_S))
        while remaining:
            try:
                block = self._sound.read(min(remaining, most), dtype)
            except LibsndfileError as error:
                if remaining == self._sound.frames:
                    reason = f"{self.path}: nothing of it can be decoded ({error.error_string})"
                    raise UsageError(reason, _convert(self.path)) from None
                at_s = (self._sound.frames - remaining) / self.format.rate
                self.broken = f"it is broken {at_s:.1f} s after its start ({error.error_string})"
                return
            if not len(block):
                return
            remaining -= len(block)
            yield block

    def _mono(self, wave: Any) -> Any:
        if wave.ndim == 1:
            return wave
        return wave.mean(axis=1, dtype=np.float32) if self._channel is None else wave[:, self._channel]

    def _loudest_alone(self) -> int | None:
        """Return the channel to take alone where all of them together would be hardly heard, as antiphase is."""
        channels, mean, blocks = np.zeros(self._sound.channels), 0.0, int(LOOK_S / BLOCK_S)
        for block in islice(self._read("float32"), blocks):
            block = np.nan_to_num(block, posinf=1.0, neginf=-1.0).astype(np.float64)
            channels += np.square(block).sum(axis=0)
            mean += float(np.square(block.mean(axis=1)).sum())
        loudest = int(channels.argmax())
        return loudest if mean < QUIET * channels[loudest] else None

    def _sound_file(self) -> Any:
        import soundfile  # 20 ms with libsndfile

        self._view.seek(0)
        try:
            return soundfile.SoundFile(self._view)
        except soundfile.LibsndfileError as error:
            raise UsageError(
                f"{self.path}: not a sound file that can be read ({error.error_string})", _convert(self.path)
            ) from None

    def _open(self) -> SoundFormat:
        path, file = self.path, self._file
        if not file.seekable():
            raise UsageError(
                f"{path}: a pipe cannot be a source: the length of its sound is not known",
                "write the sound to a file first, and give that: `… > sound.wav`",
            )
        if not file.seek(0, os.SEEK_END):
            raise UsageError(f"{path}: the file is empty", "give a wav file with sound in it")
        self._view, note = open_view(file)
        self._sound = self._sound_file()
        rate, count, channels = self._sound.samplerate, self._sound.frames, self._sound.channels
        if not 1000 <= rate <= 1_000_000:
            raise UsageError(f"{path}: {rate} Hz is no rate of sound", "record or export it again")
        if not count:
            raise UsageError(f"{path}: the file holds no sound", "give a wav file with sound in it")
        self.format = SoundFormat(rate, channels, count, note)
        self._channel = self._loudest_alone() if channels > 1 else None
        if self._channel is not None:
            quiet = (
                f"its channels cancel each other: channel {self._channel + 1}, the loudest, is taken alone"
            )
            note = "; ".join(filter(None, (note, quiet)))
        return SoundFormat(rate, channels, count, note)


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
    if path.suffix.lower() in HEADLESS:
        return f"say what its samples are: `ffmpeg -f s16le -ar 16000 -ac 1 -i {source} {target}`"
    return f"convert it: `ffmpeg -i {source} -c:a pcm_s16le {target}`"


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
