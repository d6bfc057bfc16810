"""What an API's refusals and silences mean to the engine: every failure becomes a `StageError` with a next step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import anyio
import openai

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
LONGEST_TEXT = 300
"""Characters of a server's own message that are passed on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a stage asks, and for what: the words of its errors."""

    stage: str
    model: str
    base_url: str | None
    key: Secret | None
    timeout_s: float

    @property
    def place(self) -> str:
        """The server without user name, password and path: fit to be shown."""
        if self.base_url is None:
            return "the OpenAI API"
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def clean(self, text: str) -> str:
        """A server's text without the key, control characters and excess."""
        if self.key:
            text = text.replace(self.key.reveal(), "…")
        return plain(text, LONGEST_TEXT, one_line=True)


@contextmanager
def told(asked: Asked, *, streaming: bool = False) -> Iterator[None]:
    """Around a call of the SDK: its errors, and the HTTP library's, leave as `StageError`s.

    `streaming` says that the answer had begun, so that a lost connection means that it ended early. The original error
    is kept out of tracebacks on purpose: it holds the request, and that holds the key.
    """
    try:
        yield
        return
    except (openai.APITimeoutError, transport.TimeoutException):
        problem: StageError = _late(asked)
    except openai.APIResponseValidationError as error:
        problem = _garbage(asked, str(error))
    except (openai.APIConnectionError, transport.RequestError, anyio.EndOfStream, OSError) as error:
        problem = _unreachable(asked, error, streaming)
    except openai.APIError as error:
        problem = _status(asked, error)
    except ValueError as error:  # json.JSONDecodeError, UnicodeDecodeError
        problem = _garbage(asked, str(error))
    problem.stage = asked.stage
    raise problem from None


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that a server asks to wait: `Retry-After` (number or date) or `retry-after-ms`, None without.

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


def _late(asked: Asked) -> StageError:
    return DeadlineError(
        f"{asked.place} said nothing for {asked.timeout_s:g} s",
        f"try again, or raise {asked.stage}.timeout_ms",
    )


def _garbage(asked: Asked, why: str) -> StageError:
    return GarbageError(
        f"{asked.place} answered with something that cannot be understood: {asked.clean(why)}",
        f"check that {asked.stage}.base_url is an OpenAI-compatible API (it usually ends in /v1)",
    )


def _unreachable(asked: Asked, error: Exception, streaming: bool) -> StageError:
    cause = error.__cause__ if isinstance(error, openai.APIError) and error.__cause__ else error
    why = asked.clean(f"{type(cause).__name__}: {cause}")
    if streaming or isinstance(cause, transport.RemoteProtocolError):
        return EndedEarlyError(f"{asked.place} hung up before its answer was complete ({why})", "try again")
    return StageError(
        f"cannot reach {asked.place} ({why})",
        f"check the network, that the server runs, and {asked.stage}.base_url",
    )


def _status(asked: Asked, error: openai.APIError) -> StageError:
    """What an HTTP status, or the error code within a stream, means."""
    status = _number(getattr(error, "status_code", None)) or _number(error.code)
    reason = f"{asked.place} answered {status or 'with an error'}: {asked.clean(_message(error))}"
    hint = _hints(asked).get(status) if status else None
    if error.code == "insufficient_quota":
        return RefusedError(
            reason, "the account has no credit left: see its billing page, or choose another provider"
        )
    if status in (429, 503):
        wait = retry_after(error.response.headers) if isinstance(error, openai.APIStatusError) else None
        return BusyError(
            reason, "it is tried again after a while; if it stays so, ask less often", retry_after=wait
        )
    if status in (408, 504):
        return DeadlineError(reason, "try again")
    if status and 400 <= status < 500 and status not in (409, 425):
        return RefusedError(reason, hint or f"check the settings [{asked.stage}]")
    return StageError(
        reason, "the server has a problem of its own: try again later, or choose another provider"
    )


def _message(error: openai.APIError) -> str:
    """The server's own words, without the SDK's around them."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return said if isinstance(said, str) else error.message


def _hints(asked: Asked) -> dict[int, str]:
    key = f"{asked.stage}.api_key, or OPENAI_API_KEY in the environment"
    model = f"the model in {asked.stage}.provider (openai/{asked.model})"
    return {
        400: f"check {model} and the other settings [{asked.stage}]",
        401: f"check {key}" if asked.key else f"set {key}",
        403: f"the key may not use this: check its rights, {key}",
        404: f"check {model}, and {asked.stage}.base_url (it usually ends in /v1)",
        422: f"check {model} and the other settings [{asked.stage}]",
    }


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) == 3 else None
