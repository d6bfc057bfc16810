"""The sound around a silence, to hear whether a turn was over."""

from __future__ import annotations

from workbench.model.audio import INPUT_RATE, Samples
from workbench.readers.waveform import mixed_samples
from workbench.replay.tune.truth import TrueSilence
from workbench.views.trace import OpenTrace

BEFORE_MS, AFTER_MS = 2_500.0, 1_500.0
"""Sound before the silence and after it."""
LONGEST = INPUT_RATE * 3
"""So much of the silence itself, samples."""


def sound_around(trace: OpenTrace, silence: TrueSilence) -> Samples:
    """Return both sides around a silence, mono PCM16 at `OUTPUT_RATE`."""
    moments = trace.moments
    start_ms = moments.time_ms("user", silence.start) - BEFORE_MS
    stop_ms = moments.time_ms("user", min(silence.stop, silence.start + LONGEST)) + AFTER_MS
    return mixed_samples(trace, moments, max(0.0, start_ms), stop_ms)
