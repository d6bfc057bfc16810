from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from tests.providers.answering import KEY, options, run, server
from workbench.engine.interfaces import LlmPart, Progress, Text
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.conversation import Message, ToolCall, ToolSpec, Transcript, Usage
from workbench.model.errors import (
    BusyError,
    DeadlineError,
    EndedEarlyError,
    GarbageError,
    MissingError,
    RefusedError,
    StageError,
    UsageError,
)
from workbench.plugin.values import ProviderOptions, Secret
from workbench.providers.openai.errors import retry_after
from workbench.providers.openai.llm import OpenAiLlm
from workbench.providers.openai.stt import OpenAiStt
from workbench.providers.openai.tts import OpenAiTts
from workbench.server.openai import serving
from workbench.simulation.clock import run_virtual
from workbench.simulation.faults import ANSWER, SAID, SOUND, Fault, FaultyApi
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts

USER = [Message("user", "Hi")]
WEATHER = ToolSpec(
    "weather", "How it is outside", {"type": "object", "properties": {"city": {"type": "string"}}}
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of this machine is not asked for loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def spoken(seconds: float = 1.0) -> Samples:
    return (3000 * np.sin(np.arange(int(seconds * INPUT_RATE)) / 9)).astype(np.int16)


def utterance(seconds: float = 1.0) -> Utterance:
    said = Utterance(1, 100)
    said.append(Frame(spoken(seconds), INPUT_RATE, 100))
    said.become("ended", speech_end=said.end)
    return said


# --- one call of each stage ------------------------------------------------------------------------------------------


async def use_stt(to: ProviderOptions) -> str:
    async with OpenAiStt(to) as stt:
        return (await stt.transcribe(utterance(), eager=False)).text


async def use_llm(to: ProviderOptions) -> str:
    return "".join(part.text for part in await parts_of(to) if isinstance(part, Text))


async def parts_of(to: ProviderOptions, *, tools: tuple[ToolSpec, ...] = ()) -> list[LlmPart]:
    async with OpenAiLlm(to) as llm, llm.reply(USER, tools) as parts:
        return [part async for part in parts if not isinstance(part, Progress)]


async def use_tts(to: ProviderOptions) -> Samples:
    async with OpenAiTts(to) as tts, tts.speak("Hello to you.") as pieces:
        return np.concatenate([piece.samples async for piece in pieces])


Use = Callable[[ProviderOptions], Awaitable[object]]
STAGES: dict[str, Use] = {"stt": use_stt, "llm": use_llm, "tts": use_tts}
EXPECTED: dict[Fault, tuple[type[StageError], ...]] = {
    "unauthorized": (RefusedError,) * 3,
    "unknown_model": (RefusedError,) * 3,
    "busy": (BusyError,) * 3,
    "error": (StageError,) * 3,
    "hangs": (DeadlineError,) * 3,
    "hangs_midway": (DeadlineError,) * 3,
    "stops": (EndedEarlyError,) * 3,
    "ends_early": (GarbageError, EndedEarlyError),  # half a JSON text is none; half a sound is a shorter one
    "garbage": (GarbageError,) * 3,
    "html": (GarbageError,) * 3,
}
CASES = [
    (fault, stage, wanted)
    for fault, errors in EXPECTED.items()
    for stage, wanted in zip(STAGES, errors, strict=False)
]


@pytest.mark.parametrize(("fault", "stage", "wanted"), CASES)
def test_fault_becomes_the_right_error(fault: Fault, stage: str, wanted: type[StageError]) -> None:
    async def main() -> StageError:
        async with FaultyApi(fault, retry_after="7") as api:
            with pytest.raises(StageError) as caught:
                await STAGES[stage](options(api.base_url, timeout_s=0.25 if "hangs" in fault else 5))
            assert sum(api.calls.values()) == 1, "the engine retries, not the SDK"
            return caught.value

    error = run(main())
    assert type(error) is wanted
    assert error.stage == stage
    assert error.hint
    assert error.retry_after == (7.0 if fault == "busy" else None)
    assert KEY not in "".join(traceback.format_exception(error)) + error.hint


@pytest.mark.parametrize("stage", STAGES)
def test_a_call_after_a_fault_works_and_a_slow_answer_is_no_fault(stage: str) -> None:
    async def main() -> object:
        async with FaultyApi("slow") as api:
            return await STAGES[stage](options(api.base_url))

    wanted = {"stt": SAID, "llm": "".join(ANSWER), "tts": SOUND}[stage]
    assert np.array_equal(run(main()), wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["hangs", "hangs_midway"])
@pytest.mark.parametrize("stage", STAGES)
def test_cancel_ends_the_call_at_once_on_the_server_too(fault: Fault, stage: str) -> None:
    async def main() -> float:
        async with FaultyApi(fault) as api, asyncio.TaskGroup() as tasks:
            call = tasks.create_task(call_of(stage, api))
            await api.arrived.wait()
            began = asyncio.get_running_loop().time()
            call.cancel()
            await asyncio.wait([call])
            took = asyncio.get_running_loop().time() - began
            assert call.cancelled()
            await api.left.wait()
            return took

    async def call_of(stage: str, api: FaultyApi) -> None:
        await STAGES[stage](options(api.base_url))

    assert run(main()) < 0.5  # 2 ms; the bound is for a machine under load


def test_leaving_the_context_hangs_up() -> None:
    async def main() -> None:
        async with FaultyApi("hangs_midway") as api:
            async with OpenAiTts(options(api.base_url)) as tts:
                async with tts.speak("Hello") as pieces:
                    assert len((await anext(pieces)).samples) == 2400
                await api.left.wait()
            api.left.clear()
            async with OpenAiLlm(options(api.base_url)) as llm:
                async with llm.reply(USER):
                    pass
                await api.left.wait()

    run(main())


@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_does_not_run_is_named(stage: str, unused_port: int) -> None:
    with pytest.raises(StageError, match=r"cannot reach http://127\.0\.0\.1:") as caught:
        run(STAGES[stage](options(f"http://name:password@127.0.0.1:{unused_port}/v1")))  # type: ignore[arg-type]
    assert type(caught.value) is StageError
    assert f"{stage}.base_url" in caught.value.hint
    assert "password" not in str(caught.value)


@pytest.fixture
def unused_port() -> int:
    async def main() -> int:
        async with FaultyApi() as api:
            return int(api.base_url.rpartition(":")[2].removesuffix("/v1"))

    return run(main())


def test_an_error_says_which_setting_to_fix() -> None:
    async def main(fault: Fault) -> StageError:
        async with FaultyApi(fault) as api:
            with pytest.raises(RefusedError) as caught:
                await use_llm(options(api.base_url))
            return caught.value

    wrong_key, wrong_model = run(main("unauthorized")), run(main("unknown_model"))
    assert wrong_key.hint == "check llm.api_key"
    assert "Incorrect API key provided: …" in wrong_key.reason
    assert "llm.provider (openai/some-model)" in wrong_model.hint


def test_an_account_without_credit_is_not_retried() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response(
            {"error": {"message": "\x1b[31mno\u202e money", "code": "insufficient_quota"}}, status=429
        )

    error = run(error_of(refuse, use_stt))
    assert type(error) is RefusedError
    assert "billing" in error.hint
    assert error.reason.endswith("429: no money"), "no escape, no right-to-left override"


def test_error_in_the_middle_of_a_stream() -> None:
    async def overloaded(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n')
        return response

    error = run(error_of(overloaded, use_llm))
    assert type(error) is BusyError
    assert "overloaded" in error.reason


@pytest.mark.parametrize(
    "event",
    [
        "{oops",
        "5",
        '"text"',
        '{"choices": 3}',
        '{"choices": [{"delta": {"content": 5}}]}',
    ],
)
def test_nonsense_in_a_stream(event: str) -> None:
    async def nonsense(request: web.Request) -> web.StreamResponse:
        return web.Response(text=f"data: {event}\n\n", content_type="text/event-stream")

    assert type(run(error_of(nonsense, use_llm))) is GarbageError


def test_an_answer_without_the_end_of_the_stream_is_complete() -> None:
    end = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}

    async def hang_up(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"data: {json.dumps(end)}\n\n".encode())
        assert request.transport
        request.transport.close()
        return response

    async def main() -> list[LlmPart]:
        async with server(hang_up) as base_url:
            return await parts_of(options(base_url))

    assert run(main()) == [Text("Hi")]


@pytest.mark.parametrize("body", [b"RIFF\x24\x00\x00\x00WAVE", b"ID3\x04", b"<html>", b"", b"\x01"])
def test_a_body_that_is_no_pcm_is_refused(body: bytes) -> None:
    async def nonsense(_: web.Request) -> web.Response:
        kind = "text/html" if body.startswith(b"<") else "audio/pcm"
        return web.Response(body=body, content_type=kind)

    wanted = GarbageError if len(body) > 1 else EndedEarlyError
    assert type(run(error_of(nonsense, use_tts))) is wanted


def test_a_transcription_without_text() -> None:
    async def empty(_: web.Request) -> web.Response:
        return web.json_response({"words": []})

    assert type(run(error_of(empty, use_stt))) is GarbageError


async def error_of(handler: Callable[[web.Request], Awaitable[web.StreamResponse]], use: Use) -> StageError:
    """What a stage makes of such a server."""
    async with server(handler) as base_url:
        with pytest.raises(StageError) as caught:
            await use(options(base_url))
        return caught.value


# --- Retry-After -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": formatdate(1030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(1030, usegmt=True), "date": formatdate(1010, usegmt=True)}, 20.0),
        ({"retry-after": formatdate(900, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1000.0) == seconds


# --- keys and addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [OpenAiStt, OpenAiLlm, OpenAiTts])
def test_without_a_key_the_default_address_is_refused_and_a_custom_one_not(make: Callable[..., Any]) -> None:
    async def main(to: ProviderOptions) -> None:
        async with make(to):
            pass

    with pytest.raises(MissingError, match="set OPENAI_API_KEY"):
        run(main(ProviderOptions("m")))
    run(main(ProviderOptions("m", base_url="http://127.0.0.1:9/v1")))


def test_key_and_address_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> StageError:
        async with FaultyApi("unauthorized") as api:
            monkeypatch.setenv("OPENAI_BASE_URL", api.base_url)
            monkeypatch.setenv("OPENAI_API_KEY", "sk-from-outside\n")
            with pytest.raises(RefusedError) as caught:
                await use_llm(ProviderOptions("m"))
            assert api.calls == {"/v1/chat/completions": 1}
            return caught.value

    assert run(main()).reason.endswith("Incorrect API key provided: …"), "it was sent, and is not shown"


@pytest.mark.parametrize(
    "base_url", ["localhost:11434", "ftp://host/v1", "http://", "http://h:x/v1", "http://u:pw@/v1"]
)
def test_a_base_url_that_is_no_http_address_is_refused(base_url: str) -> None:
    with pytest.raises(UsageError, match=r"stt\.base_url") as caught:
        OpenAiStt(options(base_url))
    assert "pw" not in str(caught.value)


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(UsageError, match="characters that no key has") as caught:
        OpenAiStt(ProviderOptions("m", api_key=Secret("two\nlines")))
    assert "lines" not in str(caught.value)


def test_listing_providers_does_not_import_the_sdk() -> None:
    code = "import sys, workbench.providers.plugin as us; us.workbench_providers(); assert 'openai' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- warming up ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [None, "unknown_model", "busy", "html", "error"])
def test_any_status_but_401_warms_the_connection(fault: Fault | None) -> None:
    async def main() -> None:
        async with FaultyApi(fault) as api, OpenAiLlm(options(api.base_url)) as llm:
            await llm.warm()
            assert api.calls == {"/v1/models": 1}

    run(main())


@pytest.mark.parametrize(("fault", "wanted"), [("unauthorized", RefusedError), ("hangs", DeadlineError)])
def test_the_warm_up_finds_a_wrong_key_and_an_unreachable_server(
    fault: Fault, wanted: type[StageError]
) -> None:
    async def main() -> None:
        async with FaultyApi(fault) as api, OpenAiLlm(options(api.base_url, timeout_s=0.2)) as llm:
            with pytest.raises(wanted):
                await llm.warm()

    run(main())


# --- speech to text --------------------------------------------------------------------------------------------------


def test_a_pause_is_transcribed_once_and_becomes_the_final() -> None:
    async def main() -> None:
        async with FaultyApi() as api, OpenAiStt(options(api.base_url)) as stt, asyncio.TaskGroup() as tasks:
            said = growing()
            call = tasks.create_task(stt.transcribe(said, eager=True))
            said.become("paused", speech_end=said.end - 100)
            while said.transcript is None:
                await said.changed()
            assert said.transcript == Transcript(SAID, said.end, sent_s=said.seconds)
            sent_s = said.seconds
            assert said.covered
            heard_upto = said.end
            said.append(Frame(silence(1600), INPUT_RATE, said.end))
            said.become("ended")
            assert await call == Transcript(SAID, heard_upto, final=True, sent_s=sent_s)
            assert api.calls["/v1/audio/transcriptions"] == 1

    run(main())


def test_the_user_goes_on_while_a_pause_is_transcribed() -> None:
    async def main() -> None:
        async with (
            FaultyApi("hangs") as api,
            OpenAiStt(options(api.base_url)) as stt,
            asyncio.TaskGroup() as tasks,
        ):
            said = growing()
            call = tasks.create_task(stt.transcribe(said, eager=True))
            said.become("paused", speech_end=said.end)
            await api.arrived.wait()
            said.become("speaking")
            await api.left.wait()  # the request that is out of date is dropped
            api.fault = None
            said.append(Frame(spoken(), INPUT_RATE, said.end))
            said.become("ended", speech_end=said.end)
            final = await call
            assert replace(final, sent_s=None) == Transcript(SAID, said.end, final=True)
            assert (final.sent_s or 0) > said.seconds, "both requests are paid for"
            assert said.transcript is None
            assert api.calls["/v1/audio/transcriptions"] == 2

    run(main())


def test_the_turn_ends_while_a_pause_is_transcribed() -> None:
    async def main() -> None:
        async with (
            FaultyApi("slow") as api,
            OpenAiStt(options(api.base_url)) as stt,
            asyncio.TaskGroup() as tasks,
        ):
            said = growing()
            call = tasks.create_task(stt.transcribe(said, eager=True))
            said.become("paused", speech_end=said.end)
            await api.arrived.wait()
            said.become("ended")
            assert (await call).final
            assert api.calls["/v1/audio/transcriptions"] == 1

    run(main())


def test_a_failure_at_a_pause_is_a_plain_stage_error() -> None:
    async def main() -> None:
        async with FaultyApi("error") as api, OpenAiStt(options(api.base_url)) as stt:
            said = growing()
            said.become("paused", speech_end=said.end)
            with pytest.raises(StageError):
                await stt.transcribe(said, eager=True)

    run(main())


def test_no_request_is_made_for_an_utterance_without_speech() -> None:
    async def main() -> None:
        async with FaultyApi() as api, OpenAiStt(options(api.base_url)) as stt:
            assert (await stt.transcribe(utterance(0.05), eager=False)).text == ""
            dismissed = utterance()
            dismissed.become("dismissed")
            assert (await stt.transcribe(dismissed, eager=True)).text == ""
            assert not api.calls

    run(main())


def growing() -> Utterance:
    said = Utterance(1, 0)
    said.append(Frame(spoken(), INPUT_RATE, 0))
    return said


# --- language model --------------------------------------------------------------------------------------------------


def test_an_answer_has_text_and_usage() -> None:
    async def main() -> list[LlmPart]:
        async with FaultyApi() as api:
            return await parts_of(options(api.base_url))

    assert run(main()) == [*map(Text, ANSWER), Usage(7, 4)]


def test_messages_are_converted_for_the_api() -> None:
    call = ToolCall("c1", "weather", '{"city": "Rome"}')
    messages = [
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message("assistant", "", (call,)),
        Message("tool", "sunny", call_id="c1"),
        Message("assistant", "It is sun", cut=True),
    ]

    async def main() -> dict[str, Any]:
        async with FaultyApi() as api, OpenAiLlm(options(api.base_url)) as llm:
            async with llm.reply(messages, [WEATHER]) as parts:
                async for _ in parts:
                    pass
            return dict(api.bodies[0])

    function = {"name": "weather", "arguments": '{"city": "Rome"}'}
    wanted: dict[str, Any] = {
        "model": "some-model",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
            {"role": "assistant", "content": "It is sun"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "How it is outside",
                    "parameters": WEATHER.parameters,
                },
            }
        ],
    }
    assert run(main()) == wanted


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        pytest.param(
            [
                {"index": 0, "id": "a", "type": "function", "function": {"name": "weather", "arguments": ""}},
                {"index": 0, "function": {"arguments": '{"city"'}},
                {"index": 1, "id": "b", "type": "function", "function": {"name": "time", "arguments": "{}"}},
                {"index": 0, "function": {"arguments": ': "Rome"}'}},
            ],
            [ToolCall("a", "weather", '{"city": "Rome"}'), ToolCall("b", "time", "{}")],
            id="in pieces, interleaved",
        ),
        pytest.param(
            [
                {"index": 0, "id": "a", "function": {"name": "weather", "arguments": "{}"}},
                {"index": 0, "id": "b", "function": {"name": "time", "arguments": "{}"}},
            ],
            [ToolCall("a", "weather", "{}"), ToolCall("b", "time", "{}")],
            id="whole, all with index 0",
        ),
        pytest.param(
            [{"index": 0, "function": {"name": "time"}}],
            [ToolCall("call_0", "time", "{}")],
            id="without id and arguments",
        ),
    ],
)
def test_tool_calls_are_put_together_from_chunks(deltas: list[dict[str, Any]], calls: list[ToolCall]) -> None:
    choices: list[dict[str, Any]] = [
        {"index": 0, "delta": {"tool_calls": [delta]}, "finish_reason": None} for delta in deltas
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})

    async def calling(_: web.Request) -> web.Response:
        events = [f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in choices]
        return web.Response(text="".join([*events, "data: [DONE]\n\n"]), content_type="text/event-stream")

    async def main() -> list[LlmPart]:
        async with server(calling) as base_url:
            return await parts_of(options(base_url))

    assert run(main()) == calls


