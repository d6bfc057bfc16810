"""Tool calls: after the turn is decided, all at once, within a deadline; what they did is remembered once."""

from __future__ import annotations

import pytest

from tests.engine.support.scenario import Outcome, Scenario, run
from tests.engine.support.tools import CLOCK, DATE, Tools, answer
from workbench.engine.endpointing import CombinedTurn
from workbench.engine.settings import EngineSettings
from workbench.model.audio import INPUT_RATE
from workbench.model.conversation import ToolCall
from workbench.model.events import (
    ReplyDiscarded,
    ReplyStarted,
    Span,
    ToolCalled,
    ToolReturned,
    TurnDecided,
    TurnEnded,
)
from workbench.simulation.scripted import ScriptedStt
from workbench.simulation.synthesis import Score
from workbench.tools.tool import tool


def question() -> Score:
    return Score().silence(0.5).say("what time is it").silence(5)


def roles(outcome: Outcome) -> list[tuple[str, str]]:
    return [
        (message.role, message.text or ",".join(call.id for call in message.calls))
        for message in outcome.conversation.messages
    ]


def test_results_come_back_to_the_model_and_are_remembered() -> None:
    llm, tools = answer(["One moment. ", CLOCK, DATE], "It is ten on Monday."), Tools()
    outcome = run(Scenario(question(), llm=llm, tools=tools.all))
    assert outcome.turns == [("done", "what time is it", "One moment. It is ten on Monday.")]
    assert roles(outcome) == [
        ("user", "what time is it"),
        ("assistant", "1,2"),
        ("tool", "ten"),
        ("tool", "Monday"),
        ("assistant", "One moment. It is ten on Monday."),
    ]
    assert [(message.role, message.text) for message in llm.prompts[-1]] == [
        ("user", "what time is it"),
        ("assistant", "One moment. "),
        ("tool", "ten"),
        ("tool", "Monday"),
    ]
    assert [(event.call, event.name, event.arguments) for event in outcome.all(ToolCalled)] == [
        ("1", "clock", "{}"),
        ("2", "date", '{"zone": "utc"}'),
    ]
    assert [(event.call, event.result, event.error) for event in outcome.all(ToolReturned)] == [
        ("1", "ten", None),
        ("2", "Monday", None),
    ]


def test_tools_run_at_once_while_the_words_before_them_play() -> None:
    llm = answer(["Let me have a look at that. ", CLOCK, DATE], "It is ten.")
    outcome = run(Scenario(question(), llm=llm, tools=Tools(clock=1.0, date=1.0).all))
    span = next(span for span in outcome.all(Span) if span.part == "tools")
    assert span.end_ms - span.start_ms == pytest.approx(1000)
    assert outcome.turns[0][2] == "Let me have a look at that. It is ten."


def test_no_tool_runs_before_the_turn_is_decided() -> None:
    text = Score().silence(0.5).say("what time is it").silence(0.25).say("in Berlin").silence(5)
    tools = Tools()
    outcome = run(Scenario(text, stt=ScriptedStt(text), llm=answer([CLOCK], "Ten."), tools=tools.all))
    assert len(outcome.all(ReplyDiscarded)) == 1
    assert [event.speculative for event in outcome.all(ReplyStarted)] == [True, True]
    assert len(tools.ran) == 1
    assert tools.ran[0][0] * 1000 >= outcome.at(outcome.one(TurnDecided))


def test_a_tool_with_side_effects_waits_for_as_long_as_a_reply_is_held_back() -> None:
    tools, settings = Tools(), EngineSettings()
    settings.turn.hold_ms = 900
    llm = answer([CLOCK], "Ten.")
    outcome = run(Scenario(question(), llm=llm, tools=tools.all, turn=CombinedTurn(), settings=settings))
    decided = outcome.one(TurnDecided)
    assert decided.end_sample is not None
    assert tools.ran[0][0] - decided.end_sample / INPUT_RATE == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("partials", [True, False])
