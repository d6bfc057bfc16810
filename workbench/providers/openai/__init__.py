"""Stages behind an OpenAI-shaped API: OpenAI itself, or Ollama, vLLM, llama.cpp, LocalAI, speaches, `workbench serve`.

Each stage has its own base_url, key, model, voice and timeout. Where the options name no key or base_url, those of the
environment are used: `OPENAI_API_KEY` and `OPENAI_BASE_URL`. The SDK never retries here: the engine does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.plugin.values import ProviderOptions

# The SDK takes 0.5 s to import, so each stage's module is imported when a session has chosen it.
if TYPE_CHECKING:
    from workbench.providers.openai.llm import OpenAiLlm
    from workbench.providers.openai.stt import OpenAiStt
    from workbench.providers.openai.tts import OpenAiTts


def make_stt(options: ProviderOptions) -> OpenAiStt:
    """Make the speech to text by `/audio/transcriptions`; UsageError if base_url is no http address."""
    from workbench.providers.openai.stt import OpenAiStt

    return OpenAiStt(options)


def make_llm(options: ProviderOptions) -> OpenAiLlm:
    """Make the language model by `/chat/completions`; UsageError if base_url is no http address."""
    from workbench.providers.openai.llm import OpenAiLlm

    return OpenAiLlm(options)


def make_tts(options: ProviderOptions) -> OpenAiTts:
    """Make the text to speech by `/audio/speech`; UsageError if base_url is no http address."""
    from workbench.providers.openai.tts import OpenAiTts

    return OpenAiTts(options)
