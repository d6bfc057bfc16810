"""Wav files of every kind, and sounds to put into them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

KSDATAFORMAT = bytes.fromhex("000000001000800000aa00389b71")


def tone(seconds: float, rate: int, hz: float = 440.0, level: float = 0.5) -> NDArray[np.float64]:
    """A sine wave, shape (n,)."""
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def encode(wave: NDArray[np.float64], kind: str) -> bytes:
    """A wave of shape (n,) or (n, channels) as `u8`, `s16`, `s24`, `s32`, `f32` or `f64`."""
    if kind == "u8":
        return (np.rint(wave * 127) + 128).astype(np.uint8).tobytes()
    if kind == "s24":
        wide = np.rint(wave * (2**23 - 1)).astype("<i4").reshape(-1, 1).view(np.uint8).reshape(-1, 4)
        return wide[:, :3].tobytes()
    if kind in ("s16", "s32"):
        bits = int(kind[1:])
        wave = np.rint(wave * (2 ** (bits - 1) - 1))
    return bytes(wave.astype(f"<{kind[0].replace('s', 'i')}{int(kind[1:]) // 8}").tobytes())


def wav_bytes(
    wave: NDArray[np.float64],
    rate: int,
    kind: str = "s16",
    *,
    extensible: bool = False,
    claim: int | None = None,
    tag: int | None = None,
) -> bytes:
    """A wav file; `claim` is a wrong size of sound for its header, `tag` another format than it has."""
    channels = wave.shape[1] if wave.ndim > 1 else 1
    data = encode(wave, kind)
    bits = int(kind[1:])
    align = channels * bits // 8
    format_tag = tag if tag is not None else 3 if kind[0] == "f" else 1
    fmt = struct.pack(
        "<HHIIHH", 0xFFFE if extensible else format_tag, channels, rate, rate * align, align, bits
    )
    if extensible:
        fmt += struct.pack("<HHIH", 22, bits, 0, format_tag) + KSDATAFORMAT
    size = len(data) if claim is None else claim
    body = b"WAVE" + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    body += b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", size)
    return (
        b"RIFF" + struct.pack("<I", min(len(body) + size, 2**32 - 1)) + body + data + b"\0" * (len(data) % 2)
    )


def write_wav(
    path: Path, wave: NDArray[np.float64], rate: int, kind: str = "s16", *, extensible: bool = False
) -> Path:
    """Write it, return its path."""
    path.write_bytes(wav_bytes(wave, rate, kind, extensible=extensible))
    return path
