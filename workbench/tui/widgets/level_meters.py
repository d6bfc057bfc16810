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

    levels: reactive[AudioLevels] = reactive(AudioLevels())

    def render(self) -> Content:
        """Draw label, bar, level and state of each side."""
        levels, width = self.levels, self.content_size.width
        user, agent = "⊘ muted" if levels.muted else USER_WORDS[levels.user], AGENT_WORDS[levels.agent]
        return Content("\n").join(
            [
                meter("you", levels.user_db, levels.user_peak_db, user, width, "$user"),
                meter("agent", levels.agent_db, levels.agent_peak_db, agent, width, "$agent"),
            ]
        )


def meter(label: str, rms_db: float, peak_db: float, state: str, width: int, colour: str) -> Content:
    """Return one side's line of `width` cells: bar up to the RMS level, a mark at the peak."""
    room = max(4, width - 6 - 8 - 11)
    filled, peak = (round(room * share(db)) for db in (rms_db, peak_db))
    gap = max(0, peak - filled - 1)
    tip = "╸" if peak > filled else ""
    level = f"{rms_db:4.0f} dB" if rms_db > -99 else "   – dB"
    return Content.assemble(
        (f"{label:<6}", colour),
        ("━" * filled, colour),
        ("─" * gap, "$track"),
        (tip, colour),
        ("─" * (room - filled - gap - len(tip)), "$track"),
        (f" {level} ", "$quiet"),
        (state[: max(0, width - 6 - room - 8)], "" if state[0] in "●⊘" else "$quiet"),
    )


def share(db: float) -> float:
    """Return the place on a scale from `LOWEST_DB` (0) to full scale (1)."""
    return min(1.0, max(0.0, 1.0 - db / LOWEST_DB))
