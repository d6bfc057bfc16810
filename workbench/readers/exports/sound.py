"""The sound of both sides on one clock, as a stereo wav: the user left, the agent right."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.errors import UsageError
from workbench.readers import plausible_entries
from workbench.readers.moments import MomentsFold
from workbench.readers.waveform import PIECE_MS, SIDES, stereo_samples
from workbench.trace.trace import Trace

FRAME_BYTES = 4
"""Two samples of PCM16."""
LARGEST_BYTES = 0xFFFFFFFF - 36
"""What a wav's header can say: 12 hours."""


def write_wav(trace: Trace, out: BinaryIO) -> None:
    """Write PCM16 at 24 kHz, as long as the session's clock ran, a minute at a time.

    Raises UsageError where no sound was recorded.
    """
    if not any(side in trace.tracks for side in SIDES):
        raise UsageError("no sound was recorded in this session", "its turns are in `--format jsonl`")
    moments = MomentsFold({"user": INPUT_RATE, "agent": OUTPUT_RATE}, keep=0)
    for entry in plausible_entries(trace):
        moments.feed(entry)
    end_ms = sound_end_ms(trace)
    size = min(round(end_ms * OUTPUT_RATE / 1000) * FRAME_BYTES, LARGEST_BYTES)
    rate = (OUTPUT_RATE, OUTPUT_RATE * FRAME_BYTES, FRAME_BYTES, 16)
    out.write(struct.pack("<4sI4s", b"RIFF", size + 36, b"WAVE"))
    out.write(struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, *rate))
    out.write(struct.pack("<4sI", b"data", size))
    for piece in stereo_pieces(trace, moments, end_ms):
        out.write(piece.astype("<i2").tobytes())


def sound_end_ms(trace: Trace) -> float:
    """Return the end of the session's clock, as far as its sound bears it out: a damaged time is no sound of a year."""
    longest_ms = max((track.end * 1000 / track.rate for track in trace.tracks.values()), default=0.0)
    end_ms = trace.now()
    return max(0.0, min(end_ms, 2 * longest_ms + PIECE_MS)) if end_ms == end_ms else longest_ms


def stereo_pieces(trace: Trace, moments: MomentsFold, end_ms: float) -> Iterator[Samples]:
    """Yield both sides from 0 to `end_ms`, a minute at a time: PCM16 at `OUTPUT_RATE`, shape (n, 2)."""
    start_ms = 0.0
    while start_ms < end_ms:
        stop_ms = min(end_ms, start_ms + PIECE_MS)
        yield stereo_samples(trace, moments, start_ms, stop_ms)
        start_ms = stop_ms
