"""Requests as settings shape them, and again without what a server refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from tests.providers.answering import options, run, server
from tests.providers.test_openai import WEATHER, parts_of, use_llm, use_stt, use_tts
from workbench.engine.interfaces import Text
from workbench.model.conversation import Message, Usage
from workbench.model.errors import RefusedError, StageError
from workbench.plugin.values import ProviderOptions, Secret
from workbench.providers.openai.llm import OpenAiLlm
from workbench.providers.openai.tts import OpenAiTts

SOUND = (np.arange(2400) % 200 * 100).astype("<i2")
USER = Message("user", "Hi")
Refusal = Callable[[Mapping[str, Any]], str | None]
"""Says why a request is refused, None where it is not."""


class Server:
    """Answers all three kinds of requests, and keeps them; refuses what `refusal` says."""

    def __init__(self, refusal: Refusal = lambda body: None, status: int = 400) -> None:
        """With the status 200 a chat is refused by an event of the stream, as LM Studio does."""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.queries: list[dict[str, str]] = []
        self._refusal = refusal
        self._status = status

    async def answer(self, request: web.Request) -> web.StreamResponse:
        form = request.content_type == "multipart/form-data"
        body = dict(await request.post()) if form else await request.json()
        self.bodies.append(body)
        self.headers.append(request.headers.copy())
        self.queries.append(dict(request.query))
        if (reason := self._refusal(body)) is not None:
            if self._status == 200:
                error = json.dumps({"error": {"message": reason}})
                return web.Response(text=f"event: error\ndata: {error}\n\n", content_type="text/event-stream")
            return web.json_response({"error": {"message": reason, "code": None}}, status=self._status)
        if request.path.endswith("/transcriptions"):
            return web.json_response({"text": "good morning"})
        if request.path.endswith("/speech"):
            return web.Response(body=SOUND.tobytes(), content_type="audio/pcm")
        chunks = [
            {"choices": [{"index": 0, "delta": {"content": "Hello."}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        ]
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return web.Response(text=text, content_type="text/event-stream")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def refuses(*names: str, say: str = "Unsupported parameter: '{}' is not supported") -> Refusal:
    """Refuse each of these fields, one at a time, as long as it is sent."""
    return lambda body: next((say.format(name) for name in names if name in body), None)


def test_fields_and_headers_of_the_user_are_sent_by_all_stages() -> None:
    async def main() -> Server:
        api = Server()
        async with server(api.answer) as url:
            more: dict[str, Any] = {"headers": {"X-Title": Secret("a demo"), "X-Pass": Secret("hunter22")}}
            for use in (use_llm, use_stt, use_tts):
                await use(options(f"{url}?api-version=7", extra_body={"seed": 5}, **more))
        return api

    api = run(main())
    assert [int(body["seed"]) for body in api.bodies] == [5, 5, 5]
    assert all((sent["X-Title"], sent["X-Pass"]) == ("a demo", "hunter22") for sent in api.headers)
    assert api.queries == [{"api-version": "7"}] * 3


def test_a_key_in_a_header_of_the_user_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")

    async def main() -> Server:
        api = Server()
        async with server(api.answer) as url:
            await use_llm(ProviderOptions("m", base_url=url, headers={"api-key": Secret("azure-key")}))
        return api

    headers = run(main()).headers[0]
    assert headers["api-key"] == "azure-key"
    assert "Authorization" not in headers


def test_without_a_key_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    async def main() -> Server:
        api = Server()
        async with server(api.answer) as url:
            for use in (use_llm, use_stt, use_tts):
                await use(ProviderOptions("m", base_url=url))
        return api

    assert all("Authorization" not in headers for headers in run(main()).headers)


def test_the_values_of_headers_are_in_no_error() -> None:
    async def main() -> str:
        async with server(Server(lambda body: "no access for hunter22, Bearer abc.def.ghi").answer) as url:
            secrets = {"X-Pass": Secret("hunter22"), "Authorization": Secret("Bearer abc.def.ghi")}
            with pytest.raises(RefusedError) as caught:
                await use_llm(ProviderOptions("m", base_url=url, headers=secrets))
        return str(caught.value)

    said = run(main())
    assert "hunter22" not in said
    assert "abc.def" not in said
    assert "hunter22" not in repr(ProviderOptions("m", headers={"X-Pass": Secret("hunter22")}))


@pytest.mark.parametrize(
    "say",
    [
        "Unsupported parameter: '{}' is not supported with this model.",
        "Unrecognized request argument supplied: {}",
        '[{{"type": "extra_forbidden", "loc": ["body", "{}"], "msg": "Extra inputs are not permitted"}}]',
        "Additional properties are not allowed ('{}' was unexpected)",
        "unknown field `{}`, expected one of `model`, `messages`",
    ],
)
@pytest.mark.parametrize("status", [400, 422, 500, 200])
def test_a_field_that_is_refused_is_left_out_and_told(say: str, status: int) -> None:
    notices: list[str] = []

    async def main() -> Server:
        api = Server(refuses("parallel_tool_calls", "top_k", say=say), status)
        async with server(api.answer) as url:
            extra = {"parallel_tool_calls": False, "top_k": 3, "seed": 1}
            to = options(
                url, extra_body=extra, notice=lambda reason, hint: notices.append(f"{reason} – {hint}")
            )
            async with OpenAiLlm(to) as llm:
                for _ in range(2):
                    async with llm.reply([USER]) as parts:
                        assert Text("Hello.") in [part async for part in parts]
        return api

    api = run(main())
    assert len(api.bodies) == 4, "refused twice, then never again"
    assert api.bodies[-1]["seed"] == 1
    assert [("parallel_tool_calls" in notice, "top_k" in notice) for notice in notices] == [
        (True, False),
        (False, True),
    ]
    assert all("take it out of llm.extra_body" in notice for notice in notices)


@pytest.mark.parametrize(
    ("sent", "accepted"),
    [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")],
)
def test_a_limit_of_tokens_is_sent_by_the_name_that_the_server_knows(sent: str, accepted: str) -> None:
    say = f"Unsupported parameter: '{sent}' is not supported with this model. Use '{accepted}' instead."
    notices: list[str] = []

    async def main() -> Server:
        api = Server(refuses(sent, say=say))
        async with server(api.answer) as url:
            await use_llm(options(url, extra_body={sent: 90}, notice=lambda *said: notices.append(said[0])))
        return api

    api = run(main())
    assert (api.bodies[-1].get(accepted), api.bodies[-1].get(sent)) == (90, None)
    assert notices == []


def test_a_value_that_is_wrong_is_no_reason_to_leave_its_field_out() -> None:
    async def main() -> Server:
        api = Server(lambda body: "temperature must be between 0 and 2")
        async with server(api.answer) as url:
            with pytest.raises(RefusedError, match="between 0 and 2"):
                await use_llm(options(url, extra_body={"temperature": 9}))
        return api

    assert len(run(main()).bodies) == 1


@pytest.mark.parametrize("name", ["stream_options", "tools"])
def test_what_the_settings_omit_is_never_sent(name: str) -> None:
    async def main() -> Server:
        api = Server(refuses(name))
        async with server(api.answer) as url:
            await parts_of(options(url, omit=(name,)), tools=(WEATHER,))
        return api

    assert [name in body for body in run(main()).bodies] == [False]


def test_a_model_without_tools_answers_without_them_and_says_so() -> None:
    notices: list[str] = []

    async def main() -> Server:
        api = Server(refuses("tools", say="registry.ollama.ai/library/gemma:2b does not support {}"))
        async with server(api.answer) as url:
            to = options(url, notice=lambda *said: notices.append(said[0]))
            await parts_of(to, tools=(WEATHER,))
        return api

    assert ["tools" in body for body in run(main()).bodies] == [True, False]
    assert notices
    assert "the agent's tools are not used" in notices[0]


def test_manner_and_format_of_speech_by_setting_and_what_is_refused_of_them() -> None:
    async def main(api: Server, **more: Any) -> Server:
        async with server(api.answer) as url, OpenAiTts(options(url, **more)) as tts:
            for _ in range(2):
                async with tts.speak("Hello.") as pieces:
                    assert [piece async for piece in pieces]
        return api

    manner = {"response_format": "wav", "instructions": "Whisper.", "speed": 1.5}
    sent = run(main(Server(), **manner)).bodies[0]
    assert {name: sent[name] for name in manner} == manner
    refusing = run(main(Server(refuses("instructions", "speed")), **manner)).bodies
    assert len(refusing) == 4
    assert {"instructions", "speed"} & set(refusing[-1]) == set()
    plain = run(main(Server())).bodies[0]
    assert plain["response_format"] == "pcm"
    assert {"instructions", "speed"} & set(plain) == set()


def test_the_chosen_format_is_asked_for_first_and_the_others_after_refusals() -> None:
    def refusal(body: Mapping[str, Any]) -> str | None:
        wanted = body["response_format"]
        return None if wanted == "flac" else f"response_format must be one of [flac], not {wanted}"

    async def main() -> Server:
        api = Server(refusal)
        async with server(api.answer) as url:
            await use_tts(options(url, response_format="mp3"))
        return api

    assert [body["response_format"] for body in run(main()).bodies] == ["mp3", "pcm", "wav", "flac"]


def test_transcription_goes_on_without_a_language_that_the_server_does_not_take() -> None:
    async def main() -> Server:
        api = Server(refuses("language"))
        async with server(api.answer) as url:
            assert await use_stt(options(url)) == "good morning"
        return api

    assert ["language" in body for body in run(main()).bodies] == [True, False]


def test_a_refusal_that_names_nothing_is_the_error() -> None:
    async def main() -> Server:
        api = Server(lambda body: "this is not supported")
        async with server(api.answer) as url:
            for use in (use_llm, use_stt, use_tts):
                with pytest.raises(StageError, match="not supported"):
                    await use(options(url, extra_body={"seed": 1}))
        return api

    assert len(run(main()).bodies) == 3


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 1}, Usage(9, 1)),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 8}},
            Usage(9, 1, cached_tokens=8),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 7},
            Usage(9, 1, cached_tokens=7),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "cost": 0.00025},
            Usage(9, 1, cost=0.00025, unpriced=False),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": None, "cost": None},
            Usage(9, 1),
        ),
    ],
)
@pytest.mark.parametrize("place", ["usage", "x_groq"])
def test_usage_has_what_was_cached_and_what_the_server_charges(
    usage: dict[str, Any], expected: Usage, place: str
) -> None:
    from tests.providers.test_openai_stream import chunk, read

    last = {"usage": usage} if place == "usage" else {"x_groq": {"id": "req", "usage": usage}}
    assert read([chunk({"content": "Hi"}), chunk({}, "stop", **last)])[2] == expected


@pytest.mark.parametrize("status", [400, 500, 200])
def test_a_template_that_wants_roles_in_turn_gets_them(status: int) -> None:
    def refusal(body: Mapping[str, Any]) -> str | None:
        roles = [message["role"] for message in body["messages"]]
        said = (
            "Error rendering prompt with jinja template: Conversation roles must alternate user/assistant/..."
        )
        return None if roles == ["user", "assistant", "user"] else said

    async def main() -> Server:
        api = Server(refusal, status)
        history = [
            Message("assistant", "Welcome!"),
            Message("user", "Hello,"),
            Message("user", "are you there?"),
        ]
        async with server(api.answer) as url, OpenAiLlm(options(url)) as llm:
            for _ in range(2):
                async with llm.reply(history) as parts:
                    assert Text("Hello.") in [part async for part in parts]
        return api

    bodies = run(main()).bodies
    assert len(bodies) == 3, "refused once, and never again"
    assert bodies[-1]["messages"][-1]["content"] == "Hello,\nare you there?"


def test_an_error_within_the_stream_that_is_no_refusal_is_the_error() -> None:
    async def main() -> Server:
        api = Server(lambda body: "the model crashed", 200)
        async with server(api.answer) as url:
            with pytest.raises(StageError, match="the model crashed"):
                await use_llm(options(url, extra_body={"seed": 1}))
        return api

    assert len(run(main()).bodies) == 1
