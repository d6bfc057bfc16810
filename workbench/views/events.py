"""Events of a trace, in a line and in full: the same in a terminal and in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterable

from workbench.model.events import Entry
from workbench.readers.folds.log import log_line
from workbench.trace.codec import encode
from workbench.views.html import safe, table

VALUE_CHARS = 2_000
"""Characters of a value in a page."""


def event_text(entry: Entry) -> str:
    """Return an event in full, as JSON with a line a field; outside text in it may be anything."""
    return json.dumps(json.loads(encode(entry)), indent=2, ensure_ascii=False)


def events_html(entries: Iterable[Entry]) -> str:
    """Return each event as a line that opens to all of its fields."""
    return "".join(map(_event_html, entries))


def _event_html(entry: Entry) -> str:
    values = json.loads(encode(entry))
    line = log_line(entry) or f"{entry.t_ms / 1000:.3f} {values['type']}"
    rows = [[safe(name), safe(_text(value), VALUE_CHARS)] for name, value in values.items()]
    return (
        f"<details><summary><small>{safe(line)}</small></summary>{table(['field', 'value'], rows)}</details>"
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
