"""Settings as ipywidgets, made from where they are declared: with their bounds, and their sentence as tooltip.

interact(play, silence_ms=knob("turn.silence_ms"))      # any function of yours
knobs(session, "turn.silence_ms", "bargein.mode")       # bound to a running session, both ways
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from functools import cache, partial
from math import inf
from operator import attrgetter
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import ipywidgets as widgets
from IPython.display import display
from traitlets import TraitError

from workbench.config import known_settings, sentences
from workbench.config.validation import SourcedValue, nearest, validate
from workbench.model.errors import UsageError, WorkbenchError, run_foreign
from workbench.model.events import DuplexChanged, SettingChanged
from workbench.model.text import plain
from workbench.session import FIXED, Session
from workbench.transports.browser.transport import MODE
from workbench.views.html import safe, table

DEFAULT_NAMES = ("turn.silence_ms", "turn.adapt", "vad.threshold", "bargein.mode", "reply.speculate")
"""What is tuned most often."""
SLIDER_STEPS = 100
"""About."""
STYLE, LAYOUT = {"description_width": "12em"}, {"width": "30em"}
OUTPUT = ".jp-OutputArea-child"
HIDE_TABLE = f"<style>{OUTPUT}:has(.jupyter-widgets *)+{OUTPUT}:has(.wb-set){{display:none}}</style>"
"""The table is not shown under the widgets that show the same."""


def knob(name: str, value: Any = None, **options: Any) -> Any:
    """Return the widget of a setting (`turn.silence_ms`) at `value` or its default; `options` (`min`, `max`) go to it.

    Raises UsageError for an unknown setting, or one that a widget cannot hold, for a value or bound that the setting
    refuses, and for a value that is not between `min` and `max`. A default that is not is moved in.
    """
    _must_be_known(name)
    info = known_settings()[name]
    kind, bounds = _without_none(info.annotation), bounds_of(name)
    options |= {end: _checked(name, options[end], f"knob, {end}") for end in ("min", "max") if end in options}
    if value is None:
        value, chosen = info.get_default(call_default_factory=True), None
    else:
        value = chosen = _checked(name, value, "knob")
    if kind in (int, float):
        _must_fit(name, chosen, options.get("min", -inf), options.get("max", inf))
    about = {"description": name, "tooltip": _sentences().get(name, "")}
    try:
        widget = _widget(name, kind, bounds, value, {"style": STYLE, "layout": LAYOUT, **about, **options})
    except (TraitError, TypeError, ValueError) as error:
        raise UsageError(f"{name} has no such widget: {plain(str(error), 300, one_line=True)}") from None
    return _with_table(widget, {name: widget})


def _checked(name: str, value: Any, origin: str) -> Any:
    """Return the value as the setting has it. Raises UsageError with reason and bounds."""
    return attrgetter(name)(validate({name: SourcedValue(value, origin)}, None))


def _must_fit(name: str, value: float | None, low: float, high: float) -> None:
    """Refuse a value outside of its slider, which would move it without a word."""
    if low > high:
        raise UsageError(f"knob: {name}: min = {low:g} is above max = {high:g}", "give the lower one as min")
    if value is not None and not low <= value <= high:
        reason = f"knob: {name} = {value:g} is not between min and max"
        raise UsageError(reason, f"allowed here: {low:g} to {high:g}")


def _widget(name: str, kind: Any, bounds: dict[str, Any], value: Any, options: dict[str, Any]) -> Any:
    """Return the widget for a kind of value."""
    if get_origin(kind) is Literal:
        return widgets.Dropdown(options=get_args(kind), value=value, **options)
    if kind is bool:
        return widgets.Checkbox(value=value, indent=False, **options)
    if kind in (int, float) and len(bounds) == 2:
        step = step_of(options.get("max", bounds["max"]) - options.get("min", bounds["min"]))
        bounds |= {"continuous_update": False}
        if kind is int:
            return widgets.IntSlider(value=value, **{**bounds, "step": 1, **options})
        readout = ".0f" if step >= 1 else ".2f"
        return widgets.FloatSlider(
            value=value, **{**bounds, "step": step, "readout_format": readout, **options}
        )
    if kind in (int, float):
        return (widgets.IntText if kind is int else widgets.FloatText)(value=value, **options)
    if kind is str:
        return widgets.Text(value=value or "", continuous_update=False, **options)
    raise UsageError(f"{name} has no widget", "set it with session.set, or in workbench.toml")


def knobs(session: Any, *names: str) -> Any:
    """Return a column of widgets bound to a session, or to that of a widget: they set it and follow it.

    The reason of a refusal stands under them. By default those that are tuned most often. Raises UsageError for an
    unknown setting, or one that is fixed while a session runs.
    """
    session = getattr(session, "session", session)
    if not isinstance(session, Session):
        reason = f"{type(session).__name__} is no session"
        raise UsageError(reason, "write knobs(session), or knobs of its widget")
    names = names or DEFAULT_NAMES
    for name in names:
        _must_be_known(name)
        if name.split(".")[0] in FIXED or name.endswith(".provider"):
            raise UsageError(f"{name} is fixed while a session runs", "`swap` replaces a provider")
    first_entry = session.trace.end
    controls = {name: knob(name, setting_value(session, name)) for name in names}
    refusal = widgets.HTML()
    for name, control in controls.items():
        control.observe(_setter(session, name, refusal), names="value")
    follow = _follow(session, first_entry, controls, refusal)
    # In the cell's context: what observers print goes where the cell's output goes, while it is shown.
    cell = contextvars.copy_context()
    threading.Thread(target=cell.run, args=(asyncio.run, follow), name="notebook-knobs", daemon=True).start()
    return _with_table(widgets.VBox([*controls.values(), refusal]), controls)


def _with_table(widget: Any, controls: dict[str, Any]) -> Any:
    """Let the widget show its values as a table where no widget can be: in a saved notebook, where nothing may run."""
    view = widget._repr_mimebundle_

    def values() -> dict[str, str]:
        rows = [
            [f"<code>{safe(name)}</code>", safe(control.value), safe(_sentences().get(name, ""))]
            for name, control in controls.items()
        ]
        html = f'{HIDE_TABLE}<div class="wb-set">{table(["setting", "value", ""], rows)}</div>'
        text = ", ".join(f"{name} = {control.value}" for name, control in controls.items())
        return {"text/html": html, "text/plain": text}

    def show() -> None:
        """Two outputs, as pages that nbconvert makes have no other for a widget whose program they cannot fetch."""
        if widget.comm is not None:
            display(view() | {"text/plain": values()["text/plain"]}, raw=True)
        display(values(), raw=True)

    # On the object: which class it has depends on the setting.
    widget._repr_mimebundle_ = lambda **kwargs: view(**kwargs) | values()
    widget._ipython_display_ = show
    return widget


def _show_refusal(refusal: Any, error: WorkbenchError | None) -> None:
    refusal.value = f"{safe(error.reason)}<br>→ {safe(error.hint)}" if error else ""


def _setter(session: Session, name: str, refusal: Any) -> Callable[[Any], None]:
    def changed(change: Any) -> None:
        if setting_value(session, name) == change["new"]:
            return  # it was changed elsewhere, and the widget follows
        try:
            session.set(name, change["new"])
            _show_refusal(refusal, None)
        except WorkbenchError as error:
            _show_refusal(refusal, error)
            change["owner"].value = setting_value(session, name)

    return changed


async def _follow(session: Session, first_entry: int, controls: dict[str, Any], refusal: Any) -> None:
    """Move the widgets to the session's values, whenever a setting changes, until the session has ended."""
    async for entry in session.trace.follow(first_entry):
        match entry.event:
            case SettingChanged(name=name):
                pass
            case DuplexChanged():
                name = MODE
            case _:
                continue
        if name in controls:  # to the value of now: the event's may be history
            move = partial(setattr, controls[name], "value", setting_value(session, name))
            if error := run_foreign(f"an observer of {name}", move):  # which must not end this thread
                _show_refusal(refusal, error)


def setting_value(session: Session, name: str) -> Any:
    """Return the value of a setting now."""
    return attrgetter(name)(session.settings)


def _without_none(kind: Any) -> Any:
    """Return float for `float | None`."""
    if NoneType not in get_args(kind):
        return kind
    return next(option for option in get_args(kind) if option is not NoneType)


def _must_be_known(name: object) -> None:
    if not isinstance(name, str) or name not in known_settings():
        raise UsageError(f"{plain(str(name), 60)} is no setting", nearest(str(name), known_settings()))


def bounds_of(name: str) -> dict[str, Any]:
    """Return `min` and `max` of a setting, where it has them."""
    ends = {"ge": "min", "gt": "min", "le": "max", "lt": "max"}
    constraints = known_settings()[name].metadata
    return {
        end: getattr(bound, key) for bound in constraints for key, end in ends.items() if hasattr(bound, key)
    }


def step_of(span: float) -> float:
    """Return a round number of which about a hundred make the span: 0.01, 0.1, 1, 10, …"""
    step = 0.001
    while step * 10 <= span / SLIDER_STEPS * 2:
        step *= 10
    return round(step, 3)


_sentences = cache(sentences)
"""Reads the source: 20 ms."""
