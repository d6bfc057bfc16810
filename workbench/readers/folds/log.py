"""The event log: one plain line for each event that a person may want to read."""

from __future__ import annotations

from dataclasses import fields

from workbench.model import events as ev
from workbench.model.events import Entry, type_name
from workbench.model.text import plain

FREQUENT = (ev.Levels, ev.VadBatch, ev.ClockMapped, ev.HostLag, ev.EchoState, ev.NetworkMeasured, ev.Spent)
"""Events that come often and have a place of their own on the screen."""

VALUE_CHARS = 200
"""Of a text: what a tool returns may be any size, and is whole in the trace."""


def log_line(entry: Entry) -> str | None:
    """Return `12.345 turn_decided turn=1 …`, without what is empty; None for what would only be noise."""
    event = entry.event
    if isinstance(event, FREQUENT):
        return None
    values = ((field.name, getattr(event, field.name)) for field in fields(event))
    text = " ".join(f"{name}={_value(value)}" for name, value in values if value not in (None, "", {}, ()))
    return plain(f"{entry.t_ms / 1000:.3f}  {type_name(type(event))}  {text}", one_line=True)


def _value(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.1f}" if abs(value) >= 0.1 or not value else f"{value:.2g}"
        case str():
            text = plain(value[: 2 * VALUE_CHARS], VALUE_CHARS, one_line=True)
            return repr(text) if " " in text else text
        case dict():
            return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}"
        case tuple():
            return plain(", ".join(map(str, value)), VALUE_CHARS, one_line=True)
        case _:
            return str(value)
