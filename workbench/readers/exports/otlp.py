"""Sends spans to a collector: OTLP over HTTP, in JSON."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit

from workbench.model.errors import MissingError, UsageError
from workbench.model.text import plain, redacted

PATH = "/v1/traces"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
"""OpenTelemetry's own variable, where a collector wants a key: `name=value,name=value`."""
TIMEOUT_S = 10.0
ANSWER_BYTES = 64 * 1024


def send(requests: Iterable[dict[str, Any]], address: str) -> int:
    """Send requests one after the other, and return how many spans the collector took.

    `address` is the collector's, or the whole one of its traces. Raises UsageError for an address that is none and for
    spans that were refused, MissingError where nobody answers.
    """
    url, sent = traces_url(address), 0
    for request in requests:
        spans = sum(len(scope["spans"]) for part in request["resourceSpans"] for scope in part["scopeSpans"])
        answer = _post(url, json.dumps(request).encode())
        rejected, message = _rejected(answer)
        if rejected:
            raise UsageError(
                f"the collector refused {rejected} of {spans} spans: {message}", "look into its log"
            )
        sent += spans
    return sent


def traces_url(address: str) -> str:
    """Return where traces are sent, by the address of a collector. Raises UsageError for what is no http address."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{_shown(address)} is no address of a collector", "write --to http://127.0.0.1:4318"
        )
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(PATH) else path + PATH).geturl()


def _post(url: str, body: bytes) -> bytes:
    headers = {"Content-Type": "application/json", **_headers(os.environ.get(HEADERS, ""))}
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read(ANSWER_BYTES)
            return content
    except urllib.error.HTTPError as error:
        with error:
            words = plain(redacted(error.read(ANSWER_BYTES).decode("utf-8", "replace")), 200, one_line=True)
        reason = f"{_shown(url)} answered {error.code}: {words or plain(error.reason)}"
        hint = (
            f"does it want a key? {HEADERS}=name=value" if error.code in (401, 403) else "is it a collector?"
        )
        raise UsageError(reason, hint) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = plain(redacted(str(getattr(error, "reason", error))), 200, one_line=True)
        raise MissingError(f"{_shown(url)} does not answer: {reason}", "is the collector there?") from None


def _headers(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


def _rejected(answer: bytes) -> tuple[int, str]:
    """Return how many spans a collector refused, and why; what cannot be read refuses none."""
    try:
        partial = json.loads(answer or b"{}")["partialSuccess"]
        return int(partial.get("rejectedSpans", 0)), plain(str(partial.get("errorMessage", "")), 200)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0, ""


def _shown(address: str) -> str:
    return plain(redacted(address), 120, one_line=True)
