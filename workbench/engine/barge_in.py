"""What it was that the user said into a reply: a pure judgement, asked at every frame until it is given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from workbench.engine.settings import BargeInSettings
from workbench.model.conversation import Transcript

BACKCHANNELS = frozenset(
    [
        "mhm",
        "mm",
        "hm",
        "hmm",
        "mmhmm",
        "mmm",
        "uh",
        "uhhuh",
        "huh",
        "um",
        "umm",
        "ah",
        "aha",
        "oh",
        "ooh",
        "yeah",
        "yep",
        "yup",
        "yes",
        "ok",
        "okay",
        "right",
        "sure",
        "well",
        "wow",
    ]
)
"""What listeners say without wanting the floor (after Ward and Tsukahara, 2000; the short English ones)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the speech that paused a reply."""

    since_onset_ms: float
    next_ms: float
    """Until the verdict is asked for again."""
    voiced_ms: float
    """Of it above the VAD's threshold."""
    silent: bool
    """The user has fallen silent again."""
    transcript: Transcript | None
    """The STT's text so far; None before its first."""
    covered: bool
    """The transcript takes all of the speech into account."""
    partials: bool
    """The STT writes transcripts while the user speaks, so that no words means no words."""
    echo: float
    """Correlation with what we play, 0…1."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An interruption or a false alarm, and the sign that decided."""

    kind: Literal["interruption", "false"]
    reason: str


def words(text: str) -> list[str]:
    """Lower-case words of a transcript without punctuation: `Uh-huh.` is one."""
    return re.findall(r"[^\W_]+", text.lower().replace("-", "").replace("'", "").replace("’", ""))


def content_words(transcript: Transcript | None, settings: BargeInSettings) -> int:
    """Words with enough confidence, backchannels not counted."""
    if transcript is None:
        return 0
    if transcript.confidence is not None and not transcript.confidence >= settings.min_confidence:  # NaN too
        return 0
    return sum(word not in BACKCHANNELS for word in words(transcript.text))


def judge(signs: Evidence, settings: BargeInSettings) -> Verdict | None:
    """The verdict, or None while it can wait: it cannot any more `verdict_ms` after onset."""
    if signs.echo >= settings.echo_correlation:
        return Verdict("false", f"echo of ourselves (correlation {signs.echo:.2f})")
    if content_words(signs.transcript, settings) >= settings.min_words:
        return Verdict("interruption", "words")
    if not signs.partials and signs.voiced_ms >= settings.min_speech_ms:
        return Verdict("interruption", f"speech of {signs.voiced_ms:.0f} ms")
    if signs.silent and signs.covered:
        spoken = signs.transcript and words(signs.transcript.text)
        return Verdict("false", "backchannel" if spoken else "no words")
    if signs.silent and not signs.partials and signs.voiced_ms < settings.min_speech_ms:
        return Verdict("false", f"too short ({signs.voiced_ms:.0f} ms)")
    if signs.since_onset_ms + signs.next_ms > settings.verdict_ms:
        return overdue(settings)
    return None


def overdue(settings: BargeInSettings) -> Verdict:
    """The verdict when there is no sign in time: the reply goes on."""
    return Verdict("false", f"no words within {settings.verdict_ms:.0f} ms")
