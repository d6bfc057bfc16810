"""Settings as ipywidgets, made from where they are declared: with their bounds, and their sentence as tooltip.

interact(play, silence_ms=knob("turn.silence_ms"))      # any function of yours
knobs(session, "turn.silence_ms", "bargein.mode")       # bound to a running session, both ways
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import cache
from math import inf
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import ipywidgets as widgets
from IPython.display import display
from traitlets import TraitError

from workbench.config import known_settings, sentences
from workbench.config.check import Given, nearest, validated
from workbench.model.errors import UsageError, WorkbenchError, tried
from workbench.model.events import DuplexChanged, SettingChanged
from workbench.model.text import plain
from workbench.session import FIXED, Session
from workbench.transports.browser.duplex import MODE
from workbench.views.html import safe, table

USUAL = ("turn.silence_ms", "turn.adapt", "vad.threshold", "bargein.mode", "reply.speculate")
"""What is tuned most often."""
STEPS = 100
"""Steps of a slider, about."""
STYLE, LAYOUT = {"description_width": "12em"}, {"width": "30em"}
INSTEAD = "<style>.jp-OutputArea-child:has(.jupyter-widgets *)+.jp-OutputArea-child:has(.wb-set){display:none}</style>"
"""The table is not shown under the widgets that show the same."""


def knob(name: str, value: Any = None, **options: Any) -> Any:
    """The widget of a setting (`turn.silence_ms`) at `value` or its default; `options` (`min`, `max`) go to the widget.

    Raises UsageError for what is no setting, or none that a widget can hold, for a value or bound that the setting
    refuses, and for a value that is not between `min` and `max`. A default that is not is moved in.
    """
    _must_be_known(name)
    info = known_settings()[name]
    kind, bounds = _plain_kind(info.annotation), bounds_of(name)
    options |= {end: _checked(name, options[end], f"knob, {end}") for end in ("min", "max") if end in options}
    given = None if value is None else _checked(name, value, "knob")
    if kind in (int, float):
        _must_fit(name, given, options.get("min", -inf), options.get("max", inf))
    value = info.get_default(call_default_factory=True) if value is None else given
    about = {"description": name, "tooltip": _sentences().get(name, "")}
    common = {"style": STYLE, "layout": LAYOUT, **about, **options}
    try:
        made = _made(name, kind, bounds, value, common)
    except (TraitError, TypeError, ValueError) as error:
        raise UsageError(f"{name} has no such widget: {plain(str(error), 300, one_line=True)}") from None
    return _with_table(made, {name: made})


def _checked(name: str, value: Any, origin: str) -> Any:
    """The value as the setting has it. Raises UsageError with reason and bounds."""
    found: Any = validated({name: Given(value, origin)}, None)
    for key in name.split("."):
        found = getattr(found, key)
    return found


def _must_fit(name: str, value: float | None, low: float, high: float) -> None:
    """Into its slider, which would move it without a word."""
    if low > high:
        raise UsageError(f"knob: {name}: min = {low:g} is above max = {high:g}", "give the lower one as min")
    if value is not None and not low <= value <= high:
        raise UsageError(
            f"knob: {name} = {value:g} is not between min and max", f"allowed here: {low:g} to {high:g}"
        )


def _made(name: str, kind: Any, bounds: dict[str, Any], value: Any, common: dict[str, Any]) -> Any:
    """The widget for a kind of value."""
    if get_origin(kind) is Literal:
        return widgets.Dropdown(options=get_args(kind), value=value, **common)
    if kind is bool:
        return widgets.Checkbox(value=value, indent=False, **common)
    if kind in (int, float) and len(bounds) == 2:
        span = common.get("max", bounds["max"]) - common.get("min", bounds["min"])
        step = 1 if kind is int else step_of(span)
        slider = widgets.IntSlider if kind is int else widgets.FloatSlider
        shown = {} if kind is int else {"readout_format": ".0f" if step >= 1 else ".2f"}
        return slider(value=value, **{**bounds, "step": step, "continuous_update": False, **shown, **common})
    if kind in (int, float):
        return (widgets.IntText if kind is int else widgets.FloatText)(value=value, **common)
    if kind is str:
        return widgets.Text(value=value or "", continuous_update=False, **common)
    raise UsageError(f"{name} has no widget", "set it with session.set, or in workbench.toml")


def knobs(session: Any, *names: str) -> Any:
    """A column of widgets bound to a session, or to that of a widget: they set it, and move when somebody else does.

    What is refused is said under them. By default those that are tuned most often. Raises UsageError for what is no
    setting, or is fixed while a session runs.
    """
    session = getattr(session, "session", session)
    if not isinstance(session, Session):
        raise UsageError(
            f"{type(session).__name__} is no session", "write knobs(session), or knobs of its widget"
        )
    names = names or USUAL
    for name in names:
        _must_be_known(name)
        if name.split(".")[0] in FIXED or name.endswith(".provider"):
            raise UsageError(f"{name} is fixed while a session runs", "`swap` replaces a provider")
    index = session.trace.end
    controls = {name: knob(name, setting(session, name)) for name in names}
    said = widgets.HTML()
    for name, control in controls.items():
        control.observe(_setter(session, name, said), names="value")
    follow = _follow(session, index, controls, said)
    threading.Thread(target=asyncio.run, args=(follow,), name="notebook-knobs", daemon=True).start()
    return _with_table(widgets.VBox([*controls.values(), said]), controls)


def _with_table(widget: Any, controls: dict[str, Any]) -> Any:
    """The widget, and as a table what is set, where none can be shown: in a saved notebook, where nothing may run."""
    view = widget._repr_mimebundle_

    def told() -> dict[str, str]:
        rows = [
            [f"<code>{safe(name)}</code>", safe(control.value), safe(_sentences().get(name, ""))]
            for name, control in controls.items()
        ]
        html = f'{INSTEAD}<div class="wb-set">{table(["setting", "value", ""], rows)}</div>'
        plainly = ", ".join(f"{name} = {control.value}" for name, control in controls.items())
        return {"text/html": html, "text/plain": plainly}

    def show() -> None:
        """Two outputs, as pages that nbconvert makes have no other for a widget whose program they cannot fetch."""
        if widget.comm is not None:
            display(view() | {"text/plain": told()["text/plain"]}, raw=True)
        display(told(), raw=True)

    # On the object: which class it has depends on the setting.
    widget._repr_mimebundle_ = lambda **kwargs: view(**kwargs) | told()
    widget._ipython_display_ = show
    return widget


def _setter(session: Session, name: str, said: Any) -> Callable[[Any], None]:
    def changed(change: Any) -> None:
        if setting(session, name) == change["new"]:
            return  # it was changed elsewhere, and the widget follows
        try:
            session.set(name, change["new"])
            said.value = ""
        except WorkbenchError as error:
            said.value = f"{safe(error.reason)}<br>→ {safe(error.hint)}"
            change["owner"].value = setting(session, name)

    return changed


async def _follow(session: Session, index: int, controls: dict[str, Any], said: Any) -> None:
    """Move the widgets to what is set, whenever a setting changes, until the session has ended."""
    async for entry in session.trace.follow(index):
        match entry.event:
            case SettingChanged(name=name) if name in controls:
                _move(session, name, controls[name], said)
            case DuplexChanged() if MODE in controls:
                _move(session, MODE, controls[MODE], said)
            case _:
                pass


def _move(session: Session, name: str, control: Any, said: Any) -> None:
    """To what is set now: what the event says may be history. Whoever observes the widget cannot end our thread."""
    error = tried(f"an observer of {name}", lambda: setattr(control, "value", setting(session, name)))
    if error is not None:
        said.value = f"{safe(error.reason)}<br>→ {safe(error.hint)}"


def setting(session: Session, name: str) -> Any:
    """The value of a setting now."""
    found: Any = session.settings
    for key in name.split("."):
        found = getattr(found, key)
    return found


def _plain_kind(kind: Any) -> Any:
    """`float | None` is a float."""
    if get_origin(kind) in (Union, UnionType):
        (kind, *_) = [one for one in get_args(kind) if one is not type(None)]
    return kind


def _must_be_known(name: object) -> None:
    if not isinstance(name, str) or name not in known_settings():
        raise UsageError(f"{plain(str(name), 60)} is no setting", nearest(str(name), known_settings()))


def bounds_of(name: str) -> dict[str, Any]:
    """`min` and `max` of a setting, those that it has."""
    found: dict[str, Any] = {}
    for bound in known_settings()[name].metadata:
        for key, name in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
            if getattr(bound, key, None) is not None:
                found[name] = getattr(bound, key)
    return found


def step_of(span: float) -> float:
    """A round number of which about a hundred make the span: 0.01, 0.1, 1, 10, …"""
    step = 0.001
    while step * 10 <= span / STEPS * 2:
        step *= 10
    return round(step, 3)


_sentences = cache(sentences)
"""Reads the source: 20 ms."""
