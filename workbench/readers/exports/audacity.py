"""Labels for Audacity: a label track for each side, and the sound that they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from workbench.model.text import plain
from workbench.readers import plausible_entries
from workbench.readers.exports.sound import write_wav
from workbench.readers.folds.voices import voices
from workbench.trace.trace import Trace

Label = tuple[float, float, str]
"""Start and end, ms; text."""


def write_audacity(trace: Trace, folder: Path) -> None:
    """Write `user.txt`, `agent.txt` and `session.wav` into a folder: times count from the beginning of the sound.

    A stretch of speech is a label. Dismissed ones say why, and an answer that was cut says what was not heard.
    """
    said = voices(plausible_entries(trace))
    user = [
        (
            start_ms,
            end_ms,
            f"{utterance.text} [{utterance.dismissed}]" if utterance.dismissed else utterance.text,
        )
        for utterance in said.user
        for start_ms, end_ms in utterance.segments
    ]
    agent = [
        (start_ms, end_ms, f"{reply.heard} [not heard: {reply.unheard}]" if reply.unheard else reply.heard)
        for reply in said.agent
        for start_ms, end_ms in reply.segments
    ]
    for name, labels in (("user", user), ("agent", agent)):
        (folder / f"{name}.txt").write_text(label_track(labels), encoding="utf-8")
    with (folder / "session.wav").open("wb") as file:
        write_wav(trace, file)


def label_track(labels: Iterable[Label]) -> str:
    """Return a line a label: start and end in seconds, and the text, with tabs between them."""
    return "".join(
        f"{max(0.0, start_ms) / 1000:.6f}\t{max(0.0, end_ms) / 1000:.6f}\t{plain(text, one_line=True)}\n"
        for start_ms, end_ms, text in sorted(labels)
    )
