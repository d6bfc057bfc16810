"""Recordings of the golden conversations without playing them again: their events, and sound that is made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workbench.model.events import Entry, Event
from workbench.trace.codec import encode
from workbench.trace.store import About, SessionFolder
from workbench.trace.wav import wav_header

TRACES = Path(__file__).parent / "golden" / "traces"


def golden_recording(name: str, folder: Path, *, sound_s: float = 8.0) -> Path:
    """Write the folder of a golden conversation; both sides are noise at a level of their own."""
    return _write(folder, (TRACES / f"{name}.events.jsonl").read_text("utf-8"), sound_s)


def made_recording(folder: Path, events: Sequence[tuple[float, Event]], *, sound_s: float = 0.0) -> Path:
    """Write the folder of a session with these events, each at its time in ms."""
    entries = (Entry(number, t_ms, event) for number, (t_ms, event) in enumerate(events))
    return _write(folder, "".join(f"{encode(entry)}\n" for entry in entries), sound_s)


def _write(folder: Path, events: str, sound_s: float) -> Path:
    about = About(session="golden", date="2026-01-02T03:04:05Z", agent="golden", versions={"python": "3.11"})
    session = SessionFolder.create(about, folder)
    session.events.write_text(events, encoding="utf-8")
    for track, rate, level in (("user", 16_000, 3000), ("agent", 24_000, 6000)):
        noise = np.random.default_rng(rate).normal(0, level, round(sound_s * rate)).astype("<i2")
        if sound_s:
            (folder / f"{track}.wav").write_bytes(wav_header(rate, len(noise)) + noise.tobytes())
    return folder
