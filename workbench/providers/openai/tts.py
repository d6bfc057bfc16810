"""Text to speech by `/audio/speech`, streamed as raw PCM."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import numpy as np
from openai import AsyncAPIResponse

from workbench.engine.interfaces import Speech, Tts
from workbench.model.clock import outside
from workbench.model.errors import EndedEarlyError, GarbageError
from workbench.plugin.values import ProviderOptions
from workbench.providers.openai.client import ApiStage
from workbench.providers.openai.errors import Asked, told

DEFAULT_VOICE = "alloy"
"""A voice that all of OpenAI's models have."""
OTHER_FORMATS = {b"RIFF": "a wav file", b"OggS": "an ogg file", b"fLaC": "a flac file", b"ID3": "an mp3 file"}
"""How a body begins that is no raw PCM: played as if it were, it would be a loud noise."""
OTHER_TYPES = ("text/", "application/json", "audio/mpeg")


class OpenAiTts(ApiStage, Tts):
    """Speaks at 24 kHz, which is what `response_format=pcm` means."""

    rate = 24_000

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__("tts", options)
        self.voice = options.voice or DEFAULT_VOICE

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """Ask for the sound of a text; leaving the context closes the connection, so that the server stops too."""
        async with AsyncExitStack() as open_:
            with told(self.asked), outside():
                response = await open_.enter_async_context(
                    self.client.audio.speech.with_streaming_response.create(
                        model=self.asked.model, voice=self.voice, input=text, response_format="pcm"
                    )
                )
            yield await open_.enter_async_context(aclosing(_sound(response, self.asked)))


async def _sound(response: AsyncAPIResponse[bytes], asked: Asked) -> AsyncGenerator[Speech]:
    body = response.iter_bytes()
    rest = b""  # a sample has two bytes, and a chunk may end between them
    begun = False
    while True:
        with told(asked, streaming=True), outside():
            chunk = await anext(body, None)
        if chunk is None:
            break
        rest += chunk
        if not begun and len(rest) >= 4:
            _check_format(rest, response.headers.get("content-type", ""), asked)
            begun = True
        if begun and len(rest) >= 2:
            whole = len(rest) & ~1
            samples = np.frombuffer(rest[:whole], dtype="<i2").astype(np.int16, copy=False)
            rest = rest[whole:]
            yield Speech(samples)
    if rest or not begun:
        raise EndedEarlyError(f"{asked.place} stopped in the middle of a sound", "try again", stage="tts")


def _check_format(head: bytes, content_type: str, asked: Asked) -> None:
    """GarbageError unless it can be raw PCM."""
    found = next((name for magic, name in OTHER_FORMATS.items() if head.startswith(magic)), None)
    if content_type.startswith(OTHER_TYPES):
        found = content_type
    if found:
        raise GarbageError(
            f"{asked.place} sent {asked.clean(found)} where raw PCM was asked for",
            "check that tts.base_url is an OpenAI-compatible API that knows response_format=pcm",
            stage="tts",
        )
