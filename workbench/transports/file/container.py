"""What of a file is sound: tags are skipped, and a wav gets a header that is true before libsndfile reads it.

Wavs in the wild have sizes of 0 or of four gigabytes, chunks of odd length without their pad byte, tags in front and
behind, and more than one chunk of data. The chunks say where the sound is; where they are wrong, the file is right.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

UNKNOWN = 0xFFFFFFFF
"""The size of a chunk whose writer did not know it: libsndfile then reads to the end of the file."""
WAVES = {b"RIFF": "<", b"RF64": "<", b"BW64": "<", b"RIFX": ">"}
"""What a wav begins with, and the order of its bytes."""
HEAD_BYTES = 4096
"""Foreign bytes in front of a wav are looked through for its beginning."""
GAP_BYTES = 1 << 20
"""After a chunk with a wrong size, the next `data` is looked for so far."""
TAIL_BYTES = 1 << 20
"""At the end of sound of unknown length, chunks and tags are looked for so far."""
TAIL_IDS = (
    b"LIST",
    b"id3 ",
    b"ID3 ",
    b"bext",
    b"cue ",
    b"smpl",
    b"inst",
    b"iXML",
    b"_PMX",
    b"PEAK",
    b"JUNK",
    b"ID3",
)
ID3_V1 = 128
"""Bytes of a tag `TAG…` at the end of a file."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A range of bytes of a file."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a wav: `size` is what its header says of its content, which begins at `start`."""

    name: bytes
    start: int
    size: int


class FileView:
    """A file for reading, put together from a header and stretches of another one; it has no name to guess from."""

    def __init__(self, file: BinaryIO, stretches: list[ByteRange], header: bytes = b"") -> None:
        self._file = file
        self._header = header
        self._stretches = stretches
        self._begins = list(accumulate((stretch.size for stretch in stretches), initial=len(header)))
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, the nearest there is."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._begins[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def read(self, count: int = -1) -> bytes:
        """Read up to `count` bytes, by default all."""
        remaining = self._begins[-1] - self._at if count < 0 else count
        parts: list[bytes] = []
        while remaining > 0 and (part := self._read_some(remaining)):
            parts.append(part)
            remaining -= len(part)
            self._at += len(part)
        return b"".join(parts)

    def _read_some(self, count: int) -> bytes:
        if self._at < len(self._header):
            return self._header[self._at : self._at + count]
        number = bisect_right(self._begins, self._at) - 1
        if number >= len(self._stretches):
            return b""
        offset = self._at - self._begins[number]
        stretch = self._stretches[number]
        self._file.seek(stretch.start + offset)
        return self._file.read(min(count, stretch.size - offset))


def open_view(file: BinaryIO) -> tuple[FileView, str]:
    """Return what libsndfile is to read of a file, and what is wrong with the header of a wav, empty if nothing is."""
    length = file.seek(0, os.SEEK_END)
    start = _after_tag(file)
    head = _read(file, start, HEAD_BYTES)
    wave = next(
        (
            at
            for at in range(len(head) - 11)
            if head[at : at + 4] in WAVES and head[at + 8 : at + 12] == b"WAVE"
        ),
        None,
    )
    if wave is not None and (view := _WaveChunks(file, start + wave, length).view()) is not None:
        return view
    return FileView(file, [ByteRange(start, length - start)]), ""


class _WaveChunks:
    """The chunks of a wav that begins at `start`."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file = file
        self._start = start
        self._length = length
        self._form = _read(file, start, 4)
        self._order = WAVES[self._form]

    def view(self) -> tuple[FileView, str] | None:
        """Return its sound under a true header, and what was wrong; None if it has no sound."""
        header, large = b"", 0
        for chunk in self._walk(self._start + 12):
            if chunk.name == b"ds64":
                large = struct.unpack("<Q", _read(self._file, chunk.start + 8, 8).ljust(8, b"\0"))[0]
            elif chunk.name in (b"fmt ", b"fact"):
                header += self._pack(chunk.name, chunk.size) + _read(
                    self._file, chunk.start, chunk.size + chunk.size % 2
                )
            elif chunk.name == b"data":
                return self._sound(chunk, header, large)
        return None

    def _sound(self, data: Chunk, header: bytes, large: int) -> tuple[FileView, str]:
        size = large if data.size == UNKNOWN and large else data.size
        there = self._length - data.start
        stretches, note = [ByteRange(data.start, size)], ""
        if not 0 < size <= there or (more := self._more_data(data.start + size)) is None:
            end = self._before_tail(data.start, self._length)
            stretches = [ByteRange(data.start, end - data.start)]
            if data.size != UNKNOWN and (size or end > data.start):
                verb = "promises" if size > there else "tells of"
                note = f"its header {verb} {size} bytes of sound, {end - data.start} are there"
        else:
            stretches += more
        form = b"RIFX" if self._order == ">" else b"RIFF"
        header = self._pack(form, UNKNOWN) + b"WAVE" + header + self._pack(b"data", UNKNOWN)
        return FileView(self._file, stretches, header), note

    def _pack(self, name: bytes, size: int) -> bytes:
        return name + struct.pack(f"{self._order}I", size)

    def _chunk(self, at: int) -> Chunk | None:
        """Return the chunk whose header is at `at`, None where there is none that can be."""
        head = _read(self._file, at, 8)
        if len(head) < 8 or not all(0x20 <= byte < 0x7F for byte in head[:4]):
            return None
        size = struct.unpack(f"{self._order}I", head[4:])[0]
        return Chunk(head[:4], at + 8, size) if head[:4] == b"data" or at + 8 + size <= self._length else None

    def _next(self, end: int, *, odd: int) -> Chunk | None:
        """Return the chunk behind one that ends at `end`: behind its pad byte, or at once where that was forgotten."""
        return self._chunk(end + odd) or (self._chunk(end) if odd else None)

    def _walk(self, at: int) -> Iterator[Chunk]:
        """Yield chunks up to the data; where a size is wrong, go on at the next place that says `data`."""
        chunk = self._chunk(at)
        while chunk is not None:
            yield chunk
            end = chunk.start + chunk.size
            following = self._next(end, odd=chunk.size % 2)
            if following is None and (found := _read(self._file, chunk.start, GAP_BYTES).find(b"data")) >= 0:
                following = self._chunk(chunk.start + found)
            chunk = following

    def _more_data(self, end: int) -> list[ByteRange] | None:
        """Return further data behind data that ends at `end`; None if what is there is no chunk: more sound, then."""
        more: list[ByteRange] = []
        while self._length - end >= 8 and not self._is_tag(end):
            chunk = self._chunk(end) or self._chunk(end + 1)
            if chunk is None or chunk.start + chunk.size > self._length:
                return None
            if chunk.name == b"data":
                more.append(ByteRange(chunk.start, chunk.size))
            end = chunk.start + chunk.size
        return more

    def _is_tag(self, at: int) -> bool:
        head = _read(self._file, at, 4)
        return (head[:3] == b"ID3" and head[3:] < b"\x05") or (
            head[:3] == b"TAG" and self._length - at == ID3_V1
        )

    def _before_tail(self, start: int, end: int) -> int:
        """Return the end of sound of unknown length: chunks and tags that fill the file to its end are none."""
        if end - start > ID3_V1 and _read(self._file, end - ID3_V1, 3) == b"TAG":
            end -= ID3_V1
        first = max(start, end - TAIL_BYTES)
        tail = _read(self._file, first, end - first)
        for name in TAIL_IDS:
            at = len(tail)
            while (at := tail.rfind(name, 0, at)) >= 0:
                if self._fills(tail[at:]):
                    return self._before_tail(start, first + at)
        return end

    def _fills(self, tail: bytes) -> bool:
        """Whether a chunk or a tag at the beginning of these bytes ends where they do."""
        if len(tail) < 10:
            return False
        if tail[:3] == b"ID3" and tail[3] < 5:
            size = 10 + _syncsafe(tail[6:10])
            return size == len(tail)
        size = 8 + struct.unpack(f"{self._order}I", tail[4:8])[0]
        return len(tail) - size in (0, size % 2)


def _after_tag(file: BinaryIO) -> int:
    """Return where the file goes on behind an ID3 tag at its start."""
    at = 0
    while (head := _read(file, at, 10))[:3] == b"ID3" and len(head) == 10 and head[3] < 5:
        at += 10 + _syncsafe(head[6:]) + (10 if head[5] & 0x10 else 0)
    return at


def _syncsafe(size: bytes) -> int:
    """Return a number of seven bits a byte."""
    return sum((byte & 0x7F) << shift for byte, shift in zip(size, (21, 14, 7, 0), strict=True))


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
