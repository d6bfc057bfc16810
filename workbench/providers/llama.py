"""`llama/…`: a small language model on board, by llama.cpp in a worker process.

A demonstration that needs no key: its answers are weak, and it gets no tools.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from workbench.engine.interfaces import Llm, LlmPart, Text
from workbench.model.conversation import Message, ToolSpec, Usage
from workbench.plugin.values import ProviderOptions
from workbench.providers.worker import JobResults, OnboardProvider
from workbench.weights.store import path

MAX_TOKENS = 160
"""The longest answer: about a minute of speech."""
SAMPLING = {"temperature": 0.4, "min_p": 0.2, "top_k": 20, "repeat_penalty": 1.05, "seed": 7}
"""The seed is fixed: the same conversation gets the same answers."""


class Llama(OnboardProvider, Llm):
    """A language model that streams text, and only text."""

    def __init__(self, options: ProviderOptions) -> None:
        name = f"llama/{options.model}"
        super().__init__(
            name,
            "workbench.providers.onboard.llama:open_model",
            lambda: {"weights": str(path(name, models_path=options.models_path))},
            packages=("xllamacpp",),
            stage="llm",
        )

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[LlmPart]]:
        """See `Llm`. Messages that do not fit are left out, the oldest first; tools, their calls and results too."""
        async with (
            self.worker.job("chat", _request(messages, MAX_TOKENS)) as results,
            aclosing(_parts(results)) as parts,
        ):
            yield parts

    async def prepare(self, messages: Sequence[Message]) -> None:
        """See `Llm`: of a prompt that begins like the last one, only the rest is read."""
        unspoken = Message("user", " ")
        async with self.worker.job("chat", _request([*messages, unspoken], 1)) as results:
            async for _ in results:
                pass


def _request(messages: Sequence[Message], max_tokens: int) -> dict[str, Any]:
    spoken = [message for message in messages if message.role != "tool" and message.text]
    return {
        "messages": [{"role": message.role, "content": message.text} for message in spoken],
        "max_tokens": max_tokens,
        **SAMPLING,
    }


async def _parts(results: JobResults) -> AsyncGenerator[LlmPart]:
    waited_ms = 0.0
    async for header, _ in results:
        if "text" in header:
            yield Text(header["text"], cpu_wait_ms=results.cpu_wait_ms - waited_ms)
            waited_ms = results.cpu_wait_ms
        else:
            prompt, answer = header["usage"]
            yield Usage(input_tokens=prompt, output_tokens=answer)
