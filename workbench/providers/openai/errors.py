"""The endpoint of a stage, and its errors: every failure becomes a `StageError` with a next step."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import anyio
import openai

from workbench.model.clock import outside
from workbench.model.errors import (
    BusyError,
    DeadlineError,
    EndedEarlyError,
    GarbageError,
    RefusedError,
    StageError,
)
from workbench.model.text import plain
from workbench.plugin.values import Secret

# The HTTP library under the SDK, httpx or httpx2: its errors come through while a body is read.
transport: Any = import_module(openai.DefaultAsyncHttpxClient.__bases__[0].__module__.partition(".")[0])

CLOCK_UNITS = {"retry-after-ms": 1000.0, "retry-after": 1.0}
SHORTEST_SECRET = 6
"""Characters of a header's value that is taken for a secret; shorter ones are words."""
LOADING = re.compile(r"\bloading\b|\bnot (?:yet )?(?:loaded|ready)\b|\bwarming up\b|\bstarting up\b", re.I)
"""What servers say while they load a model."""
LONGEST_TEXT = 300
"""Characters of a server's own message that are passed on."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The API and the model of a stage."""

    stage: str
    model: str
    base_url: str | None
    key: Secret | None
    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with each request."""
    own: bool = False
    """A server of the user's own, that loads its model when it is asked."""
    table: str = ""
    """The table of settings that all this is from; the stage's if empty."""

    @property
    def place(self) -> str:
        """The table of settings, for messages."""
        return self.table or self.stage

    @property
    def server(self) -> str:
        """The server without user name, password and path, fit for an error message."""
        if self.base_url is None:
            return "the OpenAI API"
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def clean(self, text: str) -> str:
        """Return a server's text without the key, the values of headers, control characters and excess."""
        values = [value for header in self.headers.values() for value in (header, header.rpartition(" ")[2])]
        for secret in [*([self.key.reveal()] if self.key else ()), *values]:
            if len(secret) >= SHORTEST_SECRET or (self.key and secret == self.key.reveal()):
                text = text.replace(secret, "…")
        return plain(text, LONGEST_TEXT, one_line=True)

    @contextmanager
    def request(self, *, streaming: bool = False) -> Iterator[None]:
        """Make a call of the SDK, whose errors and the HTTP library's become `StageError`s.

        `streaming` says that the answer had begun, so that a lost connection means that it ended early. The original
        error is kept out of tracebacks on purpose: it holds the request, and that holds the key.
        """
        try:
            with outside():
                yield
            return
        except (openai.APITimeoutError, transport.TimeoutException):
            reason = f"{self.server} said nothing for {self.timeout_s:g} s"
            failure: StageError = DeadlineError(reason, f"try again, or raise {self.place}.timeout_ms")
        except openai.APIResponseValidationError as error:
            failure = self._garbage(error)
        except (openai.APIConnectionError, transport.RequestError, anyio.EndOfStream, OSError) as error:
            failure = self._unreachable(error, streaming)
        except openai.APIError as error:
            failure = self._refusal(error)
        except ValueError as error:  # json.JSONDecodeError, UnicodeDecodeError
            failure = self._garbage(error)
        failure.stage = self.stage
        raise failure from None

    def _garbage(self, error: Exception) -> StageError:
        text = self.clean(str(error))
        return GarbageError(
            f"{self.server} answered with something that cannot be understood: {text}",
            f"check that {self.place}.base_url is an OpenAI-compatible API (it usually ends in /v1)",
        )

    def _unreachable(self, error: Exception, streaming: bool) -> StageError:
        cause = error.__cause__ if isinstance(error, openai.APIError) and error.__cause__ else error
        text = self.clean(f"{type(cause).__name__}: {cause}")
        if streaming or isinstance(cause, transport.RemoteProtocolError):
            reason = f"{self.server} hung up before its answer was complete ({text})"
            return EndedEarlyError(reason, "try again")
        hint = f"check the network, that the server runs, and {self.place}.base_url"
        return StageError(f"cannot reach {self.server} ({text})", hint)

    def _refusal(self, error: openai.APIError) -> StageError:
        """Return the error for an HTTP status."""
        text = message_of(error.body) or error.message
        status = getattr(error, "status_code", None)
        failure = self.failure(text, error.code, status=status, wait_s=_wait_s(error))
        if isinstance(failure, BusyError):
            failure.loading = self.is_loading(error)
        return failure

    def failure(
        self, text: str, code: object, *, status: int | None = None, wait_s: float | None = None
    ) -> StageError:
        """Return the error for a server's words and its code, which within a stream may be a status."""
        status = status or _status(code)
        reason = f"{self.server} answered {status or 'with an error'}: {self.clean(text)}"
        if code == "insufficient_quota":
            hint = "the account has no credit left: see its billing page, or choose another provider"
            return RefusedError(reason, hint)
        if status in (429, 503):
            hint = "it is tried again after a while; if it stays so, ask less often"
            return BusyError(reason, hint, retry_after=wait_s)
        if status in (408, 504):
            return DeadlineError(reason, "try again")
        if status and 400 <= status < 500 and status not in (409, 425):
            return RefusedError(reason, self._hint(status))
        hint = "the server has a problem of its own: try again later, or choose another provider"
        return StageError(reason, hint)

    def is_loading(self, error: openai.APIError) -> bool:
        """Whether a server says that it loads its model: in words, or one of the user's own by naming a time."""
        status, text = _status(getattr(error, "status_code", None)), message_of(error.body) or error.message
        named = LOADING.search(text) is not None or (self.own and _wait_s(error) is not None)
        return status in (429, 503) and named

    def _hint(self, status: int) -> str:
        key = f"{self.place}.api_key" + ("" if self.base_url else ", or OPENAI_API_KEY in the environment")
        model = f"the model in {self.place}.provider (openai/{self.model})"
        match status:
            case 400 | 422:
                return f"check {model} and the other settings [{self.place}]"
            case 401:
                return f"check {key}" if self.key else f"set {key}"
            case 403:
                return f"the key may not use this: check its rights, {key}"
            case 404:
                return f"check {model}, and {self.place}.base_url (it usually ends in /v1)"
        return f"check the settings [{self.place}]"


def message_of(body: object) -> str:
    """Return what a server says of an error, in whatever shape: without the SDK's words."""
    while isinstance(body, Mapping):
        inner = next((body[key] for key in ("message", "detail", "error") if body.get(key)), None)
        if inner is None:
            break
        body = inner
    if isinstance(body, str):
        return body
    return json.dumps(body, ensure_ascii=False, default=str) if body else ""


def _wait_s(error: openai.APIError) -> float | None:
    return retry_after(error.response.headers) if isinstance(error, openai.APIStatusError) else None


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds of `Retry-After` (number or date) or `retry-after-ms`, None without.

    A date is counted from the server's own `Date`, else from `now`: seconds since 1970, by default our clock.
    """
    for name, unit in CLOCK_UNITS.items():
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    until = _date(headers.get("retry-after"))
    start = _date(headers.get("date")) or (time.time() if now is None else now)
    return max(0.0, until - start) if until is not None else None


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None


def _status(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) == 3 else None
