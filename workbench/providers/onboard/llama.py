"""A GGUF model by llama.cpp (xllamacpp), inside a worker process."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from workbench.model.errors import GarbageError
from workbench.providers.onboard.process import Handler, WorkerJob

CONTEXT = 2048
"""Tokens of prompt and answer; 23 kB of memory each. A token of prompt that is not cached costs 3 ms."""
REUSE = 8
"""Tokens from which a stretch of the last prompt is used again at another place: the history moves on at its front, and
without this all of it would be read again (2.6 s for 550 tokens instead of 0.28 s)."""
BATCH = 32
"""Tokens of a prompt that are read in one go: a request that was cancelled ends after it."""
THREADS, PROMPT_THREADS = 1, 2
"""For tokens, one after the other, and for the prompt. Two threads that wait for each other at each layer make a token
in 12 ms instead of 15 on two quiet cores, but in 31 to 40 instead of 14 to 20 beside a busy process."""

Messages = list[dict[str, str]]


def open_model(*, weights: str) -> Handler:
    """Load a GGUF file."""
    import xllamacpp  # 15 ms; raises ImportError without the system's libgomp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.n_ctx = CONTEXT
    params.n_batch = params.n_ubatch = BATCH
    params.n_parallel = 1
    params.ctx_shift = True
    params.n_cache_reuse = REUSE
    params.cache_ram_mib = 0
    params.cpuparams.n_threads, params.cpuparams_batch.n_threads = THREADS, PROMPT_THREADS
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    params.verbosity = -1
    _close_http(params)
    server = xllamacpp.Server(params)

    def handle(job: WorkerJob) -> None:
        if job.kind == "warm":
            job.header = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        _chat(server, job)

    return handle


def _close_http(params: Any) -> None:
    """Protect the loopback port, which llama.cpp's server always opens, by a key that nobody knows."""
    params.api_keys = [secrets.token_urlsafe(32)]
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.n_threads_http = 1


def _chat(server: Any, job: WorkerJob) -> None:
    """Stream an answer; the oldest messages are left out until the rest fits."""
    messages: Messages = job.header["messages"]
    while not job.cancelled:
        error = _stream(server, {**job.header, "messages": messages}, job)
        if error is None:
            return
        if error.get("type") != "exceed_context_size_error":
            raise GarbageError(f"the model refused: {error.get('message', error)}")
        messages = shortened(messages, error["n_ctx"] / error["n_prompt_tokens"])


def _stream(server: Any, request: dict[str, Any], job: WorkerJob) -> Mapping[str, Any] | None:
    """Send the pieces as they come. Return the server's error, if any."""
    errors: list[Mapping[str, Any]] = []

    def send(chunk: dict[str, Any]) -> bool:
        """Send a chunk, between two tokens or stretches of the prompt; true stops the server."""
        if "error" in chunk:
            errors.append(chunk["error"])
        for choice in chunk.get("choices", ()):
            if text := choice["delta"].get("content"):
                job.send({"text": text})
        if usage := chunk.get("usage"):
            job.send({"usage": [usage["prompt_tokens"], usage["completion_tokens"]]})
        return job.cancelled

    options = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": True,
        "return_progress": True,
    }
    server.handle_chat_completions({**request, **options}, send)
    return errors[0] if errors else None


def shortened(messages: Messages, share: float) -> Messages:
    """Return about `share` of the messages' text: the oldest go first; the system prompt and the last message stay.

    Where those alone are too long, the longer of both loses its beginning.
    """
    system = [message for message in messages[:1] if message["role"] == "system"]
    rest = messages[len(system) :]
    excess = (1 - share) * 1.1 * sum(len(message["content"]) for message in messages) + 1
    dropped = 0
    while len(rest) > 1 and dropped < excess:
        dropped += len(rest[0]["content"])
        rest = rest[1:]
    if dropped:
        return [*system, *rest]
    longest = max([*system, *rest], key=lambda message: len(message["content"]))
    short = {**longest, "content": longest["content"][int(excess) :]}
    return [short if message is longest else message for message in (*system, *rest)]
