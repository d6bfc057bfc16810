"""Text to speech by `/audio/speech`, streamed as raw PCM."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import numpy as np
from openai import AsyncAPIResponse

from workbench.engine.interfaces import Speech, Tts
from workbench.model.errors import EndedEarlyError, GarbageError
from workbench.plugin.values import ProviderOptions
from workbench.providers.openai.client import ApiStage
from workbench.providers.openai.errors import Endpoint

DEFAULT_VOICE = "alloy"
"""A voice that all of OpenAI's models have."""
OTHER_FORMATS = {b"RIFF": "a wav file", b"OggS": "an ogg file", b"fLaC": "a flac file", b"ID3": "an mp3 file"}
"""First bytes of other formats: played as raw PCM, they would be a loud noise."""
OTHER_TYPES = ("text/", "application/json", "audio/mpeg")


class OpenAiTts(ApiStage, Tts):
    """Speaks at 24 kHz, the rate of `response_format=pcm`."""

    rate = 24_000

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__("tts", options)
        self.voice = options.voice or DEFAULT_VOICE

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """Ask for the sound of a text; leaving the context closes the connection, so that the server stops too."""
        async with AsyncExitStack() as stack:
            with self.endpoint.request():
                response = await stack.enter_async_context(
                    self.client.audio.speech.with_streaming_response.create(
                        model=self.endpoint.model, voice=self.voice, input=text, response_format="pcm"
                    )
                )
            yield await stack.enter_async_context(aclosing(_sound(response, self.endpoint)))


async def _sound(response: AsyncAPIResponse[bytes], endpoint: Endpoint) -> AsyncGenerator[Speech]:
    body = response.iter_bytes()
    rest = b""  # a sample has two bytes, and a chunk may end between them
    begun = False
    while True:
        with endpoint.request(streaming=True):
            chunk = await anext(body, None)
        if chunk is None:
            break
        rest += chunk
        if not begun and len(rest) >= 4:
            _check_format(rest, response.headers.get("content-type", ""), endpoint)
            begun = True
        if begun and len(rest) >= 2:
            whole = len(rest) & ~1
            samples = np.frombuffer(rest[:whole], dtype="<i2").astype(np.int16, copy=False)
            rest = rest[whole:]
            yield Speech(samples)
    if rest or not begun:
        raise EndedEarlyError(f"{endpoint.server} stopped in the middle of a sound", "try again", stage="tts")


def _check_format(head: bytes, content_type: str, endpoint: Endpoint) -> None:
    """Raise GarbageError unless it can be raw PCM."""
    other = next((name for magic, name in OTHER_FORMATS.items() if head.startswith(magic)), None)
    if content_type.startswith(OTHER_TYPES):
        other = content_type
    if other:
        reason = f"{endpoint.server} sent {endpoint.clean(other)} where raw PCM was asked for"
        hint = "check that tts.base_url is an OpenAI-compatible API that knows response_format=pcm"
        raise GarbageError(reason, hint, stage="tts")
