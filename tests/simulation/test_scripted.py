from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from workbench.engine.interfaces import Llm, LlmPart, Speech, Stt, Text, Tts
from workbench.engine.utterance import Utterance
from workbench.model.audio import Frame, first_audible, silence
from workbench.model.conversation import Message, ToolCall, Transcript, Usage
from workbench.model.errors import StageError, UsageError
from workbench.plugin.values import ProviderOptions
from workbench.simulation import scripted
from workbench.simulation.clock import Deadlock, run_virtual
from workbench.simulation.scripted import (
    EndsEarly,
    Fault,
    Garbage,
    Hangs,
    Raises,
    ScriptedLlm,
    ScriptedStt,
    ScriptedTts,
    Slow,
)
from workbench.simulation.synthesis import ArraySource, Score


def test_scripted_providers_have_the_engines_protocols() -> None:
    stt: Stt = ScriptedStt(["hello"])
    llm: Llm = ScriptedLlm(["hello"])
    tts: Tts = ScriptedTts()
    assert {stt.name, llm.name, tts.name} == {"scripted"}


# --- speech to text --------------------------------------------------------------------------------------------------


async def _listen(score: Score, utterance: Utterance, end: int, seen: list[tuple[float, Transcript]]) -> None:
    """Give the utterance its frames in time, pause at `end`, and end 0.3 s later; note each transcript."""
    loop = asyncio.get_running_loop()
    async for frame in ArraySource(score).frames():
        utterance.append(frame)
        if frame.end == end:
            utterance.become("paused", end)
        if frame.end >= end + 4800:
            utterance.become("ended")
            return
        for _ in range(3):
            await asyncio.sleep(0)
        if utterance.transcript and (not seen or seen[-1][1] is not utterance.transcript):
            seen.append((loop.time(), utterance.transcript))


def _transcribed(
    stt: ScriptedStt, score: Score, *, eager: bool = True
) -> tuple[Transcript, float, list[tuple[float, Transcript]]]:
    async def main() -> tuple[Transcript, float, list[tuple[float, Transcript]]]:
        utterance, seen = Utterance(1, 0), list[tuple[float, Transcript]]()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_listen(score, utterance, score.spoken[-1].end, seen))
            final = await stt.transcribe(utterance, eager=eager)
        return final, asyncio.get_running_loop().time(), seen

    return run_virtual(main())


def _hello() -> Score:
    return Score().silence(0.1).say("hello my friend", seconds=1.5).silence(1.0)


def test_a_score_is_written_word_by_word_and_final_with_the_last_word() -> None:
    final, at, seen = _transcribed(ScriptedStt(_hello(), partials=True), _hello())
    assert [transcript.text for _, transcript in seen] == ["hello", "hello my", "hello my friend"]
    assert seen[-1][0] == pytest.approx(1.6)
    assert seen[-1][1].stable
    assert (final.text, final.final, final.confidence) == ("hello my friend", True, 0.95)
    assert at == pytest.approx(1.9)


def test_an_eager_stt_has_the_text_at_the_pause_and_does_no_work_twice() -> None:
    final, at, seen = _transcribed(ScriptedStt(_hello(), delay_ms=100), _hello())
    assert [(round(when, 2), transcript.text) for when, transcript in seen] == [(1.7, "hello my friend")]
    assert (final.text, round(at, 3)) == ("hello my friend", 1.9)


def test_an_stt_that_is_not_eager_works_when_the_utterance_is_over() -> None:
    final, at, seen = _transcribed(ScriptedStt(["any text"], delay_ms=100), _hello(), eager=False)
    assert seen == []
    assert (final.text, round(at, 3)) == ("any text", 2.0)


def test_partials_of_a_list_come_at_the_pace_of_speech() -> None:
    _, _, seen = _transcribed(ScriptedStt(["one two three four"], partials=True), _hello())
    assert list(dict.fromkeys(transcript.text for _, transcript in seen)) == [
        "one",
        "one two",
        "one two three",
        "one two three four",
    ]


