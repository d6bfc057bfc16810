"""Stages behind an OpenAI-shaped API: OpenAI itself, or Ollama, vLLM, llama.cpp, LocalAI, speaches, `workbench serve`.

Each stage has its own base_url, key, model, voice and timeout. Where the options name no key or base_url, those of the
environment are used: `OPENAI_API_KEY` and `OPENAI_BASE_URL`. The SDK never retries here: the engine does.
"""