@pytest.mark.parametrize("pause_s", [0.45, 0.8, 1.6, 2.2])
def test_nothing_is_done_while_late_words_say_that_more_will_come(pause_s: float, partials: bool) -> None:
    text = Score().silence(0.5).say("order a pizza and").silence(pause_s).say("a salad please").silence(5)
    tools, settings = Tools(), EngineSettings()
    settings.turn.hold_ms = 450
    stt = ScriptedStt(text, partials=partials, delay_ms=300.0)
    llm = answer([CLOCK], "Done.")
    outcome = run(Scenario(text, stt=stt, llm=llm, tools=tools.all, turn=CombinedTurn(), settings=settings))
    assert outcome.turns == [("done", "order a pizza and a salad please", "Done.")]
    assert len(tools.ran) == 1
    assert [event.status for event in outcome.all(ToolReturned)].count("done") == 1


def test_the_tool_result_of_a_reply_that_is_cut_is_kept_once() -> None:
    llm = answer([CLOCK], "It is ten, and I will say a lot more about it. " * 3)
    outcome = run(Scenario(question(), llm=llm, tools=Tools().all, verbs=[(3.0, lambda p: p.interrupt())]))
    assert outcome.turns[0][0] == "cut"
    assert [message.role for message in outcome.conversation.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]


def test_a_finished_tool_is_kept_when_another_one_is_cut() -> None:
    llm = answer([CLOCK, DATE], "Never said.")
    tools = Tools(clock=0.1, date=30.0)
    outcome = run(Scenario(question(), llm=llm, tools=tools.all, verbs=[(4.0, lambda p: p.interrupt())]))
    assert outcome.turns == [("cut", "what time is it", "")]
    assert roles(outcome) == [("user", "what time is it"), ("assistant", "1"), ("tool", "ten")]


def test_the_prompt_after_a_cut_has_the_tool_result() -> None:
    llm = answer([CLOCK, DATE], "Later.")
    outcome = run(
        Scenario(
            question().silence(5),
            llm=llm,
            tools=Tools(clock=0.1, date=30.0).all,
            verbs=[(4.0, lambda p: p.interrupt()), (6.0, lambda p: p.type("And now?"))],
        )
    )
    assert outcome.turns[1] == ("done", "And now?", "Later.")
    assert [message.role for message in llm.prompts[-1]] == ["user", "assistant", "tool", "user"]


def test_the_model_gets_the_error_of_a_tool_and_the_turn_goes_on() -> None:
    def date(zone: str = "utc") -> str:
        raise KeyError("no such zone")

    clock, _ = Tools().all
    llm = answer([CLOCK, DATE], "I do not know the date.")
    outcome = run(Scenario(question(), llm=llm, tools=(clock, tool(date))))
    assert outcome.turns == [("done", "what time is it", "I do not know the date.")]
    told = "date failed: KeyError: 'no such zone'"
    assert {event.call: event.error for event in outcome.all(ToolReturned)} == {"1": None, "2": told}
    assert [message.text for message in llm.prompts[-1][-2:]] == ["ten", f"Error: {told}"]


def test_a_tool_that_hangs_ends_the_turn() -> None:
    settings = EngineSettings()
    settings.limits.tool_ms = 1000
    outcome = run(
        Scenario(question(), llm=answer([CLOCK], "Ten."), tools=Tools(clock=1e9).all, settings=settings)
    )
    ended = outcome.one(TurnEnded)
    assert (ended.status, ended.stage) == ("failed", "tools")
    assert ended.reason == "the tool clock did not answer within 1000 ms"


def test_endless_rounds_of_tool_calls_are_stopped() -> None:
    settings = EngineSettings()
    settings.reply.max_tool_steps = 3
    tools, llm = Tools(), answer(["Hm. ", CLOCK])
    outcome = run(Scenario(question(), llm=llm, tools=tools.all, settings=settings))
    assert len(tools.ran) == 3
    assert llm.calls == 4
    assert outcome.turns[0][0] == "done"


def test_without_steps_no_tool_runs() -> None:
    settings = EngineSettings()
    settings.reply.max_tool_steps = 0
    tools = Tools()
    run(Scenario(question(), llm=answer(["Hm. ", CLOCK]), tools=tools.all, settings=settings))
    assert tools.ran == []


def test_an_agent_without_tools_says_so_to_the_model() -> None:
    llm = answer([ToolCall("", "rm\x1b[2J", "{")], "Sorry.")
    outcome = run(Scenario(question(), llm=llm))
    assert outcome.turns[0][2] == "Sorry."
    assert outcome.one(ToolReturned).error == "there is no tool called 'rm'; there are none"