def _spoken(number: int, *, loud: bool = True) -> Utterance:
    """An utterance that is over."""
    utterance = Utterance(number, 0)
    samples = Score().say("x", seconds=0.5).samples() if loud else silence(8000)
    utterance.append(Frame(samples, 16_000, 0))
    utterance.become("ended", len(samples))
    return utterance


def _texts(stt: ScriptedStt, utterances: Sequence[Utterance]) -> list[str]:
    async def main() -> list[str]:
        return [(await stt.transcribe(utterance, eager=True)).text for utterance in utterances]

    return run_virtual(main())


def test_a_list_gives_one_text_to_each_audible_utterance() -> None:
    once, again = _spoken(1), _spoken(2, loud=False)
    stt = ScriptedStt(["a", "b"])
    assert _texts(stt, [once, once, again, _spoken(3), _spoken(4)]) == ["a", "a", "", "b", "a"]
    assert _texts(ScriptedStt([]), [once]) == [""]
    assert _texts(ScriptedStt(lambda utterance: f"number {utterance.id}"), [once, again]) == [
        "number 1",
        "number 2",
    ]


def test_a_score_knows_utterances_apart() -> None:
    score = (
        Score()
        .say("first one", seconds=1)
        .silence(1)
        .mhm()
        .silence(1)
        .cough()
        .silence(1)
        .say("last", seconds=1)
    )
    first, hum, last = score.spoken
    utterances = []
    for number, (start, end) in enumerate(
        [(first.start, first.end), (hum.start, hum.end), (50_000, 60_000), (last.start - 4800, last.end)]
    ):
        utterance = Utterance(number, start)
        utterance.append(Frame(score.samples()[start:end], 16_000, start))
        utterance.become("ended", end)
        utterances.append(utterance)
    assert _texts(ScriptedStt(score), utterances) == ["first one", "mhm", "", "last"]


def test_faults_of_an_stt() -> None:
    utterance = _spoken(1)
    assert _texts(ScriptedStt(["one two three four"], faults=EndsEarly()), [utterance]) == ["one two"]
    assert "\x1b" in _texts(ScriptedStt(["hello"], faults=Garbage()), [utterance])[0]
    with pytest.raises(StageError, match="by script"):
        _texts(ScriptedStt(["hello"], faults=Raises()), [utterance])
    with pytest.raises(Deadlock):
        _texts(ScriptedStt(["hello"], faults={1: Hangs()}), [utterance])
    assert _texts(ScriptedStt(["hello"], faults={2: Hangs()}), [utterance]) == ["hello"]


# --- language model --------------------------------------------------------------------------------------------------

HELLO = [Message("user", "hello")]


async def _all(stream: AsyncIterator[Any]) -> list[Any]:
    return [part async for part in stream]


def _answer(llm: ScriptedLlm, *prompts: list[Message]) -> list[list[LlmPart]]:
    async def main() -> list[list[LlmPart]]:
        answers = []
        for prompt in prompts:
            async with llm.reply(prompt) as stream:
                answers.append(await _all(stream))
        assert llm.active == 0
        return answers

    return run_virtual(main())


