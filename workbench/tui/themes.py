"""Two calm themes. Every colour that means something is a variable here, named after its meaning."""

from __future__ import annotations

import os
from collections.abc import Mapping

from textual.theme import Theme

from workbench.views.palette import DARK as DARK_PARTS
from workbench.views.palette import LIGHT as LIGHT_PARTS

DARK, LIGHT = "workbench-dark", "workbench-light"


def themes() -> list[Theme]:
    """The dark one and the light one."""
    dark = {
        "user": "#7cb7ff", "agent": "#8ccfa8", "quiet": "#8a94a6", "pending": "#8a94a6", "unheard": "#7a8496",
        "track": "#39414f", "lane": "#5d687a",
        "activity-starting": "#8a94a6", "activity-listening": "#7cb7ff", "activity-hearing": "#a9d0ff",
        "activity-thinking": "#e5c07b", "activity-speaking": "#8ccfa8", "activity-muted": "#e5c07b",
        "activity-ended": "#8a94a6",
        "activity-recording": "#7cb7ff",
        "call-pending": "#8a94a6", "call-running": "#e5c07b", "call-done": "#8ccfa8", "call-failed": "#ee7f86",
        "call-cancelled": "#c58f6d", "call-discarded": "#7a8496",
        **_parts(DARK_PARTS),
        "footer-background": "#12151b", "footer-key-foreground": "#7cb7ff", "footer-description-foreground": "#8a94a6",
    }  # fmt: skip
    light = {
        "user": "#1862ae", "agent": "#1f7446", "quiet": "#667080", "pending": "#737d8c", "unheard": "#737d8c",
        "track": "#cfcdc6", "lane": "#9a9a97",
        "activity-starting": "#667080", "activity-listening": "#1862ae", "activity-hearing": "#0d4a8a",
        "activity-thinking": "#94660a", "activity-speaking": "#1f7446", "activity-muted": "#94660a",
        "activity-ended": "#667080",
        "activity-recording": "#1862ae",
        "call-pending": "#667080", "call-running": "#94660a", "call-done": "#1f7446", "call-failed": "#b8323b",
        "call-cancelled": "#a2633a", "call-discarded": "#737d8c",
        **_parts(LIGHT_PARTS),
        "footer-background": "#faf9f6", "footer-key-foreground": "#1862ae", "footer-description-foreground": "#667080",
    }  # fmt: skip
    return [
        Theme(
            DARK, primary="#7cb7ff", secondary="#c58f6d", accent="#b9a2f2", success="#8ccfa8", warning="#e5c07b",
            error="#ee7f86", foreground="#d6dbe4", background="#12151b", surface="#12151b", panel="#1b2029",
            boost="#1b2029", dark=True, variables=dark,
        ),
        Theme(
            LIGHT, primary="#1862ae", secondary="#a2633a", accent="#7353c4", success="#1f7446", warning="#94660a",
            error="#b8323b", foreground="#262b33", background="#faf9f6", surface="#faf9f6", panel="#efede7",
            boost="#efede7", dark=False, variables=light,
        ),
    ]  # fmt: skip


def _parts(colours: Mapping[str, str]) -> dict[str, str]:
    return {f"part-{part.replace('_', '-')}": colour for part, colour in colours.items()}


def preferred(environ: Mapping[str, str] = os.environ) -> str:
    """The theme that goes with the terminal's background where it says so (`COLORFGBG`), else the dark one."""
    background = environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if background in ("7", "15") else DARK
