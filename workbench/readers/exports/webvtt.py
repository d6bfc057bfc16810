"""What was said as WebVTT: subtitles with a voice for each side, which players and editors of video show."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TextIO

from workbench.model.text import plain
from workbench.readers import plausible_entries
from workbench.readers.folds.voices import VoicesFold, voices
from workbench.trace.trace import Trace

TYPED_MS = 2000.0
"""How long a typed text is shown."""
SHORTEST_MS = 1.0
"""A cue ends after it begins, or the whole file is refused by some players."""
Cue = tuple[float, float, str, str]
"""Start and end, ms; voice; text."""


def write_webvtt(trace: Trace, out: TextIO) -> None:
    """Write a cue for each stretch of speech, in order of their beginning; those of both sides may overlap.

    The agent's cues hold what was heard; what was cut off is left out, and … stands in its place.
    """
    out.write("WEBVTT\n")
    for start_ms, end_ms, voice, text in sorted(cues(voices(plausible_entries(trace)))):
        end_ms = max(end_ms, start_ms + SHORTEST_MS)
        out.write(f"\n{timestamp(start_ms)} --> {timestamp(end_ms)}\n<v {voice}>{_payload(text)}\n")


def cues(said: VoicesFold) -> Iterator[Cue]:
    """Yield what either side said, from first to last sound of it."""
    for utterance in said.user:
        if not utterance.text or utterance.dismissed:
            continue
        if utterance.typed_ms is not None:
            yield utterance.typed_ms, utterance.typed_ms + TYPED_MS, "You", utterance.text
        elif utterance.segments:
            yield utterance.segments[0][0], utterance.segments[-1][1], "You", utterance.text
    for reply in said.agent:
        if reply.segments and reply.heard:
            text = f"{reply.heard} …" if reply.unheard else reply.heard
            yield reply.segments[0][0], reply.segments[-1][1], "Agent", text


def timestamp(ms: float) -> str:
    """Return `00:01:02.345`; hours have as many digits as they need."""
    whole = max(0, round(ms))
    minutes, rest = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def _payload(text: str) -> str:
    """Return one line that no player takes for tags or for the times of a cue."""
    return escape(plain(text, one_line=True), quote=False)
