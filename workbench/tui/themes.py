"""Two calm themes. Every colour that means something is a variable, named as in the palette of the views."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from textual.theme import Theme

from workbench.views.palette import PALETTE

DARK, LIGHT = "workbench-dark", "workbench-light"
ROLES = {
    "primary": "user",
    "secondary": "secondary",
    "accent": "accent",
    "success": "success",
    "warning": "warning",
    "error": "error",
    "foreground": "ink",
    "background": "paper",
    "surface": "paper",
    "panel": "panel",
    "boost": "panel",
}
"""What Textual calls the colours that it draws its own widgets with."""
FOOTER = {
    "footer-background": "paper",
    "footer-key-foreground": "user",
    "footer-description-foreground": "quiet",
}


def themes() -> list[Theme]:
    """Return the dark one and the light one."""
    return [_theme(DARK, dark=True), _theme(LIGHT, dark=False)]


def _theme(name: str, *, dark: bool) -> Theme:
    colours = {key: colour.dark if dark else colour.light for key, colour in PALETTE.items()}
    own = {key: value for key, value in colours.items() if key not in ROLES}
    variables = own | {key: colours[role] for key, role in FOOTER.items()}
    roles: dict[str, Any] = {key: colours[role] for key, role in ROLES.items()}
    return Theme(name, dark=dark, variables=variables, **roles)


def preferred(environ: Mapping[str, str] = os.environ) -> str:
    """Return the theme for the terminal's background where it says so (`COLORFGBG`), else the dark one."""
    background = environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if background in ("7", "15") else DARK
