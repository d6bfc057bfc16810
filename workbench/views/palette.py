"""The colour of everything that is drawn: parts of a waterfall, speakers, states, the ground.

`PALETTE` is the only place with colours. The themes of the TUI take their variables from it, figures their tones that
are readable on any ground, and pages the custom properties that `css` writes. A part of a waterfall `tts_first_byte`
is `part-tts-first-byte` here and `--wb-part-tts-first-byte` in a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from workbench.model.events import PARTS

DARK_PAGES = ("[data-jp-theme-light=false]", ".vscode-dark", "[data-theme=dark]", "html[theme=dark]")
"""Selectors of dark pages: JupyterLab, Notebook 7 and nbconvert; VS Code; Sphinx; Colab."""


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour on light and on dark ground, `#rrggbb`."""

    light: str
    dark: str

    @property
    def middle(self) -> str:
        """Return the tone between both, for pictures with a transparent ground."""
        channels = [(int(self.light[at : at + 2], 16), int(self.dark[at : at + 2], 16)) for at in (1, 3, 5)]
        return "#" + "".join(f"{(light + dark) // 2:02x}" for light, dark in channels)


_BLUE, _GREEN = Colour("#1862ae", "#7cb7ff"), Colour("#1f7446", "#8ccfa8")
_YELLOW, _RED = Colour("#94660a", "#e5c07b"), Colour("#b8323b", "#ee7f86")
_GREY, _FAINT = Colour("#667080", "#8a94a6"), Colour("#737d8c", "#7a8496")
_BROWN, _VIOLET, _TEAL = (
    Colour("#a2633a", "#c58f6d"),
    Colour("#7353c4", "#b9a2f2"),
    Colour("#2b8a94", "#6fc3cc"),
)

PALETTE: dict[str, Colour] = {
    # the ground, and what is written on it
    "paper": Colour("#faf9f6", "#12151b"),
    "panel": Colour("#efede7", "#1b2029"),
    "ink": Colour("#262b33", "#d6dbe4"),
    "quiet": _GREY,
    "track": Colour("#cfcdc6", "#39414f"),
    "lane": Colour("#9a9a97", "#5d687a"),
    # the two sides, and what is not said yet or was never heard
    "user": _BLUE,
    "agent": _GREEN,
    "pending": Colour("#737d8c", "#8a94a6"),
    "unheard": _FAINT,
    # signs
    "success": _GREEN,
    "warning": _YELLOW,
    "error": _RED,
    "accent": _VIOLET,
    "secondary": _BROWN,
    # parts of a waterfall, in the order in which they follow each other
    "part-startup": Colour("#857a63", "#b3a88f"),
    "part-network-in": _TEAL,
    "part-jitter-buffer": Colour("#3d858f", "#8fcfd6"),
    "part-endpointing": Colour("#8a919c", "#7b8699"),
    "part-cpu-wait": Colour("#a8443f", "#d98a80"),
    "part-stt": Colour("#2f7cc9", "#7cb7ff"),
    "part-llm-first-token": _VIOLET,
    "part-first-chunk": Colour("#9279d6", "#9683d6"),
    "part-tools": Colour("#b0508c", "#e0a0c8"),
    "part-tts-first-byte": Colour("#2f8d58", "#8ccfa8"),
    "part-floor": Colour("#a97a17", "#d4b26a"),
    "part-network-out": _TEAL,
    "part-playback-buffer": Colour("#c07a52", "#dba582"),
    "part-output-buffer": _BROWN,
    "part-leading-silence": Colour("#5aa67b", "#5fa583"),
    "part-unexplained": Colour("#c93a44", "#ee7f86"),
    # what a session does
    "activity-starting": _GREY,
    "activity-listening": _BLUE,
    "activity-hearing": Colour("#0d4a8a", "#a9d0ff"),
    "activity-thinking": _YELLOW,
    "activity-speaking": _GREEN,
    "activity-muted": _YELLOW,
    "activity-ended": _GREY,
    "activity-recording": _BLUE,
    # how a call of a tool stands
    "call-pending": _GREY,
    "call-running": _YELLOW,
    "call-done": _GREEN,
    "call-failed": _RED,
    "call-cancelled": _BROWN,
    "call-discarded": _FAINT,
}  # fmt: skip
DRAWN_PARTS = ("startup", *PARTS, "unexplained")
"""Everything that a waterfall may have a bar for; each has a colour."""


def part_key(part: str) -> str:
    """Return a part's name in `PALETTE`."""
    return f"part-{part.replace('_', '-')}"


def part_colour(part: str) -> Colour:
    """Return the colour of a part of a waterfall."""
    return PALETTE[part_key(part)]


@cache
def css() -> str:
    """Return the style sheet of a page: each colour as `--wb-NAME`, dark on dark pages, and as ground `.wb-fill-NAME`.

    It wins over the colour that an element has by its own style attribute, which stands where a page takes style sheets
    away.
    """
    light = "".join(f"--wb-{name}:{colour.light};" for name, colour in PALETTE.items())
    dark = "".join(f"--wb-{name}:{colour.dark};" for name, colour in PALETTE.items())
    fills = "".join(
        f".wb-fill-{name}{{background-color:var(--wb-{name})!important}}"
        for name in PALETTE
        if name.startswith("part-")
    )
    return f":root{{{light}}}{','.join(DARK_PAGES)}{{{dark}}}{fills}"


def dark_css() -> str:
    """Return what goes after `css` on a page of our own: dark where the reader's system is."""
    dark = "".join(f"--wb-{name}:{colour.dark};" for name, colour in PALETTE.items())
    return f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
