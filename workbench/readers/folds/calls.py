"""A tool call as the screen knows it, and the words for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from workbench.model.text import plain

CallState = Literal["pending", "running", "done", "failed", "cancelled", "discarded"]

MARKS: dict[CallState, str] = {
    "pending": "◌",
    "running": "◐",
    "done": "✓",
    "failed": "✗",
    "cancelled": "⊘",
    "discarded": "∅",
}
"""A sign for each state, so that it is readable without colour."""
OPEN: tuple[CallState, ...] = ("pending", "running")

READ_CHARS = 20_000
"""JSON longer than this is shown as it is: to parse it would hold up the screen."""


@dataclass(frozen=True, slots=True)
class CallSpan:
    """Where a call sits in its turn, ms from the end of the user's speech (typed: from when it was typed).

    `end_ms` is None while it runs; `heard_ms` is when the answer was heard, None before or where it never was.
    """

    start_ms: float
    end_ms: float | None = None
    heard_ms: float | None = None
    typed: bool = False


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call of a tool, by the model or (`reply` is None) by the developer; times are ms of the session's clock.

    `arguments` and `result` are cut where they are huge, `result_chars` is how long the result was; the model was given
    `shown` characters of it, None where it was given all or nothing.
    """

    key: str
    name: str
    arguments: str = ""
    state: CallState = "pending"
    reply: int | None = None
    turn: int | None = None
    asked_ms: float = 0.0
    started_ms: float | None = None
    ended_ms: float | None = None
    took_ms: float | None = None
    attempt: int = 1
    mocked: bool = False
    progress: str = ""
    fraction: float | None = None
    result: str = ""
    result_chars: int = 0
    error: str = ""
    shown: int | None = None
    place: CallSpan | None = None

    @property
    def open(self) -> bool:
        """Whether its end is still to come."""
        return self.state in OPEN

    def spent_ms(self, now_ms: float) -> float | None:
        """Return how long it took, or runs by now; None where it never ran."""
        if self.took_ms is not None or self.started_ms is None:
            return self.took_ms
        return max(0.0, now_ms - self.started_ms)


def signature(call: CallRecord, limit: int = 80) -> str:
    """Return `weather(city="Oslo")`, one safe line of at most `limit` characters."""
    arguments = parsed(call.arguments)
    if isinstance(arguments, dict):
        inside = ", ".join(
            f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items()
        )
    else:
        inside = call.arguments[: limit + 1]
    return plain(f"{call.name[:limit]}({inside[: 4 * limit]})", limit, one_line=True)


def seconds(ms: float) -> str:
    """Return `412 ms`, `1.2 s`, `2:05 min`."""
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    return f"{int(ms / 60_000)}:{int(ms / 1000) % 60:02d} min"


def outcome(call: CallRecord, now_ms: float) -> str:
    """Return what there is to say of it at the end of a line: time, and the state where it is not `done`."""
    words: list[str] = [] if call.state == "done" else [call.state]
    if call.state == "running" and call.fraction is not None:
        words = [f"{100 * min(1.0, max(0.0, call.fraction)):.0f} %"]
    spent = call.spent_ms(now_ms)
    return " ".join([*words, *([seconds(spent)] if spent is not None else [])])


def pretty(text: str, width: int = 80, lines: int = 40, chars: int = 2_000) -> str:
    """Return JSON in one line of `width`, else over several; other text as it is. Safe to show, cut where huge (…)."""
    value = parsed(text)
    if isinstance(value, dict | list):
        short = json.dumps(value, ensure_ascii=False)
        text = short if len(short) <= width else json.dumps(value, indent=2, ensure_ascii=False)
    safe = plain(text[: 2 * chars])
    start = "\n".join(safe.split("\n")[:lines])[:chars]
    return start if start == safe and len(text) <= 2 * chars else f"{start}\n…"


def parsed(text: str) -> object:
    """Return the value of a JSON text; None where it is none, or too long or too deep to be read at once."""
    if len(text) > READ_CHARS:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def trouble(text: str) -> str:
    """Return what is wrong with a text as a tool's arguments, in one line; empty where it is a JSON object."""
    try:
        value = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        return f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
    except (ValueError, RecursionError) as error:
        return (
            "nested too deep" if isinstance(error, RecursionError) else plain(str(error), 80, one_line=True)
        )
    return "" if isinstance(value, dict) else "arguments are an object: write { … }"
