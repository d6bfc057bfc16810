"""The connection of a stage to its API: key, address, timeouts, and a first request."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

import openai

from workbench.model.clock import outside
from workbench.model.errors import MissingError, RefusedError, StageError, UsageError
from workbench.plugin.values import ProviderOptions, Secret
from workbench.providers.openai.errors import Endpoint, transport
from workbench.providers.openai.loading import ModelLoad, check_health, is_own, load_model

CONNECT_S = 5.0
"""A server that takes longer to accept a connection is not reachable."""
KEEP_OPEN_S = 300.0
"""A conversation has pauses; with the SDK's own 5 s nearly every turn would pay for a new TCP and TLS handshake."""
MARGIN_S = 5.0
"""The engine's deadline for loading a model comes before the connection's."""
NO_KEY = "none"
"""For a server that needs no key: the SDK insists on one, which is not sent."""
KEY_HEADERS = {"authorization", "api-key", "x-api-key"}
"""Headers that carry a key: with one of them no other is sent."""
UNSUPPORTED = re.compile(
    r"unsupported|support|unknown|unrecogni[sz]ed|unexpected|\bextra\b|permitted|allowed|no such|additional propert"
    r"|invalid (?:parameter|field|argument|property|request)"
)
"""Words of a refusal of a field itself, whatever its value."""
OTHER_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""What a field is called by servers that do not know it."""


class ApiStage:
    """The base of the three stages: entered to connect, left to close every connection."""

    client: openai.AsyncOpenAI
    """The SDK's client, once entered."""

    def __init__(self, stage: Literal["stt", "llm", "tts"], options: ProviderOptions) -> None:
        self.name = f"openai/{options.model}"
        place = options.table or stage
        base_url = _base_url(options.base_url, place)
        key = _key(options.api_key, place, theirs=options.base_url is None)
        headers = {name: value.reveal() for name, value in options.headers.items()}
        if KEY_HEADERS & {name.lower() for name in headers}:
            key = None
        own = is_own(base_url)
        longest_s = options.load_s + MARGIN_S if own and options.load_s else 0.0
        timeout_s = max(options.timeout_s, longest_s)
        self.endpoint = Endpoint(stage, options.model, base_url, key, timeout_s, headers, own, place)
        self.load = ModelLoad(possible=longest_s > 0)
        self._extra_body = dict(options.extra_body)
        self._refused = set(options.omit)
        """What this server does not take: fields, or a form of the history."""
        self._notice = options.notice
        sends_key = key is not None or "authorization" in {name.lower() for name in headers}
        self.extra_headers: dict[str, Any] = {} if sends_key else {"Authorization": openai.Omit()}
        """For each call of the SDK: it would send a key even where there is none."""

    @property
    def loads(self) -> bool:
        """Whether the server may have to load its model for the next request."""
        return self.load.due

    @property
    def starts(self) -> int:
        """How often its model was loaded while a request waited."""
        return self.load.count

    async def __aenter__(self) -> Self:
        """MissingError where the API needs a key and there is none."""
        endpoint = self.endpoint
        if endpoint.key is None and endpoint.base_url is None and not endpoint.headers:
            hint = f"set OPENAI_API_KEY, or {endpoint.place}.base_url for a server of your own"
            raise MissingError(f"{endpoint.stage} {self.name} needs a key", hint)
        timeout = openai.Timeout(endpoint.timeout_s, connect=min(CONNECT_S, endpoint.timeout_s))
        base_url, _, query = (endpoint.base_url or "").partition("?")
        key = endpoint.key.reveal() if endpoint.key else NO_KEY
        self.client = openai.AsyncOpenAI(
            api_key=key,
            base_url=base_url or None,
            default_query=dict(parse_qsl(query)),
            default_headers=endpoint.headers,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=timeout, limits=transport.Limits(keepalive_expiry=KEEP_OPEN_S)
            ),
        )
        await self.load.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        with outside():
            await self.load.__aexit__(*error)
            await self.client.close()

    def body(self, **fields: Any) -> dict[str, Any]:
        """Return the fields of a request as the SDK takes them: those that are set and not refused, and the user's."""
        sent = {
            name: value for name, value in fields.items() if value is not None and name not in self._refused
        }
        return {**sent, "extra_headers": self.extra_headers, "extra_body": self._extra() or None}

    def leave_out(self, names: Iterable[str], error: StageError) -> bool:
        """Leave out, from now on, the field that a refusal names, of these and the user's; False if there is none."""
        reason = error.reason.lower()
        if type(error) not in (StageError, RefusedError) or not UNSUPPORTED.search(reason):
            return False
        extra = self._extra()
        name = next((name for name in (*extra, *names) if re.search(rf"\b{re.escape(name)}\b", reason)), None)
        if name is None or name in self._refused:
            return False
        self._refused.add(name)
        if len(self._extra()) < len(extra):
            hint = f"take it out of {self.endpoint.place}.extra_body"
            self._notice(f"{name} is left out of requests from now on: {error.reason}", hint)
        return True

    def _extra(self) -> dict[str, Any]:
        """Return the user's fields, each by a name that the server has not refused."""
        names = {
            name: next((other for other in (name, OTHER_NAMES.get(name)) if other not in self._refused), None)
            for name in self._extra_body
        }
        return {sent: self._extra_body[name] for name, sent in names.items() if sent is not None}

    async def warm(self) -> None:
        """Open the connection, find a wrong key before the first turn, and have a server of one's own load its model.

        Not every server lists its models and not every key may: any status but 401 shows that it can be reached. One
        that says that it loads its model is a BusyError with `loading`.
        """
        loads = self.loads
        timeout_s = self.endpoint.timeout_s if loads else min(CONNECT_S, self.endpoint.timeout_s)
        endpoint = replace(self.endpoint, timeout_s=timeout_s)
        with endpoint.request():
            try:
                await self.client.models.with_raw_response.list(
                    timeout=timeout_s, extra_headers=self.extra_headers
                )
                if loads:
                    await check_health(self.client, self.extra_headers)
            except openai.AuthenticationError:
                raise
            except openai.APIStatusError as error:
                if loads and endpoint.is_loading(error):
                    raise
        if loads and endpoint.stage == "llm":
            await self.load.run(self._load)

    async def _load(self) -> None:
        """Have the server load its model, where there is a way but a request of a turn."""
        with self.endpoint.request():
            if await load_model(self.client, self.endpoint.model, self.extra_headers):
                self.load.answered()


def _key(setting: Secret | None, place: str, *, theirs: bool) -> Secret | None:
    """Return the stage's own key, else the environment's where the server is `theirs` (OpenAI's, or the environment's)
    too. UsageError for one that no HTTP header can carry."""
    environ = os.environ.get("OPENAI_API_KEY", "") if theirs else ""
    text = (setting.reveal() if setting else environ).strip()
    if not all("!" <= character <= "~" for character in text):
        raise UsageError(
            f"the key for {place} holds characters that no key has",
            f"copy it again: OPENAI_API_KEY, or {place}.api_key",
        )
    return Secret(text) if text else None


def _base_url(setting: str | None, place: str) -> str | None:
    """Return the stage's own address, else the environment's; UsageError unless it is one of http."""
    text = setting or os.environ.get("OPENAI_BASE_URL") or None
    try:
        parts = urlsplit(text or "http://default")
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http:
        safe = str(text).rpartition("@")[2]  # the text before an @ may be a password
        raise UsageError(
            f"{place}.base_url is no http address: {safe!r}", "write it like http://localhost:11434/v1"
        )
    return text
