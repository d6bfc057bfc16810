"""Tools within a conversation: when they run, what the user hears meanwhile, and what an interruption does to them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.engine.support.scenario import Outcome, Scenario, run
from tests.engine.support.tools import answer
from workbench import RunContext, tool
from workbench.engine.pipeline import Pipeline
from workbench.engine.settings import EngineSettings
from workbench.model.conversation import Message, ToolCall
from workbench.model.events import (
    Notice,
    ReplyDiscarded,
    ReplyText,
    ToolCalled,
    ToolReturned,
    ToolStarted,
    TurnDecided,
    TurnEnded,
)
from workbench.simulation.scripted import Answer, ScriptedLlm, ScriptedStt
from workbench.simulation.synthesis import Score
from workbench.tools.consent import agrees, question_in
from workbench.tools.tool import OnInterrupt, Tool

BOOK = ToolCall("b", "book", '{"day": "Monday"}')


def question(seconds: float = 8) -> Score:
    return Score().silence(0.5).say("book me a table").silence(seconds)


def roles(outcome: Outcome) -> list[str]:
    return [message.role for message in outcome.conversation.messages]


def booking(on_interrupt: OnInterrupt = "cancel", seconds: float = 3.0) -> tuple[Tool, list[str]]:
    did: list[str] = []

    async def book(day: str) -> str:
        await asyncio.sleep(seconds)
        did.append(day)
        return f"booked for {day}"

    return tool(on_interrupt=on_interrupt)(book), did


# --- what is heard meanwhile -----------------------------------------------------------------------------------------


def test_what_a_tool_says_is_heard_before_the_answer_and_known_to_the_model() -> None:
    @tool
    async def book(context: RunContext[None], day: str) -> str:
        context.say("One moment, I am calling them.")
        await asyncio.sleep(3)
        return "done"

    llm = answer(["Sure. ", BOOK], "It is booked.")
    outcome = run(Scenario(question(), llm=llm, tools=(book,)))
    assert outcome.turns[0][2] == "Sure. One moment, I am calling them. It is booked."
    asked = llm.prompts[-1][-2]
    assert (asked.role, asked.text) == ("assistant", "Sure. One moment, I am calling them.")
    texts = outcome.all(ReplyText)
    assert outcome.at(texts[-2]) < outcome.at(outcome.one(ToolReturned)) <= outcome.at(texts[-1])


def test_a_tool_knows_the_conversation_and_what_the_user_just_said() -> None:
    seen: list[tuple[Message, ...]] = []

    @tool
    async def book(context: RunContext[None], day: str) -> str:
        seen.append(context.conversation)
        assert context.said == "book me a table"
        assert context.turn == 1
        return "done"

    run(Scenario(question(), llm=answer([BOOK], "Done."), tools=(book,)))
    assert [message.text for message in seen[0]] == ["book me a table"]


# --- before the turn is decided --------------------------------------------------------------------------------------


def speculated(idempotent: bool) -> Outcome:
    @tool(idempotent=idempotent)
    async def look(day: str) -> str:
        return "free"

    score = Score().silence(0.5).say("is there a table").silence(0.25).say("on Monday").silence(5)
    llm = answer([ToolCall("l", "look", '{"day": "Monday"}')], "There is.")
    return run(Scenario(score, stt=ScriptedStt(score), llm=llm, tools=(look,), check_tools=not idempotent))


def test_an_idempotent_tool_runs_before_the_turn_is_decided() -> None:
    outcome = speculated(idempotent=True)
    first = outcome.all(ToolStarted)[0]
    assert outcome.at(first) < outcome.at(outcome.one(TurnDecided))
    assert first.turn is None
    assert outcome.turns == [("done", "is there a table on Monday", "There is.")]


def test_a_tool_with_side_effects_waits_for_the_turn_and_is_discarded_with_its_reply() -> None:
    outcome = speculated(idempotent=False)
    assert len(outcome.all(ReplyDiscarded)) == 1
    assert len(outcome.all(ToolCalled)) == 2
    assert [event.status for event in outcome.all(ToolReturned)] == ["discarded", "done"]
    assert len(outcome.all(ToolStarted)) == 1


# --- interruptions ---------------------------------------------------------------------------------------------------


def interrupted(
    on_interrupt: OnInterrupt, *verbs: tuple[float, str]
) -> tuple[Outcome, list[str], ScriptedLlm]:
    book, did = booking(on_interrupt)

    def next_step(messages: Sequence[Message]) -> Answer:
        return [BOOK] if messages[-1].text == "book me a table" else f"You said {messages[-1].text}."

    def verb(pipeline: Pipeline, what: str) -> None:
        pipeline.interrupt() if what == "!" else pipeline.type(what)

    llm = ScriptedLlm(next_step)
    calls = [(at, lambda pipeline, what=what: verb(pipeline, what)) for at, what in verbs]
    return run(Scenario(question(12), llm=llm, tools=(book,), verbs=calls)), did, llm


def test_an_interruption_cancels_a_tool_at_once() -> None:
    outcome, did, _ = interrupted("cancel", (4.0, "!"))
    end = outcome.one(ToolReturned)
    assert (end.status, did, roles(outcome)) == ("cancelled", [], ["user"])
    assert outcome.at(end) == pytest.approx(4000, abs=50)


def test_a_tool_that_finishes_when_interrupted_is_known_to_the_next_answer() -> None:
    outcome, did, llm = interrupted("finish", (4.0, "!"), (4.2, "hello"))
    end = outcome.one(ToolReturned)
    assert (end.status, did) == ("done", ["Monday"])
    assert outcome.turns == [("cut", "book me a table", ""), ("done", "hello", "You said hello.")]
    assert [message.role for message in llm.prompts[-1]] == ["user", "assistant", "tool", "user"]
    assert outcome.at(outcome.all(TurnEnded)[0]) >= outcome.at(end)


def test_a_background_tool_goes_on_when_interrupted_and_its_result_is_remembered_once() -> None:
    outcome, did, llm = interrupted("background", (4.0, "!"), (4.2, "hello"), (10.0, "and now"))
    end = outcome.one(ToolReturned)
    assert (end.status, did) == ("done", ["Monday"])
    first, second, _ = outcome.all(TurnEnded)
    assert outcome.at(first) < outcome.at(end)
    assert second.status == "done"
    assert roles(outcome).count("tool") == 1
    assert [message.text for message in llm.prompts[-1] if message.role == "tool"] == ["booked for Monday"]


def test_the_end_of_the_session_waits_for_no_interrupted_tool() -> None:
    for on_interrupt in ("finish", "background"):
        book, did = booking(on_interrupt, seconds=1e6)
        stand = Scenario(
            question(), llm=answer([BOOK], "Done."), tools=(book,), verbs=[(4.0, lambda p: p.interrupt())]
        )
        stand.cancel_at = 6.0
        outcome = run(stand)
        assert did == []
        assert outcome.one(ToolReturned).status == "cancelled"
        assert outcome.ended_ms < 7000


def test_a_tool_that_fails_in_the_background_is_a_notice() -> None:
    @tool(on_interrupt="background", timeout_s=3)
    async def book(day: str) -> None:
        await asyncio.sleep(3600)

    outcome = run(
        Scenario(
            question(), llm=answer([BOOK], "Done."), tools=(book,), verbs=[(4.0, lambda p: p.interrupt())]
        )
    )
    assert any("the tool book did not answer" in notice.reason for notice in outcome.all(Notice))
    assert outcome.one(ToolReturned).status == "failed"


# --- consent ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "agreed"),
    [
        ("Yes.", True),
        ("yes please", True),
        ("Uh, yeah, go ahead!", True),
        ("OK.", True),
        ("Sure, that's fine.", True),
        ("I said yes", True),
        ("No.", False),
        ("No, thank you", False),
        ("Please don't", False),
        ("Please don’t do that", False),
        ("wait", False),
        ("Yes, but not on Monday", None),
        ("Yes, but make it two", None),
        ("Okay, let me think", None),
        ("OK, what does it cost?", None),
        ("Sure, I have to look into my calendar first", None),
        ("Yes, on Friday", None),
        ("Yes, on Monday please", True),
        ("Yes, 3 of them", None),
        ("Yes, но завтра", None),
        ("Yes? Who is there", None),
        ("Sure?", None),
        ("Yes, go ahead and book it, thank you", True),
        ("What does it cost?", None),
        ("", None),
        ("yesterday", None),
        ("Monday", None),
    ],
)
def test_which_answers_are_a_yes(said: str, agreed: bool | None) -> None:
    assert agrees(said, "Shall I book a table for Monday?") is agreed


def confirmed(
    *said: str, calls: Sequence[str] = ("Monday", "Monday")
) -> tuple[Outcome, list[str], ScriptedLlm]:
    did: list[str] = []

    @tool(confirm="Shall I book {day} for {people}?")
    async def book(day: str, people: int = 2) -> str:
        did.append(day)
        return "booked"

    days = iter(calls)

    def next_step(messages: Sequence[Message]) -> Answer:
        if messages[-1].role == "tool":
            return "Shall I book?" if "not done yet" in messages[-1].text.lower() else messages[-1].text
        day = next(days, None)
        return "Fine." if day is None else [ToolCall("b", "book", f'{{"day": "{day}"}}')]

    llm = ScriptedLlm(next_step)
    verbs = [(5.0 * (n + 1), lambda p, text=text: p.type(text)) for n, text in enumerate(said)]
    stand = Scenario(question(5.0 * len(said) + 6), llm=llm, tools=(book,), verbs=verbs, speculate=False)
    return run(stand), did, llm


def test_a_tool_with_consent_runs_after_a_yes() -> None:
    outcome, did, llm = confirmed("yes please")
    assert did == ["Monday"]
    assert [end.status for end in outcome.all(ToolReturned)] == ["cancelled", "done"]
    assert len(outcome.all(ToolStarted)) == 1
    told = [message.text for message in llm.prompts[1] if message.role == "tool"]
    assert question_in(told[0]) == "Shall I book Monday for 2?"


def test_a_tool_with_consent_does_not_run_after_a_no() -> None:
    outcome, did, llm = confirmed("no thanks")
    assert did == []
    assert "the user said no" in llm.prompts[-1][-1].text
    assert outcome.all(ToolStarted) == []


def test_a_yes_holds_for_the_next_turn_and_the_same_arguments_only() -> None:
    assert confirmed("what does it cost")[1] == []
    assert confirmed("yes", calls=("Monday", "Tuesday"))[1] == []
    assert confirmed("what does it cost", "yes", calls=("Monday", "Monday", "Monday"))[1] == ["Monday"]


def test_a_model_that_calls_again_without_asking_is_refused_again() -> None:
    did: list[str] = []

    @tool(confirm=True)
    async def book(day: str) -> str:
        did.append(day)
        return "booked"

    settings = EngineSettings()
    settings.reply.max_tool_steps = 3
    outcome = run(Scenario(question(), llm=answer([BOOK]), tools=(book,), settings=settings))
    assert did == []
    assert {end.status for end in outcome.all(ToolReturned)} == {"cancelled"}
    assert any("3 rounds" in notice.reason for notice in outcome.all(Notice))