# --- against our own server, through the real SDK --------------------------------------------------------------------


def test_all_three_stages_against_our_own_server() -> None:
    call = ToolCall("c1", "weather", '{"city": "Rome"}')
    llm = ScriptedLlm([["You said: {said}", call, Usage(12, 34)]])
    tts = ScriptedTts(rate=22_050)

    async def main() -> None:
        async with serving(ScriptedStt(["good morning"]), llm, tts) as base_url:
            to = options(base_url)
            assert await use_stt(to) == "good morning"
            parts = await parts_of(to, tools=(WEATHER,))
            assert "".join(part.text for part in parts if isinstance(part, Text)) == "You said: Hi"
            assert parts[-2:] == [call, Usage(12, 34)]
            sound = await use_tts(to)
            wanted = len(tts.sound("Hello to you.")) * 24_000 / 22_050
            assert abs(len(sound) - wanted) <= 1

    run(main())


def test_a_cut_reply_stops_the_model_behind_our_server() -> None:
    llm = ScriptedLlm(["word " * 10_000], token_ms=5)

    async def main() -> None:
        async with (
            serving(ScriptedStt([]), llm, ScriptedTts()) as base_url,
            OpenAiLlm(options(base_url)) as ours,
        ):
            async with ours.reply(USER) as parts:
                assert await anext(parts) == Text("word")
                assert llm.active == 1
            async with aiohttp.ClientSession() as session:  # the server's loop is ours: let it see the end
                while llm.active:
                    async with session.get(f"{base_url}/models"):
                        pass

    run(main())


def test_a_virtual_clock_stands_still_meanwhile() -> None:
    """`outside` is around every await on the network, or the timeouts of the HTTP library would be over at once."""

    async def main() -> float:
        async with FaultyApi("slow") as api:
            for use in STAGES.values():
                await use(options(api.base_url, timeout_s=15))
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) < 15
