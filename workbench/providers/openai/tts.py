"""Text to speech by `/audio/speech`, streamed as raw PCM or in what else a server gives."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, cast

from openai import AsyncAPIResponse

from workbench.engine.interfaces import Speech, Tts
from workbench.model.errors import EndedEarlyError, RefusedError
from workbench.plugin.values import ProviderOptions
from workbench.providers.openai.client import ApiStage
from workbench.providers.openai.errors import Endpoint
from workbench.providers.openai.sound import FORMATS, SoundDecoder

DEFAULT_VOICE = "alloy"
"""A voice that all of OpenAI's models have."""


class OpenAiTts(ApiStage, Tts):
    """Speaks at 24 kHz, the rate of `response_format=pcm`; other rates are resampled."""

    rate = 24_000

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__("tts", options)
        self.voice = options.voice or DEFAULT_VOICE
        self._format = 0
        """Which of `FORMATS` this server gives."""

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """Ask for the sound of a text; leaving the context closes the connection, so that the server stops too."""
        async with AsyncExitStack() as stack:
            response = await self._open(text, stack)
            yield await stack.enter_async_context(aclosing(_sound(response, self.endpoint)))

    async def _open(self, text: str, stack: AsyncExitStack) -> AsyncAPIResponse[bytes]:
        """Make the request, in the next format where the server refuses one; that is remembered."""
        number = self._format
        while True:
            request = self.client.audio.speech.with_streaming_response.create(
                model=self.endpoint.model,
                voice=self.voice,
                input=text,
                response_format=cast(Any, FORMATS[number]),
            )
            try:
                with self.endpoint.request():
                    response = await stack.enter_async_context(request)
            except RefusedError as error:
                named = re.search(r"\b(?:response_)?formats?\b", error.reason.lower())
                if not named or number + 1 == len(FORMATS):
                    raise
                number += 1
            else:
                self._format = number
                return response


async def _sound(response: AsyncAPIResponse[bytes], endpoint: Endpoint) -> AsyncGenerator[Speech]:
    body, begun = response.iter_bytes(), False
    decoder = SoundDecoder(response.headers.get("content-type", ""), endpoint)
    while True:
        with endpoint.request(streaming=True):
            chunk = await anext(body, None)
        samples = decoder.flush() if chunk is None else decoder.feed(chunk)
        if len(samples):
            begun = True
            yield Speech(samples)
        if chunk is None:
            break
    if not begun:
        raise EndedEarlyError(f"{endpoint.server} stopped before there was a sound", "try again", stage="tts")
