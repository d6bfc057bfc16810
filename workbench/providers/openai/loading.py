"""A server of the user's own (Ollama, llama.cpp, LM Studio, …) that loads its model when it is first asked.

Such a server gives loading up when the client goes away, and begins anew at the next request. So the request for which
it loads stays open when nobody waits for it any more, and others wait for its end.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import openai

from workbench.model.errors import StageError

T = TypeVar("T")
Headers = Mapping[str, Any]
"""Of each request, as the SDK takes them."""

IDLE_S = 240.0
"""A server that was not asked for so long may have unloaded its model: Ollama does after 5 minutes."""
NOTABLE_S = 2.0
"""An answer that comes sooner has loaded nothing."""
LOCAL_NAMES = (".localhost", ".local", ".lan", ".home", ".home.arpa", ".internal", ".test")
PROBE_S = 2.0
"""For an answer to what only some servers know."""


def is_own(base_url: str | None) -> bool:
    """Whether an address is one of this machine or its network: nobody pays for a request there."""
    host = urlsplit(base_url or "").hostname or ""
    if not host:
        return False
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith(LOCAL_NAMES)


class ModelLoad:
    """The request for which a server loads its model, and whether the next one is such a request.

    Entered and left with its stage; a request that is open then ends.
    """

    def __init__(self, *, possible: bool) -> None:
        self._possible = possible
        self._answered_at: float | None = None
        self._asked_at = 0.0
        self.count = 0
        """How often a request has waited for the model."""
        self._request: asyncio.Task[Any] | None = None
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._request is not None:
            self._request.cancel()
        await self._tasks.__aexit__(None, None, None)

    @property
    def due(self) -> bool:
        """Whether the next request may have to wait until the model is loaded."""
        if not self._possible:
            return False
        return self._answered_at is None or time.monotonic() - self._answered_at > IDLE_S

    def answered(self) -> None:
        """Note that the model has answered: it is loaded."""
        if self.due and time.monotonic() - self._asked_at > NOTABLE_S:
            self.count += 1
        self._answered_at = time.monotonic()

    async def run(
        self, request: Callable[[], Awaitable[T]], drop: Callable[[T], Awaitable[None]] | None = None
    ) -> T:
        """Return the result of a request; `drop` closes it where nobody waits for it any more.

        The first request of a model that is not loaded goes on when its caller is cut; others wait until it ends.
        """
        while self._request is not None:
            await asyncio.wait([self._request])
        if not self.due:
            return await request()
        self._asked_at = time.monotonic()
        kept = False

        async def ask() -> T | StageError:
            try:
                result = await request()
                if kept:
                    self.answered()
                    if drop is not None:
                        await drop(result)
                return result
            except StageError as error:  # of a request that nobody waits for, it is nobody's
                return error
            finally:
                self._request = None

        self._request = self._tasks.create_task(ask())
        try:
            result: T | StageError = await asyncio.shield(self._request)
        except asyncio.CancelledError:
            kept = True
            raise
        if isinstance(result, StageError):
            raise result
        return result


async def check_health(client: openai.AsyncOpenAI, headers: Headers) -> None:
    """Raise the error of a server that says by `/health` that it is not ready, as llama.cpp does while it loads."""
    try:
        await client.get(
            f"{_root(client)}/health", cast_to=object, options={"headers": headers, "timeout": PROBE_S}
        )
    except openai.APIStatusError as error:
        if error.status_code == 503:
            raise
    except (openai.APIError, ValueError):
        return


async def load_model(client: openai.AsyncOpenAI, model: str, headers: Headers) -> bool:
    """Have a server load a language model in its own way, and wait; False where it has none.

    Ollama loads by an `/api/generate` without a prompt, LM Studio by any request for a model that `/api/v0/models`
    calls `not-loaded`.
    """
    root = _root(client)
    models = (await _own_answer(client, f"{root}/api/ps", headers)).get("models")
    if isinstance(models, list):
        names = {entry.get("name") for entry in models if isinstance(entry, Mapping)}
        if not names & {model, f"{model}:latest"}:
            await client.post(
                f"{root}/api/generate", body={"model": model}, cast_to=object, options={"headers": headers}
            )
        return True
    state = (await _own_answer(client, f"{root}/api/v0/models/{model}", headers)).get("state")
    if state == "not-loaded":
        greeting: Any = [{"role": "user", "content": "Hi"}]
        await client.chat.completions.create(
            model=model, messages=greeting, max_tokens=1, extra_headers=headers
        )
    return state in ("loaded", "not-loaded")


def _root(client: openai.AsyncOpenAI) -> str:
    return str(client.base_url).removesuffix("/").removesuffix("/v1")


async def _own_answer(client: openai.AsyncOpenAI, url: str, headers: Headers) -> Mapping[str, Any]:
    """Return what a server says at an address of its own, empty where it knows none."""
    answer: Any = None
    with suppress(openai.APIError, ValueError):
        answer = await client.get(url, cast_to=object, options={"headers": headers, "timeout": PROBE_S})
    return answer if isinstance(answer, Mapping) else {}
