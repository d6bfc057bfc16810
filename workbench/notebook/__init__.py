"""The workbench in a notebook: `from workbench.notebook import live, show, compare, score, knob, knobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.notebook.controls import knob, knobs
    from workbench.notebook.look import compare, show
    from workbench.notebook.scenes import score
    from workbench.notebook.talk import Live, live

__all__ = ["Live", "compare", "knob", "knobs", "live", "score", "show"]

_HOMES = {
    "Live": "workbench.notebook.talk",
    "compare": "workbench.notebook.look",
    "knob": "workbench.notebook.controls",
    "knobs": "workbench.notebook.controls",
    "live": "workbench.notebook.talk",
    "score": "workbench.notebook.scenes",
    "show": "workbench.notebook.look",
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
