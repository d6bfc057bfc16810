"""Servers of one's own that load their model when they are asked: a stand-in for the way of each."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from aiohttp import web

from tests.providers.answering import options, run
from workbench import Agent, load_settings, open_session
from workbench.engine.interfaces import Text
from workbench.engine.loading import deadline_ms
from workbench.engine.settings import LimitSettings
from workbench.model.conversation import Message
from workbench.model.errors import BusyError
from workbench.model.events import (
    Entry,
    ListeningStarted,
    ModelLoading,
    ProviderRetried,
    ProviderWarmed,
    TurnEnded,
)
from workbench.providers.openai.llm import OpenAiLlm
from workbench.providers.openai.loading import is_own
from workbench.readers.folds.conversation import ConversationFold
from workbench.readers.folds.status import StatusFold
from workbench.simulation import run_virtual

Kind = Literal["hangs", "llama.cpp", "ollama", "lm studio", "retry-after", "429"]
KINDS: tuple[Kind, ...] = ("hangs", "llama.cpp", "ollama", "lm studio", "retry-after", "429")
LOADS_S = 2.2
"""Longer than the first word about it (1 s)."""


class ColdServer:
    """Loads its model for `LOADS_S`, in the way of its kind, and gives loading up when the client goes away."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.loaded = False
        self.begun = asyncio.Event()
        self.given_up = 0
        self.calls: Counter[str] = Counter()
        self._ready_at: float | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()

    async def _load(self) -> None:
        try:
            if not self.loaded:
                self.begun.set()
                await asyncio.sleep(LOADS_S)
                self.loaded = True
        except asyncio.CancelledError:
            self.given_up += 1
            raise

    def _refusal(self) -> web.Response | None:
        """Refuse until the model is loaded, which began with the process."""
        now = asyncio.get_running_loop().time()
        self._ready_at = self._ready_at or now + LOADS_S
        self.begun.set()
        self.loaded = now >= self._ready_at
        if self.loaded:
            return None
        message = "Loading model" if self.kind == "llama.cpp" else "Come back later"
        body = {"error": {"message": message, "type": "unavailable_error", "code": 503}}
        headers = {} if self.kind == "llama.cpp" else {"Retry-After": "1"}
        return web.json_response(body, status=429 if self.kind == "429" else 503, headers=headers)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.calls[request.path] += 1
        if self.kind in ("llama.cpp", "retry-after", "429") and (refusal := self._refusal()) is not None:
            return refusal
        match self.kind, request.path:
            case _, "/v1/models":
                return web.json_response({"object": "list", "data": []})
            case "ollama", "/api/ps":
                return web.json_response({"models": [{"name": "qwen3:latest"}] if self.loaded else []})
            case "ollama", "/api/generate":
                await self._load()
                return web.json_response({"done": True, "done_reason": "load"})
            case "lm studio", "/api/v0/models/qwen3":
                return web.json_response({"id": "qwen3", "state": "loaded" if self.loaded else "not-loaded"})
            case _, "/v1/chat/completions":
                await self._load()
                return await self._chat(request)
        return web.json_response({"error": "not found"}, status=404)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("stream"):
            message = {"role": "assistant", "content": "H"}
            return web.json_response(
                {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "length"}]}
            )
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta, finish in (({"content": "Hello."}, None), ({}, "stop")):
            chunk = {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write_eof()
        return response


async def conversation(server: ColdServer, base_url: str, **settings: Any) -> list[Entry]:
    """Type a line as soon as the session begins; return what happened until it was answered."""
    flags = {
        "profile": "scripted",
        "audio.source": "none",
        "audio.sink": "none",
        "record.enabled": False,
        "llm.provider": "openai/qwen3",
        "llm.base_url": base_url,
        **settings,
    }
    entries: list[Entry] = []
    async with open_session(load_settings(flags), agent=Agent(instructions="")) as session:
        session.type("hello")
        async for entry in session.trace.follow():
            entries.append(entry)
            if isinstance(entry.event, TurnEnded):
                break
    return entries


@pytest.mark.parametrize("kind", KINDS)
def test_a_cold_server_is_waited_for_and_shown(kind: Kind) -> None:
    server = ColdServer(kind)

    async def main() -> list[Entry]:
        async with server.running() as base_url:
            return await conversation(server, base_url)

    entries = run_virtual(main())
    events = [entry.event for entry in entries]
    ended = events[-1]
    assert isinstance(ended, TurnEnded)
    assert (ended.status, ended.agent_text, ended.reason) == ("done", "Hello.", None)
    assert ended.cold == (kind == "hangs"), "what was loaded at warm-up is paid for"
    loading = [event for event in events if isinstance(event, ModelLoading)]
    assert loading
    assert loading[-1].waited_ms > loading[0].waited_ms >= 900
    assert server.given_up == 0
    assert not any(isinstance(event, ProviderRetried) for event in events), "that is no failure"
    assert all(event.error is None for event in events if isinstance(event, ProviderWarmed))
    at_warm_up = events.index(loading[0]) < events.index(ListeningStarted())
    assert at_warm_up == (kind != "hangs"), "only by a request that a turn makes can it be known there"
    if kind == "llama.cpp":
        assert "Loading model" in loading[-1].reason
    if kind == "ollama":
        assert server.calls["/api/generate"] == 1
        assert server.calls["/v1/chat/completions"] == 1


def test_what_loads_is_on_every_screen() -> None:
    status, lines = StatusFold(), ConversationFold()
    for number, waited_ms in enumerate((1000, 2000, 12_000)):
        entry = Entry(
            number, 500.0 + waited_ms, ModelLoading("llm", "openai/qwen3", waited_ms, "Loading model")
        )
        status.feed(entry)
        lines.feed(entry)
    assert status.now.providers["llm"].loading == "loads its model, 12 s"
    assert [line.text for line in lines.lines] == ["llm: openai/qwen3 loads its model: 12 s"]
    status.feed(Entry(9, 13_000, ProviderWarmed("llm", "openai/qwen3", 12_500)))
    assert not status.now.providers["llm"].loading


def test_a_turn_that_is_cut_does_not_make_loading_begin_anew() -> None:
    server = ColdServer("hangs")

    async def say(llm: OpenAiLlm) -> str:
        async with llm.reply([Message("user", "Hi")]) as parts:
            return "".join([part.text async for part in parts if isinstance(part, Text)])

    async def main() -> str:
        async with server.running() as base_url, OpenAiLlm(options(base_url, load_s=60)) as llm:
            first = asyncio.create_task(say(llm))
            await server.begun.wait()
            first.cancel()
            await asyncio.wait([first])
            answer = await say(llm)
            assert not llm.loads
            return answer

    assert run(main()) == "Hello."
    assert server.given_up == 0
    assert server.calls["/v1/chat/completions"] == 2


def test_leaving_ends_the_request_that_loads_at_once() -> None:
    server = ColdServer("ollama")

    async def main() -> float:
        async with server.running() as base_url:
            loop = asyncio.get_running_loop()
            async with OpenAiLlm(options(base_url, load_s=60)) as llm:
                warming = asyncio.create_task(llm.warm())
                await server.begun.wait()
                warming.cancel()
                await asyncio.wait([warming])
                began = loop.time()
            return loop.time() - began

    assert run(main()) < LOADS_S / 2


def test_a_server_that_is_busy_without_a_word_of_loading_is_a_failure_as_before() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "too many requests"}}, status=429)

    async def main() -> BusyError:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            async with OpenAiLlm(options(base_url, load_s=60)) as llm:
                await llm.warm()
                with pytest.raises(BusyError) as caught:
                    async with llm.reply([Message("user", "Hi")]):
                        pass
                return caught.value
        finally:
            await runner.cleanup()

    assert not run(main()).loading


class Cold:
    loads = True


def test_a_deadline_that_was_set_goes_before_the_time_for_loading() -> None:
    cold: Any = Cold()
    assert deadline_ms(cold, LimitSettings(), "llm_first_token_ms") == LimitSettings().load_ms
    assert deadline_ms(cold, LimitSettings(llm_first_token_ms=500), "llm_first_token_ms") == 500
    cold.loads = False
    assert deadline_ms(cold, LimitSettings(), "llm_first_token_ms") == LimitSettings().llm_first_token_ms


@pytest.mark.parametrize(
    ("base_url", "own"),
    [
        ("http://localhost:11434/v1", True),
        ("http://127.0.0.1:8080/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://192.168.1.20:1234/v1", True),
        ("http://100.101.102.103:1234/v1", True),
        ("http://ollama:11434/v1", True),
        ("http://host.docker.internal:11434/v1", True),
        ("http://big.local/v1", True),
        ("https://api.groq.com/openai/v1", False),
        ("https://8.8.8.8/v1", False),
        (None, False),
    ],
)
def test_which_servers_are_ones_own(base_url: str | None, own: bool) -> None:
    assert is_own(base_url) is own
