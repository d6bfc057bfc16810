"""The connection of one stage to its API: key, address, timeouts, and a first knock on the door."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal, Self
from urllib.parse import urlsplit

import openai

from workbench.model.clock import outside
from workbench.model.errors import MissingError, UsageError
from workbench.plugin.values import ProviderOptions, Secret
from workbench.providers.openai.errors import Asked, told, transport

CONNECT_S = 5.0
"""A server that takes longer to accept a connection is not there."""
KEEP_OPEN_S = 300.0
"""A conversation has pauses; with the SDK's own 5 s nearly every turn would pay for a new TCP and TLS handshake."""
NO_KEY = "none"
"""Sent where a server of one's own wants no key; the SDK insists on one."""


class ApiStage:
    """What the three stages have in common: entered to connect, left to close every connection."""

    client: openai.AsyncOpenAI
    """The SDK's client, there once entered."""

    def __init__(self, stage: Literal["stt", "llm", "tts"], options: ProviderOptions) -> None:
        self.name = f"openai/{options.model}"
        self.asked = Asked(
            stage,
            options.model,
            _base_url(options.base_url, stage),
            _key(options.api_key, stage),
            options.timeout_s,
        )

    async def __aenter__(self) -> Self:
        """MissingError where the API needs a key and there is none."""
        key, base_url = self.asked.key, self.asked.base_url
        if key is None and base_url is None:
            raise MissingError(
                f"{self.asked.stage} {self.name} needs a key",
                f"set OPENAI_API_KEY, or {self.asked.stage}.base_url for a server of your own",
            )
        timeout = openai.Timeout(self.asked.timeout_s, connect=min(CONNECT_S, self.asked.timeout_s))
        self.client = openai.AsyncOpenAI(
            api_key=key.reveal() if key else NO_KEY,
            base_url=base_url,
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
        """Open the connection, and find a wrong key before anybody has spoken.

        Not every server lists its models and not every key may: any status but 401 shows that the line is open.
        """
        asked = replace(self.asked, timeout_s=min(CONNECT_S, self.asked.timeout_s))
        with told(asked), outside():
            try:
                await self.client.models.with_raw_response.list(timeout=asked.timeout_s)
            except openai.AuthenticationError:
                raise
            except openai.APIStatusError:
                return


def _key(given: Secret | None, stage: str) -> Secret | None:
    """The stage's own key, else the environment's; UsageError for one that no HTTP header can carry."""
    text = (given.reveal() if given else os.environ.get("OPENAI_API_KEY", "")).strip()
    if not all("!" <= character <= "~" for character in text):
        raise UsageError(
            f"the key for {stage} holds characters that no key has",
            f"copy it again: OPENAI_API_KEY, or {stage}.api_key",
        )
    return Secret(text) if text else None


def _base_url(given: str | None, stage: str) -> str | None:
    """The stage's own address, else the environment's; UsageError unless it is one of http."""
    text = given or os.environ.get("OPENAI_BASE_URL") or None
    try:
        parts = urlsplit(text or "http://default")
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        shown = str(text).rpartition("@")[2]  # what stands before an @ may be a password
        raise UsageError(
            f"{stage}.base_url is no http address: {shown!r}", "write it like http://localhost:11434/v1"
        )
    return text
