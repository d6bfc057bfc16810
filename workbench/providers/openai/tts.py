"""Text to speech by `/audio/speech`, streamed as raw PCM or in what else a server gives."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import Any

from openai import AsyncAPIResponse

from workbench.engine.interfaces import Speech, Tts
from workbench.model.errors import EndedEarlyError, RefusedError
from workbench.plugin.values import ProviderOptions
from workbench.providers.openai.client import ApiStage
from workbench.providers.openai.errors import Endpoint
from workbench.providers.openai.sound import FORMATS, SoundDecoder
from workbench.text.turn_words import tag

DEFAULT_VOICE = "alloy"
"""A voice that all of OpenAI's models have."""


class OpenAiTts(ApiStage, Tts):
    """Speaks at 24 kHz, the rate of `response_format=pcm`; other rates are resampled."""

    rate = 24_000

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__("tts", options)
        self._default_voice = options.voice or DEFAULT_VOICE
        self._voices = {tag(language): voice for language, voice in options.voices.items()}
        self.use_language(options.language)
        first = options.response_format or FORMATS[0]
        self._formats = [first, *(name for name in FORMATS if name != first)]
        """What the server is asked for, those that it refused taken out."""
        self._manner = {"instructions": options.instructions, "speed": options.speed}

    def use_language(self, language: str) -> None:
        """Take the voice of that language, where there is one."""
        self.voice = self._voices.get(tag(language), self._default_voice)

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """Ask for the sound of a text; leaving the context closes the connection, so that the server stops too."""
        async with AsyncExitStack() as stack:
            response = await self._open(text, stack)
            yield await stack.enter_async_context(aclosing(_sound(response, self.endpoint)))

    async def _open(self, text: str, stack: AsyncExitStack) -> AsyncAPIResponse[bytes]:
        """Make the request, again without what the server refuses: a format, an optional field. That is remembered."""
        while True:
            request = self.body(
                model=self.endpoint.model,
                voice=self.voice,
                input=text,
                response_format=self._formats[0],
                **self._manner,
            )
            try:
                response = await self.load.run(partial(self._begin, request), AsyncAPIResponse.close)
                stack.push_async_callback(response.close)
                self.load.answered()
                return response
            except RefusedError as error:
                if re.search(r"\b(?:response_)?formats?\b", error.reason.lower()) and len(self._formats) > 1:
                    del self._formats[0]
                elif not self.leave_out(("instructions", "speed"), error):
                    raise

    async def _begin(self, request: dict[str, Any]) -> AsyncAPIResponse[bytes]:
        with self.endpoint.request():
            opening = self.client.audio.speech.with_streaming_response.create(**request)
            response: AsyncAPIResponse[bytes] = await opening.__aenter__()
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
