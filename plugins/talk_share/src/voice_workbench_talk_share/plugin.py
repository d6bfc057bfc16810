"""The panel `talk-share`: how much of the time the user talks, and how much the agent."""

from __future__ import annotations

from workbench import hookimpl
from workbench.spi import Panel


def _make() -> object:
    from .panel import TalkShare  # textual: 0.2 s

    return TalkShare()


@hookimpl
def workbench_tui_panels() -> list[Panel]:
    """Contribute the panel."""
    return [Panel("talk-share", "Who talks", _make)]
