"""The sound of a report: both sides in one stereo file, small enough to be in the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from io import BytesIO

from workbench.model.audio import OUTPUT_RATE
from workbench.readers.exports.sound import sound_end_ms, stereo_pieces
from workbench.readers.moments import MomentsFold
from workbench.readers.waveform import SIDES
from workbench.trace.trace import Trace

MOST_SOUND_MS = 2 * 3_600_000.0
"""Longer sessions have their first two hours in the page: 29 MB of Opus, 38 MB of page."""
COMPRESSION = 0.96
"""Of libsndfile: 32 kbit/s for both sides, 4 kB a second."""
Progress = Callable[[float], object]
"""Is told how much of the sound is done, 0…1."""


def embedded_sound(trace: Trace, moments: MomentsFold, progress: Progress) -> tuple[str, float]:
    """Return an address with the sound in it, Opus in Ogg, and until when it goes, ms; empty where there is none.

    The user is left, the agent right. A minute takes half a second to a second.
    """
    if not any(side in trace.tracks and trace.tracks[side].end for side in SIDES):
        return "", 0.0
    import soundfile  # 20 ms

    end_ms = min(sound_end_ms(trace), MOST_SOUND_MS)
    out, done = BytesIO(), 0
    with soundfile.SoundFile(
        out, "w", OUTPUT_RATE, len(SIDES), subtype="OPUS", format="OGG", compression_level=COMPRESSION
    ) as file:
        for piece in stereo_pieces(trace, moments, end_ms):
            file.write(piece)
            done += len(piece)
            progress(min(1.0, done * 1000 / OUTPUT_RATE / end_ms))
    return f"data:audio/ogg;base64,{b64encode(out.getvalue()).decode()}", end_ms
