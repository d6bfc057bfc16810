"""A fold of a trace into spans."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context

from workbench.spi import Entry, Timeline, Turn, events

MS = 1_000_000
"""Nanoseconds."""


class Turns:
    """A reader: a span for each turn that has ended. Spans are dated by the wall clock of the session's start."""

    def __init__(self, tracer: Tracer, *, content: bool) -> None:
        self._tracer = tracer
        self._content = content
        self._timeline = Timeline(self._ended)
        self._date_ns = 0
        self._session: dict[str, Any] = {}
        self._starts: dict[int, float] = {}
        self._tools: dict[int | None, list[tuple[float, events.ToolReturned]]] = defaultdict(list)
        self.sent = 0

    def __call__(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.event:
            case events.SessionStarted(session=session, date=date, agent=agent, profile=profile):
                self._date_ns = round(datetime.fromisoformat(date).timestamp() * 1e9)
                self._session = {
                    "session.id": session,
                    "workbench.agent": agent,
                    "workbench.profile": profile,
                }
            case events.TurnDecided(turn=turn):
                self._starts[turn] = entry.t_ms
            case events.Heard(turn=turn, user_end_ms=float(end_ms)):
                self._starts[turn] = end_ms
            case events.ToolReturned(turn=turn) as returned:
                self._tools[turn].append((entry.t_ms, returned))
            case _:
                pass
        self._now_ms = entry.t_ms
        self._timeline.feed(entry)

    def _ended(self, turn: Turn) -> None:
        start_ms = self._starts.pop(turn.turn, self._now_ms)
        span = self._tracer.start_span(
            "turn", kind=SpanKind.SERVER, start_time=self._ns(start_ms), attributes=self._about(turn)
        )
        below = set_span_in_context(span)
        for part, (start, end) in turn.lanes_ms.items():
            child = self._tracer.start_span(part, below, start_time=self._ns(start_ms + start))
            child.set_attribute("workbench.counted_ms", turn.parts_ms.get(part, 0.0))
            child.end(self._ns(start_ms + max(start, end)))
        for t_ms, returned in self._tools.pop(turn.turn, ()):
            child = self._tracer.start_span(
                f"execute_tool {returned.name}",
                below,
                start_time=self._ns(t_ms - returned.took_ms),
                attributes={"gen_ai.tool.name": returned.name, "gen_ai.tool.call.id": returned.call},
            )
            if returned.error is not None:
                child.set_status(Status(StatusCode.ERROR, returned.error))
            child.end(self._ns(t_ms))
        if turn.error is not None:
            span.set_status(Status(StatusCode.ERROR, f"{turn.error.stage}: {turn.error.reason}"))
        span.end(self._ns(start_ms + (turn.heard_latency_ms or max(0.0, self._now_ms - start_ms))))
        self.sent += 1

    def _about(self, turn: Turn) -> dict[str, Any]:
        about: dict[str, Any] = {
            **self._session,
            "workbench.turn": turn.turn,
            "workbench.status": turn.status,
            "workbench.cold": turn.cold,
            "gen_ai.usage.input_tokens": int(turn.usage.get("input_tokens") or 0),
            "gen_ai.usage.output_tokens": int(turn.usage.get("output_tokens") or 0),
        }
        if turn.heard_latency_ms is not None:
            about["workbench.heard_latency_ms"] = turn.heard_latency_ms
        if self._content:
            about |= {"input.value": turn.user_text, "output.value": turn.agent_text}
        return about

    def _ns(self, t_ms: float) -> int:
        return self._date_ns + round(t_ms * MS)
