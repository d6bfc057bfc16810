"""Turns as spans of OpenTelemetry, live; recordings are sent by `workbench export --format otel --to URL`.

A turn is a span from the end of the user's speech to the first audible sound of the answer; the parts of its waterfall
and its tool calls are spans below it. Where they are sent is said by OpenTelemetry's own variables
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, …); nothing is sent while none is set. What was said goes
along only with `WORKBENCH_OTEL_CONTENT=1`.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from workbench import hookimpl
from workbench.spi import Check, SessionHandle

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.spi import Entry

    from .spans import Turns

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def endpoint() -> str | None:
    """Return where spans are sent, None if nowhere."""
    return next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)


@cache
def _provider() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # 0.2 s
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "voice-workbench"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def turns() -> Turns:
    """Return a reader that sends each turn."""
    from .spans import Turns

    return Turns(_provider().get_tracer("workbench"), content=os.environ.get("WORKBENCH_OTEL_CONTENT") == "1")


@hookimpl
def workbench_readers() -> list[Callable[[], Callable[[Entry], None]]]:
    """Contribute a reader that sends, where there is an address to send to."""
    return [turns] if endpoint() else []


@hookimpl
def workbench_session_ended(session: SessionHandle) -> None:
    """In a thread of its own: nothing waits for it."""
    if endpoint():
        _provider().force_flush(4000)


@hookimpl
def workbench_checks() -> list[Check]:
    """Say where spans go."""
    address = endpoint()
    if address is None:
        return [Check("otel", "note", "spans are sent nowhere", f"set {ENDPOINTS[0]}")]
    return [Check("otel", "ok", f"spans are sent to {address.rpartition('@')[2]}")]
