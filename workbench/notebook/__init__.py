"""The workbench in a notebook: `from workbench.notebook import live, show, compare, score, knob, knobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.notebook.dialogue_script import score
    from workbench.notebook.launcher import LiveWidget, live
    from workbench.notebook.session_page import compare, show
    from workbench.notebook.setting_widgets import knob, knobs

__all__ = ["LiveWidget", "compare", "knob", "knobs", "live", "score", "show"]

_HOMES = {
    "LiveWidget": "workbench.notebook.launcher",
    "compare": "workbench.notebook.session_page",
    "knob": "workbench.notebook.setting_widgets",
    "knobs": "workbench.notebook.setting_widgets",
    "live": "workbench.notebook.launcher",
    "score": "workbench.notebook.dialogue_script",
    "show": "workbench.notebook.session_page",
}
"""Names are imported when they are asked for: matplotlib and ipywidgets cost half a second together."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
