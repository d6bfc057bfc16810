"""How loud both sides are, and who the VAD says speaks."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.readers.folds.levels import AudioLevels, VoiceState

LOWEST_DB = -60.0
"""Left end of a meter, dBFS; the right end is full scale."""

USER_WORDS: dict[VoiceState, str] = {"silent": "○ silence", "paused": "◐ pause", "speaking": "● speech"}
AGENT_WORDS: dict[VoiceState, str] = {"silent": "○ silence", "paused": "◐ held", "speaking": "● speaking"}


class LevelMeters(Widget):
    """Two lines, one a side."""

    BORDER_TITLE = "Levels"

    gauges: reactive[AudioLevels] = reactive(AudioLevels())

    def render(self) -> Content:
        """Label, bar, level, state."""
        now, width = self.gauges, self.content_size.width
        state = "⊘ muted" if now.muted else USER_WORDS[now.user]
        return Content("\n").join(
            [
                meter("you", now.user_db, now.user_peak_db, state, width, "$user"),
                meter("agent", now.agent_db, now.agent_peak_db, AGENT_WORDS[now.agent], width, "$agent"),
            ]
        )


def meter(label: str, rms_db: float, peak_db: float, state: str, width: int, colour: str) -> Content:
    """One side's line, `width` cells."""
    room = max(4, width - 6 - 8 - 11)
    filled, peak = (round(room * share(db)) for db in (rms_db, peak_db))
    ahead = max(0, peak - filled - 1)
    bar = [
        Content.styled("━" * filled, colour),
        Content.styled("─" * ahead, "$track"),
        Content.styled("╸" if peak > filled else "", colour),
    ]
    rest = room - filled - ahead - (peak > filled)
    level = f"{rms_db:4.0f} dB" if rms_db > -99 else "   – dB"
    return Content.assemble(
        (f"{label:<6}", colour),
        *bar,
        ("─" * rest, "$track"),
        (f" {level} ", "$quiet"),
        (state[: max(0, width - 6 - room - 8)], "" if state[0] in "●⊘" else "$quiet"),
    )


def share(db: float) -> float:
    """How far along a scale from `LOWEST_DB` to full scale that is, 0…1."""
    return min(1.0, max(0.0, 1.0 - db / LOWEST_DB))
