from __future__ import annotations

import asyncio
import io
import json
import struct
import urllib.error
import urllib.request
import wave
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, TypeVar

import aiohttp
import numpy as np
import pytest

from tests.waiting import PATIENCE_S
from workbench.engine.interfaces import LlmPart
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Samples
from workbench.model.conversation import Message, ToolCall, ToolSpec, Usage
from workbench.model.errors import BusyError, DeadlineError, RefusedError, StageError, UsageError
from workbench.plugin.values import Secret
from workbench.server.openai import serving
from workbench.server.openai.access import check_access
from workbench.server.openai.chat import ChatTool
from workbench.server.openai.transcriptions import cut
from workbench.simulation.scripted import EndsEarly, Raises, ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.transports.resample import Resampler, to_samples, to_wave

T = TypeVar("T")
ASK: dict[str, Any] = {"model": "any", "messages": [{"role": "user", "content": "Hi"}]}
SAY = {"model": "any", "input": "Good morning.", "voice": "any"}


def run(main: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE_S):
            return await main

    return asyncio.run(bounded())


class Client:
    """Any other program: plain HTTP."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self.session = session
        self.base_url = base_url

    async def post(self, path: str, **request: Any) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        async with self.session.post(self.base_url + path, **request) as answer:
            return answer.status, answer.content_type, await answer.read()

    async def events(self, path: str, **request: Any) -> list[Any]:
        """The events of a stream, `[DONE]` as text."""
        status, kind, body = await self.post(path, **request)
        assert (status, kind) == (200, "text/event-stream")
        events = body.decode().removesuffix("\n\n").split("\n\n")
        assert all(event.startswith("data: ") for event in events)
        return [event[6:] if event.endswith("[DONE]") else json.loads(event[6:]) for event in events]

    async def refused(self, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """Status and error."""
        status, kind, body = await self.post(path, **request)
        assert kind == "application/json"
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return status, error


@asynccontextmanager
async def served(stt: Any = None, llm: Any = None, tts: Any = None, **more: Any) -> AsyncIterator[Client]:
    stages = (
        stt or ScriptedStt(["good morning"]),
        llm or ScriptedLlm(["Good day to you."]),
        tts or ScriptedTts(),
    )
    async with serving(*stages, **more) as base_url, aiohttp.ClientSession() as session:
        yield Client(session, base_url)


def tone(seconds: float = 1.0, rate: int = INPUT_RATE) -> Samples:
    return (8000 * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 220 / rate)).astype(np.int16)


def wav(samples: Samples, rate: int = INPUT_RATE) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate, 0, "NONE", ""))
        writer.writeframes(samples.tobytes())
    return file.getvalue()


def form(data: bytes | None = None, **fields: str) -> aiohttp.FormData:
    form = aiohttp.FormData({"model": "whisper-1", **fields}, default_to_multipart=True)
    if data is not None:
        form.add_field("file", io.BytesIO(data), filename="speech.wav", content_type="audio/wav")
    return form


# --- chat -------------------------------------------------------------------------------------------------------------


def test_chat_whole() -> None:
    async def main() -> dict[str, Any]:
        async with served() as client:
            status, kind, body = await client.post("/chat/completions", json=ASK)
            assert (status, kind) == (200, "application/json")
            return dict(json.loads(body))

    answer = run(main())
    assert answer.pop("id").startswith("chatcmpl-")
    assert answer.pop("created") > 1_700_000_000
    message = {"role": "assistant", "content": "Good day to you.", "refusal": None}
    assert answer == {
        "object": "chat.completion",
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5},
    }


@pytest.mark.parametrize("usage", [True, False])
def test_chat_streamed(usage: bool) -> None:
    async def main() -> list[Any]:
        async with served() as client:
            asked = {**ASK, "stream": True, "stream_options": {"include_usage": usage}}
            return await client.events("/chat/completions", json=asked)

    *chunks, done = run(main())
    assert done == "[DONE]"
    if usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"] == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
        assert all(chunk["usage"] is None for chunk in chunks)
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == "Good day to you."
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["stop"]


def test_tools_and_history_reach_the_model() -> None:
    call = ToolCall("c2", "time", "{}")
    llm = ScriptedLlm([[call, Usage(1, 2)]])
    function = {"name": "weather", "arguments": '{"city": "Rome"}'}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Wea"}, {"type": "text", "text": "ther?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
    ]
    tools = [{"type": "function", "function": {"name": "time"}}]

    async def main() -> None:
        async with served(llm=llm) as client:
            asked = {**ASK, "messages": messages, "tools": tools}
            _, _, body = await client.post("/chat/completions", json=asked)
            choice = json.loads(body)["choices"][0]
            assert choice["finish_reason"] == "tool_calls"
            called = {"id": "c2", "type": "function", "function": {"name": "time", "arguments": "{}"}}
            assert choice["message"] == {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "tool_calls": [called],
            }
            events = await client.events("/chat/completions", json={**asked, "stream": True})
            assert events[1]["choices"][0]["delta"] == {"tool_calls": [{"index": 0, **called}]}

    run(main())
    assert llm.prompts[0] == (
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message("assistant", "", (ToolCall("c1", "weather", '{"city": "Rome"}'),)),
        Message("tool", "sunny", call_id="c1"),
    )


def test_tool_specs_and_tool_choice_none() -> None:
    told: list[list[ToolSpec]] = []

    class Curious(ScriptedLlm):
        def reply(self, messages: Any, tools: Any = ()) -> Any:
            told.append(list(tools))
            return super().reply(messages, tools)

    parameters = {"type": "object", "properties": {"x": {"type": "integer"}}}
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": parameters}}

    async def main() -> None:
        async with served(llm=Curious(["ok"])) as client:
            await client.post("/chat/completions", json={**ASK, "tools": [tool]})
            await client.post("/chat/completions", json={**ASK, "tools": [tool], "tool_choice": "none"})

    run(main())
    assert told == [[ToolSpec("f", "d", parameters)], []]


IMAGE = [{"type": "image_url", "image_url": {"url": "data:"}}]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"model": None}, "model"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "sunny"}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": IMAGE}]}, "messages.0.content.0.type"),
        ({"n": 2}, "n"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"stream": "perhaps"}, "stream"),
    ],
)
def test_chat_that_cannot_be_obeyed(change: dict[str, Any], param: str) -> None:
    async def main() -> tuple[int, dict[str, Any]]:
        async with served() as client:
            return await client.refused("/chat/completions", json={**ASK, **change})

    status, error = run(main())
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"].startswith(param)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BusyError("busy", retry_after=3), 503, "busy"),
        (DeadlineError("late"), 504, "timeout"),
        (RefusedError("no"), 502, "model_failed"),
        (StageError("broken", "fix it"), 502, "model_failed"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_model_that_fails_before_it_speaks(error: StageError, status: int, code: str, stream: bool) -> None:
    async def main() -> None:
        async with (
            served(llm=ScriptedLlm(["Hi"], faults=Raises(error))) as client,
            client.session.post(
                f"{client.base_url}/chat/completions", json={**ASK, "stream": stream}
            ) as answer,
        ):
            assert answer.status == status
            assert answer.headers.get("Retry-After") == ("3" if status == 503 else None)
            told = (await answer.json())["error"]
            assert (told["type"], told["code"], told["message"]) == ("server_error", code, str(error))

    run(main())


def test_a_model_that_fails_in_the_middle() -> None:
    async def main() -> list[Any]:
        async with served(llm=ScriptedLlm(["Good day to you."], faults=Raises(after=2))) as client:
            return await client.events("/chat/completions", json={**ASK, "stream": True})

    *_, last = run(main())
    assert last["error"]["code"] == "model_failed", "and no [DONE] after it"


class Endless(ScriptedLlm):
    """Answers without end, and says when it began and when it was stopped."""

    def __init__(self) -> None:
        super().__init__(["word " * 100_000], token_ms=1)
        self.begun, self.stopped = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def reply(self, messages: Any, tools: Any = ()) -> AsyncIterator[AsyncIterator[LlmPart]]:
        async with super().reply(messages, tools) as parts:
            self.begun.set()
            try:
                yield parts
            finally:
                self.stopped.set()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_stops_the_model(stream: bool) -> None:
    async def main() -> None:
        llm = Endless()
        async with served(llm=llm) as client, asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(client.post("/chat/completions", json={**ASK, "stream": stream}))
            await llm.begun.wait()
            asking.cancel()
            await llm.stopped.wait()
            assert not llm.active

    run(main())


# --- transcriptions ---------------------------------------------------------------------------------------------------


def test_transcription_formats() -> None:
    async def main() -> None:
        async with served() as client:
            path = "/audio/transcriptions"
            _, kind, body = await client.post(path, data=form(wav(tone())))
            assert kind == "application/json"
            assert json.loads(body) == {"text": "good morning", "usage": {"type": "duration", "seconds": 1}}
            status, kind, body = await client.post(path, data=form(wav(tone()), response_format="text"))
            assert (status, kind, body) == (200, "text/plain", b"good morning\n")
            fields = {"response_format": "verbose_json", "language": "en"}
            verbose = json.loads((await client.post(path, data=form(wav(tone(1.5)), **fields)))[2])
            assert (verbose["task"], verbose["language"], verbose["duration"]) == ("transcribe", "en", 1.5)
            segment = verbose["segments"][0]
            assert (segment["id"], segment["start"], segment["end"], segment["text"]) == (
                0,
                0,
                1.5,
                "good morning",
            )

    run(main())


def test_transcription_streamed_piece_by_piece() -> None:
    quiet = np.concatenate([tone(25), np.zeros(INPUT_RATE // 2, np.int16), tone(9)])

    async def main() -> list[Any]:
        async with served(ScriptedStt(["first half", "second half"])) as client:
            data = form(wav(quiet), stream="true")
            return await client.events("/audio/transcriptions", data=data)

    assert run(main()) == [
        {"type": "transcript.text.delta", "delta": "first half"},
        {"type": "transcript.text.delta", "delta": " second half"},
        {"type": "transcript.text.done", "text": "first half second half"},
    ]


def test_long_sound_is_cut_where_it_is_quiet() -> None:
    gap = np.zeros(INPUT_RATE // 2, np.int16)
    samples = np.concatenate([tone(25), gap, tone(20), gap, tone(20)])
    pieces = list(cut(samples))
    assert pieces[0][0] == 0
    assert pieces[-1][1] == len(samples)
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    assert all(stop - start <= 28 * INPUT_RATE for start, stop in pieces)
    first, second = (piece[1] / INPUT_RATE for piece in pieces[:2])
    assert 25 <= first <= 25.5
    assert 45.5 <= second <= 46
    assert list(cut(tone(0))) == [(0, 0)]


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_any_rate_is_heard_at_16_khz(rate: int) -> None:
    heard: list[Samples] = []

    def listen(utterance: Utterance) -> str:
        heard.append(utterance.audio())
        return "ok"

    async def main() -> None:
        async with served(ScriptedStt(listen)) as client:
            await client.post("/audio/transcriptions", data=form(wav(tone(1, rate), rate)))

    run(main())
    assert abs(len(heard[0]) - INPUT_RATE) <= 1
    middle = slice(1000, 15_000)
    assert np.abs(heard[0][middle].astype(int) - tone()[middle]).max() < 200


@pytest.mark.parametrize(
    ("data", "param", "says"),
    [
        (lambda: form(), "file", "send a wav file"),
        (lambda: form(b""), "file", "empty"),
        (lambda: form(b"ID3 not a wav at all"), "file", "not a sound file"),
        (lambda: form(wav(tone())[:44]), "file", "no sound"),
        (
            lambda: form(wav(tone()), response_format="srt"),
            "response_format",
            "'json', 'text' or 'verbose_json'",
        ),
        (lambda: form(wav(tone()), stream="perhaps"), "stream", "boolean"),
    ],
)
def test_uploads_that_cannot_be_used(data: Callable[[], aiohttp.FormData], param: str, says: str) -> None:
    async def main() -> tuple[int, dict[str, Any]]:
        async with served() as client:
            return await client.refused("/audio/transcriptions", data=data())

    status, error = run(main())
    assert (status, error["param"]) == (400, param)
    assert says in error["message"]
    assert "upload.wav" not in error["message"]


def test_too_much() -> None:
    async def main() -> None:
        async with served() as client:
            status, error = await client.refused("/audio/transcriptions", data=form(bytes(26 * 1024 * 1024)))
            assert status == 413
            assert "25 MiB" in error["message"]

    run(main())


# --- speech -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [24_000, 22_050])
def test_speech_as_pcm_and_wav(rate: int) -> None:
    tts = ScriptedTts(rate=rate, words=False)

    async def main() -> None:
        async with served(tts=tts) as client:
            status, kind, pcm = await client.post("/audio/speech", json={**SAY, "response_format": "pcm"})
            assert (status, kind) == (200, "audio/pcm")
            _, kind, wav = await client.post("/audio/speech", json=SAY)
            assert kind == "audio/wav"
            assert wav[44:] == pcm
            resampler = Resampler(rate, 24_000)
            spoken = resampler(to_wave(tts.sound("Good morning.")))
            wanted = to_samples(np.concatenate([spoken, resampler.flush()]))
            got = np.frombuffer(pcm, "<i2")
            assert abs(len(got) - len(wanted)) <= 1
            assert np.abs(got[: len(wanted)].astype(int) - wanted[: len(got)]).max() <= 2
            assert struct.unpack("<HHI", wav[20:28]) == (1, 1, 24_000)
            with wave.open(io.BytesIO(wav)) as reader:  # any program can open it
                assert reader.getframerate() == 24_000
                assert reader.readframes(len(got)) == pcm

    run(main())


def test_speech_is_streamed() -> None:
    async def main() -> None:
        tts = ScriptedTts(faults={1: Raises(after=1)})
        async with (
            served(tts=tts) as client,
            client.session.post(f"{client.base_url}/audio/speech", json=SAY) as answer,
        ):
            assert answer.status == 200
            assert answer.headers["Transfer-Encoding"] == "chunked"
            with pytest.raises(
                aiohttp.ClientError
            ):  # the connection is cut: a part is not taken for the whole
                await answer.read()

    run(main())


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"response_format": "mp3"}, "response_format", "mp3 is not made here: ask for wav or pcm"),
        ({"input": ""}, "input", "at least 1 character"),
        ({"input": "x" * 4097}, "input", "at most 4096 characters"),
        ({"voice": None}, "voice", "required"),
        ({"speed": 2}, "speed", "1"),
        ({"stream_format": "sse"}, "stream_format", "'audio'"),
    ],
)
def test_speech_that_cannot_be_made(change: dict[str, Any], param: str, says: str) -> None:
    async def main() -> tuple[int, dict[str, Any]]:
        async with served() as client:
            return await client.refused("/audio/speech", json={**SAY, **change})

    status, error = run(main())
    assert (status, error["param"]) == (400, param)
    assert says in error["message"]


def test_silence_is_no_failure() -> None:
    async def main() -> None:
        async with served(tts=ScriptedTts(faults=EndsEarly())) as client:
            status, _, body = await client.post(
                "/audio/speech", json={**SAY, "input": " ", "response_format": "pcm"}
            )
            assert (status, body) == (200, b"")

    run(main())


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_models() -> None:
    async def main() -> None:
        async with served(ScriptedStt([], name="whisper/tiny.en")) as client:
            async with client.session.get(f"{client.base_url}/models") as answer:
                models = await answer.json()
            assert models["object"] == "list"
            assert [model["id"] for model in models["data"]] == ["whisper/tiny.en", "scripted"]
            async with client.session.get(f"{client.base_url}/models/whisper/tiny.en") as answer:
                assert await answer.json() == models["data"][0]
            async with client.session.get(f"{client.base_url}/models/gpt") as answer:
                assert answer.status == 404
                assert (await answer.json())["error"]["code"] == "model_not_found"

    run(main())


def test_every_error_has_openais_shape() -> None:
    async def main() -> None:
        async with served() as client:
            assert (await client.refused("/embeddings", json={}))[0] == 404
            assert (await client.refused("/models", json={}))[0] == 405
            status, error = await client.refused(
                "/chat/completions", data=b"{", headers={"Content-Type": "application/json"}
            )
            assert status == 400
            assert "Invalid JSON" in error["message"]
            status, error = await client.refused(
                "/chat/completions", data=b"{}", headers={"Content-Type": "text/plain"}
            )
            assert (status, "Content-Type: application/json" in error["message"]) == (400, True)
            status, error = await client.refused("/audio/transcriptions", json={})
            assert (status, "multipart/form-data" in error["message"]) == (400, True)
            assert (await client.refused("/chat/completions", json=[]))[0] == 400

    run(main())


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/chat/completions", "application/json", b"[" * 100_000),
        ("/chat/completions", "application/json", b'{"model": "m", "messages": NaN}'),
        (
            "/chat/completions",
            "application/json",
            b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
        ),
        ("/chat/completions", "application/json", b"\xff"),
        ("/audio/transcriptions", "multipart/form-data", b"x"),
        ("/audio/transcriptions", "multipart/form-data; boundary=a", b"x"),
        ("/audio/transcriptions", "multipart/form-data; boundary=a", b"--a\r\n\r\nx\r\n--a--\r\n"),
    ],
)
def test_bodies_of_garbage(path: str, kind: str, body: bytes) -> None:
    async def main() -> tuple[int, dict[str, Any]]:
        async with served() as client:
            return await client.refused(path, data=body, headers={"Content-Type": kind})

    assert run(main())[0] == 400


def test_an_hour_at_most() -> None:
    slow = wav(np.zeros(4_000_000, np.int16), 1000)

    async def main() -> tuple[int, dict[str, Any]]:
        async with served() as client:
            return await client.refused("/audio/transcriptions", data=form(slow))

    status, error = run(main())
    assert status == 400
    assert "1.1 hours long" in error["message"]


def test_the_key_is_checked() -> None:
    async def main() -> None:
        async with served(api_key=Secret("right")) as client:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "right"}):
                status, error = await client.refused("/chat/completions", json=ASK, headers=headers)
                assert (status, error["code"]) == (401, "invalid_api_key")
            headers = {"Authorization": "Bearer right"}
            assert (await client.post("/chat/completions", json=ASK, headers=headers))[0] == 200

    run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://stranger.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "stranger.example:8765"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Host": "a:b:c"}, 403),
        ({"Host": "127.0.0.1.stranger.example"}, 403),
        ({"Host": "[::1]:8765"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "localhost:8765"}, 200),
    ],
)
def test_web_pages_of_strangers_are_kept_out(headers: dict[str, str], status: int) -> None:
    async def main() -> int:
        async with served() as client:
            return (await client.post("/chat/completions", json=ASK, headers=headers))[0]

    assert run(main()) == status


PAGE = "https://app.example"
ALLOWED = "Access-Control-Allow-Origin"


@pytest.mark.parametrize(
    ("origin", "origins", "key", "admitted"),
    [
        ("http://localhost:3000", (), "", True),
        (PAGE, (PAGE,), "", True),
        (PAGE, (PAGE,), "right", True),
        (PAGE, ("*",), "right", True),
        ("https://other.example", (PAGE,), "right", False),
        ("https://app.example.evil", (PAGE,), "right", False),
        ("http://app.example", (PAGE,), "", False),
        ("null", (PAGE,), "right", False),
    ],
)
def test_pages_of_admitted_origins_may_read_answers(
    origin: str, origins: tuple[str, ...], key: str, admitted: bool
) -> None:
    async def main() -> None:
        headers = {"Origin": origin, "Authorization": f"Bearer {key}"}
        async with served(api_key=Secret(key) if key else None, origins=origins) as client:
            asks = {
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, x-own",
            }
            url = f"{client.base_url}/chat/completions"
            async with client.session.options(url, headers={"Origin": origin, **asks}) as leave:
                assert leave.status == (204 if admitted else 403), "a preflight comes without the key"
                assert leave.headers.get(ALLOWED) == (origin if admitted else None)
                if admitted:
                    assert "POST" in leave.headers["Access-Control-Allow-Methods"]
                    assert "x-own" in leave.headers["Access-Control-Allow-Headers"]
            for body in (ASK, {**ASK, "stream": True}, {}):
                async with client.session.post(url, json=body, headers=headers) as answer:
                    assert answer.status == (403 if not admitted else 200 if body else 400)
                    assert answer.headers.get(ALLOWED) == (origin if admitted else None), (
                        "errors can be read too"
                    )
                    assert "Access-Control-Allow-Credentials" not in answer.headers
            async with client.session.post(url, json=ASK, headers={"Origin": origin}) as answer:
                assert answer.status == (403 if not admitted else 401 if key else 200)
                assert (answer.headers.get(ALLOWED) == origin) == admitted

    run(main())


def test_without_an_origin_nothing_is_said_of_it() -> None:
    async def main() -> None:
        async with (
            served(origins=(PAGE,)) as client,
            client.session.get(f"{client.base_url}/models") as answer,
        ):
            assert ALLOWED not in answer.headers

    run(main())


@pytest.mark.parametrize(
    "change",
    [
        dict.fromkeys(
            ("stream", "stream_options", "tools", "tool_choice", "n", "response_format", "modalities", "stop")
        ),
        {
            "messages": [
                {"role": "user", "content": "Hi", "name": None, "tool_calls": None, "tool_call_id": None}
            ]
        },
        {"messages": [{"role": "assistant", "content": None, "refusal": None}, *ASK["messages"]]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "description": None, "parameters": None, "strict": None},
                }
            ]
        },
        {"stream": True, "stream_options": {"include_usage": None}},
        {"stream": False, "stream_options": None, "metadata": None},
    ],
)
def test_fields_that_are_null_are_absent(change: dict[str, Any]) -> None:
    async def main() -> None:
        async with served() as client:
            status, _, body = await client.post("/chat/completions", json={**ASK, **change})
            assert status == 200, body
            speech = {
                **SAY,
                "response_format": None,
                "speed": None,
                "stream_format": None,
                "instructions": None,
            }
            assert (await client.post("/audio/speech", json=speech))[0] == 200

    run(main())


def test_what_is_null_in_a_schema_stays() -> None:
    llm = ScriptedLlm(["Yes."])
    schema = {"type": "object", "properties": {"a": {"enum": ["x", None], "default": None}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}

    async def main() -> None:
        async with served(llm=llm) as client:
            assert (await client.post("/chat/completions", json={**ASK, "tools": [tool]}))[0] == 200

    run(main())
    assert ChatTool.model_validate(tool).to_spec().parameters == schema


def test_beyond_this_machine_with_a_key_under_any_name() -> None:
    async def main() -> None:
        async with served(host="0.0.0.0", api_key=Secret("right")) as client:
            for key, status in (("right", 200), ("wrong", 401)):
                headers = {"Host": "models.example", "Authorization": f"bearer {key}"}
                assert (await client.post("/chat/completions", json=ASK, headers=headers))[0] == status

    run(main())


def test_every_page_needs_a_key() -> None:
    with pytest.raises(UsageError, match="need a key"):
        check_access("127.0.0.1", None, ("*",))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::", ""])
def test_only_loopback_without_a_key(host: str) -> None:
    async def main() -> None:
        async with served(host=host):
            pass

    with pytest.raises(UsageError, match="not an address of this machine alone"):
        run(main())


def test_a_port_that_is_taken() -> None:
    async def main() -> None:
        async with served() as client:
            port = int(client.base_url.split(":")[2].removesuffix("/v1"))
            async with served(port=port):
                pass

    with pytest.raises(UsageError, match="cannot listen on") as caught:
        run(main())
    assert "choose another port" in caught.value.hint


def test_with_nothing_but_the_standard_library() -> None:
    def ask(base_url: str) -> tuple[str, int]:
        request = urllib.request.Request(
            f"{base_url}/chat/completions", json.dumps(ASK).encode(), {"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=PATIENCE_S) as answer:
            said = json.load(answer)["choices"][0]["message"]["content"]
        try:
            opener.open(f"{base_url}/nothing", timeout=PATIENCE_S)
        except urllib.error.HTTPError as error:
            with error:
                return said, error.code
        raise AssertionError("there is nothing there")

    async def main() -> tuple[str, int]:
        async with served() as client:
            return await asyncio.to_thread(ask, client.base_url)

    assert run(main()) == ("Good day to you.", 404)
