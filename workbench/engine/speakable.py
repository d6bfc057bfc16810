"""Written text made speakable."""

from __future__ import annotations

from workbench.model.text import plain


def speakable(text: str) -> str:
    """The text as a voice should read it."""
    return plain(text, one_line=True)