def _text(parts: list[LlmPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def test_an_answer_is_streamed_word_by_word_with_its_cost() -> None:
    (answer,) = _answer(ScriptedLlm(["Good day to you."]), HELLO)
    assert answer == [Text("Good"), Text(" day"), Text(" to"), Text(" you."), Usage(1, 4)]


def test_the_list_goes_on_with_the_history_not_with_the_calls() -> None:
    llm = ScriptedLlm(["one", "two"])
    second = [*HELLO, Message("assistant", "one"), Message("user", "and now?")]
    third = [*second, Message("assistant", "two"), Message("user", "?")]
    answers = _answer(llm, HELLO, [Message("user", "hello there")], second, second, third)
    assert [_text(answer) for answer in answers] == ["one", "one", "two", "two", "one"]
    assert len(llm.prompts) == llm.calls == 5


def test_tool_calls_are_steps_of_the_script() -> None:
    call = ToolCall("1", "weather", '{"city": "Oslo"}')
    llm = ScriptedLlm([["Let me see. ", call], "It rains."])
    after = [*HELLO, Message("assistant", "Let me see.", (call,)), Message("tool", "rain", call_id="1")]
    first, second = _answer(llm, HELLO, after)
    assert call in first
    assert _text(second) == "It rains."


def test_a_function_answers_and_the_user_is_quoted() -> None:
    llm = ScriptedLlm(lambda messages: f"{len(messages)} messages, the last: {{said}}")
    assert _text(_answer(llm, HELLO)[0]) == "1 messages, the last: hello"


def test_delays_of_an_llm() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        async with ScriptedLlm(["a b c"], first_token_ms=300, token_ms=20).reply(HELLO) as stream:
            return [round(loop.time(), 3) async for _ in stream]

    assert run_virtual(main()) == [0.3, 0.32, 0.34, 0.36]


def test_leaving_an_answer_ends_the_call() -> None:
    async def main() -> int:
        llm = ScriptedLlm(["a b c"], token_ms=10)
        async with llm.reply(HELLO) as stream:
            await anext(stream)
            assert llm.active == 1
        return llm.active

    assert run_virtual(main()) == 0


@pytest.mark.parametrize("after", [0, 2])
def test_an_llm_fails_after_so_many_pieces(after: int) -> None:
    got: list[LlmPart] = []

    async def main() -> None:
        async with ScriptedLlm(["a b c"], faults={1: Raises(after=after)}).reply(HELLO) as stream:
            async for part in stream:
                got.append(part)  # noqa: PERF401  # what came before the failure counts

    with pytest.raises(StageError):
        run_virtual(main())
    assert len(got) == after


def test_other_faults_of_an_llm() -> None:
    assert _answer(ScriptedLlm(["a b c d"], faults=EndsEarly()), HELLO) == [[Text("a"), Text(" b")]]
    (garbage,) = _answer(ScriptedLlm(["hello"], faults=Garbage()), HELLO)
    assert isinstance(garbage[1], ToolCall)
    with pytest.raises(Deadlock):
        _answer(ScriptedLlm(["a b"], faults=Hangs(after=1)), HELLO)


@pytest.mark.parametrize(
    "make",
    [
        lambda faults: ScriptedLlm([], faults=faults),
        lambda faults: ScriptedTts(faults=faults),
        lambda faults: ScriptedStt([], faults=faults),
    ],
)
def test_the_warm_up_is_call_0(
    make: Callable[[dict[int, Fault]], ScriptedLlm | ScriptedTts | ScriptedStt],
) -> None:
    with pytest.raises(StageError):
        run_virtual(make({0: Raises()}).warm())
    run_virtual(make({1: Raises()}).warm())


# --- text to speech --------------------------------------------------------------------------------------------------


def _speak(tts: ScriptedTts, text: str) -> tuple[list[Speech], float]:
    async def main() -> tuple[list[Speech], float]:
        async with tts, tts.speak(text) as stream, aclosing(stream):  # type: ignore[type-var]
            pieces = await _all(stream)
        assert tts.active == 0
        return pieces, asyncio.get_running_loop().time()

    return run_virtual(main())


def test_speech_has_the_length_of_its_text_and_times_its_words() -> None:
    tts = ScriptedTts(leading_silence_ms=40, first_byte_ms=150, realtime_factor=0.1)
    pieces, at = _speak(tts, "Good day to you.")
    sound = np.concatenate([piece.samples for piece in pieces])
    assert np.array_equal(sound, tts.sound("Good day to you."))
    assert len(sound) == round((0.04 + 16 * 0.06) * 24_000)
    assert first_audible(sound, 24_000) == pytest.approx(0.04 * 24_000, abs=120)
    words = [word for piece in pieces for word in piece.words]
    assert words == tts.word_times("Good day to you.")
    assert (words[0].start_ms, words[0].end_ms, words[-1].end_ms) == (40, 40 + 4 * 60, 1000)
    assert at == pytest.approx(0.15 + 0.1)


def test_an_empty_text_gives_no_speech() -> None:
    assert _speak(ScriptedTts(), "  ")[0] == []
    assert not any(piece.words for piece in _speak(ScriptedTts(words=False, rate=16_000), "hello")[0])


def test_faults_of_a_tts() -> None:
    whole = len(ScriptedTts().sound("hello world"))
    assert (
        sum(len(piece.samples) for piece in _speak(ScriptedTts(faults=EndsEarly()), "hello world")[0])
        == whole // 2
    )
    assert len(_speak(ScriptedTts(faults=Garbage()), "hello world")[0][0].samples) == 0
    assert _speak(ScriptedTts(faults=Slow(500)), "hello")[1] == 0.5
    with pytest.raises(StageError):
        _speak(ScriptedTts(faults=Raises(after=1)), "hello world")


# --- the profile -----------------------------------------------------------------------------------------------------


def test_factories_read_the_script() -> None:
    options = ProviderOptions("", script={"user": ["Hi."], "agent": ["I heard: {said}"], "first_byte_ms": 20})
    assert _texts(scripted.make_stt(options), [_spoken(1)]) == ["Hi."]
    assert _text(_answer(scripted.make_llm(options), HELLO)[0]) == "I heard: hello"
    assert _speak(scripted.make_tts(options), "hello")[1] == pytest.approx(0.02)


def test_factories_have_a_default_script() -> None:
    options = ProviderOptions("")
    assert _texts(scripted.make_stt(options), [_spoken(1)]) == ["Hello there."]
    assert "hello" in _text(_answer(scripted.make_llm(options), HELLO)[0])


@pytest.mark.parametrize(
    ("script", "says"),
    [({"usr": []}, "did you mean user"), ({"agent": 5}, "valid list"), ({"stt_ms": -1}, "stt_ms")],
)
def test_a_wrong_script_says_what_is_wrong(script: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        scripted.make_stt(ProviderOptions("", script=script))


def test_a_script_chooses_tools_by_what_is_said() -> None:
    arguments = {"items": ["{item}"], "n": 1, "of": {"x": "{said}"}}
    choose = [
        {"when": r"cost of (?P<item>\w+)", "tool": "price", "arguments": arguments},
        {"when": "bye", "tool": "leave", "then": "{said} {result} {other}"},
    ]
    llm = scripted.make_llm(ProviderOptions("", script={"agent": ["One.", "Two."], "choose": choose}))
    said = "What is the COST of oil?"
    asked = [Message("user", said)]
    (call,) = [part for part in _answer(llm, asked)[0] if isinstance(part, ToolCall)]
    wanted = {"items": ["oil"], "n": 1, "of": {"x": said}}
    assert (call.name, json.loads(call.arguments)) == ("price", wanted)
    steps = [Message("assistant", "", calls=(call,)), Message("tool", "seven", call_id=call.id)]
    assert _text(_answer(llm, [*asked, *steps])[0]) == "seven"
    assert _text(_answer(llm, [*asked, Message("user", "Fine.")])[0]) == "Two."
    left = [Message("user", "Bye."), Message("tool", "gone")]
    assert _text(_answer(llm, left)[0]) == "Bye. gone {other}"
    question = "Not done yet: the user must agree first. Ask them now: Really?\nIf they say yes, …"
    assert _text(_answer(llm, [*asked, Message("tool", question)])[0]) == "Really?"


def test_a_choice_with_a_wrong_expression_is_refused() -> None:
    with pytest.raises(UsageError, match="no regular expression"):
        scripted.make_llm(ProviderOptions("", script={"choose": [{"when": "(", "tool": "x"}]}))
