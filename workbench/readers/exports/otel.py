"""Turns as spans of OpenTelemetry in OTLP's JSON, by version 0.1.0 of the semantic conventions for generative AI.

A turn is a trace: `invoke_agent` from the end of the user's speech to the end of the answer, and below it `chat` for
the language model, `execute_tool` for each call, and a span for each other part of the waterfall. What the conventions
lack for voice is in attributes of our own, `workbench.…`. What was said is left out unless it is asked for, as the
conventions want it. Ids come of the session and the turn, so that the same recording is the same spans each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TextIO

from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.model.text import plain, redacted
from workbench.readers import plausible_entries
from workbench.readers.folds.calls import CallRecord
from workbench.readers.folds.tools import ToolsFold
from workbench.readers.moments import MomentsFold
from workbench.readers.timeline import Timeline, Turn
from workbench.trace.trace import Trace

CONVENTIONS = "0.1.0"
"""Of the semantic conventions for generative AI; all of them are in development, so another version is another file."""
SCHEMA = f"https://opentelemetry.io/schemas/gen-ai/{CONVENTIONS}"
BATCH = 500
"""Spans of a request, at the least: a collector takes 4 MB."""
INTERNAL, CLIENT = 1, 3
ERROR = 2
REASON_CHARS = 300
LLM_PARTS = ("llm_first_token", "first_chunk")
Attributes = dict[str, Any]
Span = dict[str, Any]


def write_otel(trace: Trace, out: TextIO, *, content: bool = False) -> None:
    """Write a line of JSON for each request of a few hundred spans, as OpenTelemetry's file exporter does.

    `content`: with what was said, and arguments and results of tools.
    """
    for request in requests(trace, content=content):
        out.write(json.dumps(request, ensure_ascii=False, separators=(",", ":")) + "\n")


def requests(trace: Trace, *, content: bool = False) -> Iterator[dict[str, Any]]:
    """Yield what is sent to a collector, one ExportTraceServiceRequest after the other."""
    spans: list[Span] = []
    fold = SpansFold(content=content)
    for entry in plausible_entries(trace):
        spans += fold.feed(entry)
        if len(spans) >= BATCH:
            yield fold.request(spans)
            spans = []
    if spans:
        yield fold.request(spans)


class SpansFold:
    """A fold: `feed` returns the spans of a turn when it has ended."""

    def __init__(self, *, content: bool) -> None:
        self._content = content
        self._ended: list[Turn] = []
        self._timeline = Timeline(self._ended.append, keep=1)
        self._moments = MomentsFold({}, keep=1)
        self._tools = ToolsFold()
        self._texts: dict[int, float] = {}
        """When the last text of a turn's answer came, ms."""
        self._date_ns = 0
        self._session = ev.SessionStarted("session", "", "", "", {}, {})

    def feed(self, entry: Entry) -> list[Span]:
        """Take the next entry."""
        match entry.event:
            case ev.SessionStarted() as started:
                self._session, self._date_ns = started, _nanoseconds(started.date)
            case ev.ReplyText(turn=int(number)):
                self._texts[number] = entry.t_ms
        self._moments.feed(entry)
        self._tools.feed(entry)
        self._timeline.feed(entry)
        if not self._ended:
            return []
        turn = self._ended.pop()
        return [*self._spans(turn, entry.t_ms)]

    def request(self, spans: list[Span]) -> dict[str, Any]:
        """Return an ExportTraceServiceRequest."""
        resource = {"service.name": "voice-workbench", "session.id": self._session.session}
        scope = {"name": "workbench", "version": CONVENTIONS}
        scope_spans = {"scope": scope, "spans": spans, "schemaUrl": SCHEMA}
        return {
            "resourceSpans": [
                {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scope_spans]}
            ]
        }

    # --- a turn ------------------------------------------------------------------------------------------------------

    def _spans(self, turn: Turn, ended_ms: float) -> Iterator[Span]:
        moment = self._moments.of(turn.turn)
        zero_ms = moment.zero_ms if moment else ended_ms
        name, about = self._root(turn)
        root = self._span(turn, "root", name, (zero_ms, max(zero_ms, ended_ms)), about)
        root.pop("parentSpanId")
        if turn.error is not None:
            reason = plain(redacted(turn.error.reason), REASON_CHARS, one_line=True)
            root["status"] = {"code": ERROR, "message": f"{turn.error.stage}: {reason}"}
        yield root
        if any(part in turn.lanes_ms for part in LLM_PARTS):
            yield self._chat(turn, zero_ms)
        for part, (start, end) in turn.lanes_ms.items():
            if part not in LLM_PARTS:
                about = {"workbench.part": part, "workbench.waited_ms": turn.parts_ms.get(part, 0.0)}
                providers = turn.providers.get({"tts_first_byte": "tts"}.get(part, part), ())
                about["workbench.provider"] = ", ".join(providers)
                yield self._span(turn, part, part, (zero_ms + start, zero_ms + max(start, end)), about)
        for call in self._tools.now.of(turn.turn):
            if call.started_ms is not None:
                yield self._tool(turn, call, ended_ms)

    def _root(self, turn: Turn) -> tuple[str, Attributes]:
        about: Attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": self._llm(turn)[0],
            "gen_ai.agent.name": plain(self._session.agent, one_line=True),
            "gen_ai.conversation.id": self._session.session,
            "error.type": turn.error.stage if turn.error else "",
            "workbench.turn": turn.turn,
            "workbench.status": turn.status,
            "workbench.profile": self._session.profile,
            "workbench.cold": turn.cold,
            "workbench.heard_latency_ms": turn.heard_latency_ms,
            "workbench.unexplained_ms": turn.parts_ms.get("unexplained"),
            "workbench.discarded_replies": turn.discarded_replies,
            "workbench.reopened": turn.reopened,
            "workbench.overlap_ms": turn.overlap_ms,
            "workbench.cost_usd": turn.usage.get("cost"),
        }
        if self._content:
            about["gen_ai.input.messages"] = _messages("user", turn.user_text)
            about["gen_ai.output.messages"] = _messages("assistant", turn.agent_text, finish_reason="stop")
        return f"invoke_agent {about['gen_ai.agent.name']}".strip(), about

    def _chat(self, turn: Turn, zero_ms: float) -> Span:
        provider, model = self._llm(turn)
        lanes = [turn.lanes_ms[part] for part in LLM_PARTS if part in turn.lanes_ms]
        start_ms = zero_ms + min(start for start, _ in lanes)
        end_ms = max(zero_ms + max(end for _, end in lanes), self._texts.pop(turn.turn, 0.0))
        first = turn.lanes_ms.get("llm_first_token")
        about: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.request.stream": True,
            "gen_ai.conversation.id": self._session.session,
            "gen_ai.response.time_to_first_chunk": round((first[1] - first[0]) / 1000, 6) if first else None,
            "workbench.waited_ms": sum(turn.parts_ms.get(part, 0.0) for part in LLM_PARTS),
        }
        for name, key in (
            ("input_tokens", "input_tokens"),
            ("output_tokens", "output_tokens"),
            ("cached_tokens", "cache_read.input_tokens"),
        ):
            if (count := turn.usage.get(name)) is not None:
                about[f"gen_ai.usage.{key}"] = int(count)
        return self._span(turn, "chat", f"chat {model}".strip(), (start_ms, end_ms), about, CLIENT)

    def _tool(self, turn: Turn, call: CallRecord, ended_ms: float) -> Span:
        start_ms = call.started_ms or 0.0
        name = plain(call.name, 100, one_line=True)
        about: Attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": call.key,
            "gen_ai.tool.type": "function",
            "error.type": "_OTHER" if call.state == "failed" else "",
            "workbench.status": call.state,
            "workbench.attempt": call.attempt,
            "workbench.mocked": call.mocked,
        }
        if self._content:
            about["gen_ai.tool.call.arguments"] = plain(call.arguments)
            about["gen_ai.tool.call.result"] = plain(call.result)
        times = (start_ms, max(start_ms, ended_ms if call.ended_ms is None else call.ended_ms))
        span = self._span(turn, f"tool {call.key}", f"execute_tool {name}", times, about)
        if call.state == "failed":
            message = plain(redacted(call.error), REASON_CHARS, one_line=True) if self._content else "failed"
            span["status"] = {"code": ERROR, "message": message}
        return span

    def _llm(self, turn: Turn) -> tuple[str, str]:
        """Return provider and model of the answer; the last, where one took over from another."""
        names = turn.providers.get("llm") or (self._session.providers.get("llm", "workbench"),)
        provider, _, model = plain(names[-1], one_line=True).partition("/")
        return provider, model

    def _span(
        self,
        turn: Turn,
        key: str,
        name: str,
        times_ms: tuple[float, float],
        attributes: Attributes,
        kind: int = INTERNAL,
    ) -> Span:
        trace = _id(16, self._session.session, self._session.date, turn.turn)
        start, end = (str(self._date_ns + round(ms * 1e6)) for ms in times_ms)
        return {
            "traceId": trace,
            "spanId": _id(8, trace, key),
            "parentSpanId": _id(8, trace, "root"),
            "name": name,
            "kind": kind,
            "startTimeUnixNano": start,
            "endTimeUnixNano": end,
            "attributes": _attributes(attributes),
        }


def _messages(role: str, text: str, **more: str) -> str:
    message = {"role": role, "parts": [{"type": "text", "content": plain(text)}], **more}
    return json.dumps([message] if text else [], ensure_ascii=False)


def _attributes(values: Attributes) -> list[dict[str, Any]]:
    """Return OTLP's key values, without those that are not known."""
    return [
        {"key": key, "value": _value(value)}
        for key, value in values.items()
        if value is not None and value != ""
    ]


def _value(value: object) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": str(value)}


def _id(size: int, *parts: object) -> str:
    return sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[: 2 * size]


def _nanoseconds(date: str) -> int:
    """Return the wall clock at the beginning of a session; 0 where its date is none."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return 0
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000
