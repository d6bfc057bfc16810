"""Opus in WebM, as a browser's MediaRecorder makes it, decoded by libsndfile, which knows Opus in Ogg only (why not by
PyAV: docs/decisions/0043).

Both containers hold the same packets, so they are moved from one to the other. What ends in the middle is read as far
as it goes; what is no WebM gives nothing.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from io import BytesIO

import numpy as np

from workbench.model.audio import Samples

HEAD, TAGS = b"OpusHead", b"OpusTags\x00\x00\x00\x00\x00\x00\x00\x00"
CONTAINERS = {0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xA0}
"""Segment, Cluster, Tracks, TrackEntry, BlockGroup: what is in them is walked as if it lay beside them."""
PRIVATE, BLOCKS = 0x63A2, (0xA3, 0xA1)
"""The codec's own header; blocks of sound."""
RATE = 48_000
"""Of the positions in Ogg, and of what libsndfile gives, Hz."""
MOST_PACKETS = 6_000
"""That are looked at: two minutes of the usual 20 ms."""
LONGEST = 20 * RATE
"""The last so many samples are decoded, whatever comes before them."""
HEADER, MOST_CHANNELS = 19, 2
"""Bytes of the codec's header at least; browsers record no more channels, and each costs as much as the first."""


def decode_webm(webm: bytes) -> tuple[Samples, int]:
    """Return the last 20 s of the sound, mono, and its rate, Hz; nothing where there is none. Takes 30 ms for 10 s."""
    import soundfile  # 20 ms, and few sessions need it

    header, packets, count, samples = b"", deque[bytes](), 0, 0
    for kind, data in _elements(webm):
        if kind == PRIVATE and data.startswith(HEAD):
            header = data
        elif kind in BLOCKS and len(data) > 4:
            packets.append(data[_size(data, 0)[1] + 3 :])  # behind the track's number, the time and the flags
            samples += _samples(packets[-1])
            while samples > LONGEST:
                samples -= _samples(packets.popleft())
            count += 1
            if count == MOST_PACKETS:
                break
    if len(header) < HEADER or not 1 <= header[9] <= MOST_CHANNELS or not packets:
        return np.zeros(0, np.int16), RATE
    try:
        sound, rate = soundfile.read(BytesIO(_ogg(header, [*packets])), dtype="int16", always_2d=True)
    except soundfile.LibsndfileError:
        return np.zeros(0, np.int16), RATE
    return np.ascontiguousarray(sound.mean(axis=1).astype(np.int16)), int(rate)


# --- WebM ------------------------------------------------------------------------------------------------------------


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the elements of EBML, those in `CONTAINERS` opened; a live recording leaves their sizes unknown."""
    at = 0
    while at < len(data):
        length = 9 - data[at].bit_length()
        kind = int.from_bytes(data[at : at + length], "big")
        at += length
        if length > 4 or at >= len(data):
            return
        size, at = _size(data, at)
        if kind not in CONTAINERS:
            if at + size > len(data):
                return
            yield kind, data[at : at + size]
            at += size


def _size(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of EBML, and where it ends."""
    length = 9 - data[at].bit_length()
    number = int.from_bytes(data[at : at + length], "big") & ((1 << (7 * length)) - 1)
    return number, at + length


# --- Ogg -------------------------------------------------------------------------------------------------------------


def _ogg(header: bytes, packets: list[bytes]) -> bytes:
    pages = [_page(header, 0, 0, 2), _page(TAGS, 0, 1, 0)]
    position = 0
    for number, packet in enumerate(packets, 2):
        position += _samples(packet)
        pages.append(_page(packet, position, number, 4 if number == len(packets) + 1 else 0))
    return b"".join(pages)


def _page(packet: bytes, position: int, number: int, flags: int) -> bytes:
    """Return a page with one packet, of less than 64 kB."""
    packet = packet[: 255 * 254]
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    start = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, 1, number, 0, len(lacing))
    page = start + lacing + packet
    return page[:22] + struct.pack("<I", _crc(page)) + page[26:]


def _samples(packet: bytes) -> int:
    """Return how long a packet of Opus is, samples at 48 kHz (RFC 6716, 3.1)."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        frame = (480, 960)[config & 1]
    else:
        frame = (120, 240, 480, 960)[config & 3]
    count = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]
    return frame * count


def _table() -> list[int]:
    table = []
    for number in range(256):
        value = number << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


_TABLE = _table()


def _crc(data: bytes) -> int:
    """Return Ogg's checksum: not reflected, from 0."""
    value = 0
    for byte in data:
        value = ((value << 8) & 0xFFFFFFFF) ^ _TABLE[(value >> 24) ^ byte]
    return value
