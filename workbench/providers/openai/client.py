"""The connection of a stage to its API: key, address, timeouts, and a first request."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal, Self
from urllib.parse import urlsplit

import openai

from workbench.model.clock import outside
from workbench.model.errors import MissingError, UsageError
from workbench.plugin.values import ProviderOptions, Secret
from workbench.providers.openai.errors import Endpoint, transport

CONNECT_S = 5.0
"""A server that takes longer to accept a connection is not reachable."""
KEEP_OPEN_S = 300.0
"""A conversation has pauses; with the SDK's own 5 s nearly every turn would pay for a new TCP and TLS handshake."""
NO_KEY = "none"
"""Sent to a server of one's own that needs no key; the SDK insists on one."""


class ApiStage:
    """The base of the three stages: entered to connect, left to close every connection."""

    client: openai.AsyncOpenAI
    """The SDK's client, once entered."""

    def __init__(self, stage: Literal["stt", "llm", "tts"], options: ProviderOptions) -> None:
        self.name = f"openai/{options.model}"
        base_url, key = _base_url(options.base_url, stage), _key(options.api_key, stage)
        self.endpoint = Endpoint(stage, options.model, base_url, key, options.timeout_s)

    async def __aenter__(self) -> Self:
        """MissingError where the API needs a key and there is none."""
        endpoint = self.endpoint
        if endpoint.key is None and endpoint.base_url is None:
            hint = f"set OPENAI_API_KEY, or {endpoint.stage}.base_url for a server of your own"
            raise MissingError(f"{endpoint.stage} {self.name} needs a key", hint)
        timeout = openai.Timeout(endpoint.timeout_s, connect=min(CONNECT_S, endpoint.timeout_s))
        self.client = openai.AsyncOpenAI(
            api_key=endpoint.key.reveal() if endpoint.key else NO_KEY,
            base_url=endpoint.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=timeout, limits=transport.Limits(keepalive_expiry=KEEP_OPEN_S)
            ),
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        with outside():
            await self.client.close()

    async def warm(self) -> None:
        """Open the connection, and find a wrong key before the first turn.

        Not every server lists its models and not every key may: any status but 401 shows that it can be reached.
        """
        endpoint = replace(self.endpoint, timeout_s=min(CONNECT_S, self.endpoint.timeout_s))
        with endpoint.request():
            try:
                await self.client.models.with_raw_response.list(timeout=endpoint.timeout_s)
            except openai.AuthenticationError:
                raise
            except openai.APIStatusError:
                return


def _key(setting: Secret | None, stage: str) -> Secret | None:
    """Return the stage's own key, else the environment's; UsageError for one that no HTTP header can carry."""
    text = (setting.reveal() if setting else os.environ.get("OPENAI_API_KEY", "")).strip()
    if not all("!" <= character <= "~" for character in text):
        raise UsageError(
            f"the key for {stage} holds characters that no key has",
            f"copy it again: OPENAI_API_KEY, or {stage}.api_key",
        )
    return Secret(text) if text else None


def _base_url(setting: str | None, stage: str) -> str | None:
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
            f"{stage}.base_url is no http address: {safe!r}", "write it like http://localhost:11434/v1"
        )
    return text
