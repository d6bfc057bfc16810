"""Spans of a conversation, sent to a collector on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from voice_workbench_otel import plugin
from voice_workbench_otel.spans import Turns

from workbench.spi import Entry
from workbench.spi import events as ev


def conversation() -> Iterator[Entry]:
    """A turn with a tool, and one that failed."""
    happened: list[tuple[float, ev.Event]] = [
        (0, ev.SessionStarted("7f3a", "2026-03-01T10:15:00+00:00", "scripted", "me", {}, {})),
        (2000, ev.TurnDecided(1, 1, False, 16000, 350)),
        (2100, ev.Span("llm_first_token", 2000, 2100, 1, 1, 1)),
        (2400, ev.ToolReturned(1, 1, "c1", "weather", "sunny", took_ms=250)),
        (2500, ev.Heard(1, 16000, 1650.0, 100, 2500.0)),
        (3000, ev.TurnEnded(1, "done", "what is it like", "Sunny.", usage={"input_tokens": 12})),
        (4000, ev.TurnDecided(2, 2, True)),
        (4500, ev.TurnEnded(2, "failed", "typed", "", stage="llm", reason="no answer", hint="wait")),
    ]
    for number, (t_ms, event) in enumerate(happened):
        yield Entry(number, t_ms, event)


def spans(content: bool) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    fold = Turns(provider.get_tracer("test"), content=content)
    for entry in conversation():
        fold(entry)
    assert fold.sent == 2
    return exporter


def test_a_turn_is_a_span_with_its_parts_and_tools_below() -> None:
    found = spans(content=False).get_finished_spans()
    by_name = {span.name: span for span in found}
    turn = next(span for span in found if span.attributes and span.attributes.get("workbench.turn") == 1)
    assert turn.start_time is not None
    assert turn.end_time is not None
    assert (turn.end_time - turn.start_time) / 1e6 == pytest.approx(850)
    assert {"endpointing", "llm_first_token", "execute_tool weather"} <= set(by_name)
    tool = by_name["execute_tool weather"]
    assert tool.parent is not None
    assert turn.context is not None
    assert tool.parent.span_id == turn.context.span_id
    assert tool.start_time is not None
    assert (tool.start_time - turn.start_time) / 1e6 == pytest.approx(500)
    assert turn.attributes is not None
    assert "input.value" not in turn.attributes


def test_texts_are_sent_only_on_request_and_failures_are_errors() -> None:
    found = spans(content=True).get_finished_spans()
    failed = next(span for span in found if span.attributes and span.attributes.get("workbench.turn") == 2)
    assert failed.attributes is not None
    assert failed.attributes["input.value"] == "typed"
    assert failed.status.description == "llm: no answer"


def test_without_an_endpoint_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in plugin.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert plugin.workbench_readers() == []
    assert plugin.workbench_checks()[0].state == "note"


def test_turns_are_sent_to_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest()
            request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
            got.extend(
                span.name
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(plugin.ENDPOINTS[0], f"http://127.0.0.1:{server.server_port}")
        (make_reader,) = plugin.workbench_readers()
        read = make_reader()
        for entry in conversation():
            read(entry)
        assert plugin._provider().force_flush(10_000)
        server.shutdown()
        thread.join()
    assert got.count("turn") == 2
