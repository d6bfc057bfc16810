"""Shared by all routes: reading a request, OpenAI's shape of an error, and a stream of server-sent events."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError, model_validator

from workbench.model.errors import BusyError, DeadlineError, StageError, WorkbenchError

BRANCH = re.compile(r"^str$|^[A-Z]|\[")
"""Types, by which pydantic calls the branches of a union between the names of the fields."""

_Body = TypeVar("_Body", bound=BaseModel)


class RequestPart(BaseModel):
    """An object of a request: a field that is null is one that is absent, as OpenAI's own clients send it."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return (
            {name: item for name, item in value.items() if item is not None}
            if isinstance(value, dict)
            else value
        )


class ApiError(Exception):
    """A request that is answered with an error; `param` names the field that is wrong."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        self.headers = {} if retry_after is None else {"Retry-After": f"{retry_after:.0f}"}

    def response(self) -> web.Response:
        """Return the error as an answer."""
        return web.json_response(self.body, status=self.status, headers=self.headers)


def api_error(error: WorkbenchError) -> ApiError:
    """Return a stage's failure as an HTTP status: 503 busy, 504 too late, 502 other failures of a model, else 500."""
    match error:
        case BusyError():
            return ApiError(503, str(error), code="busy", retry_after=error.retry_after)
        case DeadlineError():
            return ApiError(504, str(error), code="timeout")
        case StageError():
            return ApiError(502, str(error), code="model_failed")
        case _:
            return ApiError(500, str(error))


async def read_json(request: web.Request, shape: type[_Body]) -> _Body:
    """Return the body of a request as `shape`. Raises ApiError 400 that names the first field that is wrong.

    The content type is insisted on: a web page of a stranger can send any other without asking the browser's leave.
    """
    if request.content_type != "application/json":
        raise ApiError(400, "send JSON, with the header Content-Type: application/json")
    try:
        return shape.model_validate_json(await request.read())
    except ValidationError as error:
        raise invalid(error) from error
    except web.RequestPayloadError as error:
        raise ApiError(400, f"the body cannot be read: {error}") from error


def invalid(error: ValidationError) -> ApiError:
    """Return the most precise of the errors, in a sentence."""
    worst = max(error.errors(include_url=False), key=lambda problem: len(problem["loc"]))
    steps = [str(step) for step in worst["loc"] if isinstance(step, int) or not BRANCH.search(step)]
    param = ".".join(steps) or None
    message = worst["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{param}: {message}" if param else message, param=param)


async def send_events(
    request: web.Request, events: AsyncGenerator[Mapping[str, Any]], *, done: str | None = None
) -> web.StreamResponse:
    """Stream events as they come, then `done`.

    The status waits for the first event, so that a failure can still have one of its own; a later failure is an event
    too, and the stream ends after it.
    """
    event = await anext(events, None)
    headers = {"Cache-Control": "no-cache", "Content-Type": "text/event-stream; charset=utf-8"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)

    async def send(data: str) -> None:
        await response.write(f"data: {data}\n\n".encode())

    try:
        while event is not None:
            await send(json.dumps(event))
            event = await anext(events, None)
        if done:
            await send(done)
    except WorkbenchError as error:
        await send(json.dumps(api_error(error).body))
    await response.write_eof()
    return response
