"""Replies that are prepared before the turn is decided, and thrown away when the user goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.engine.support.scenario import Scenario, run
from workbench.engine.settings import EngineSettings, ReplySettings
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Conversation, Message, Transcript
from workbench.model.errors import RefusedError
from workbench.model.events import (
    ReplyDiscarded,
    ReplyPlaying,
    ReplyStarted,
    Span,
    SpeechPaused,
    SpeechResumed,
    Transcribed,
    TurnDecided,
    TurnEnded,
    UtteranceDismissed,
)
from workbench.simulation.scripted import Raises, ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import Score


def score(*gaps: float) -> Score:
    """Words with these pauses between them, s."""
    made = Score().silence(0.5).say("one two")
    for gap in gaps:
        made.silence(gap).say("three four")
    return made.silence(4)


def slow() -> ScriptedLlm:
    return ScriptedLlm(["You said: {said}."], first_token_ms=250)


@pytest.mark.parametrize("partials", [True, False])
def test_at_the_first_pause_a_reply_is_prepared_and_used_if_the_user_has_finished(partials: bool) -> None:
    text = score()
    outcome = run(Scenario(text, stt=ScriptedStt(text, partials=partials), llm=slow()))
    started = outcome.one(ReplyStarted)
    assert started.speculative
    assert started.turn is None
    assert outcome.at(started) < outcome.at(outcome.one(TurnDecided)) - 200
    assert outcome.at(outcome.one(ReplyPlaying)) == outcome.at(outcome.one(TurnDecided))
    assert outcome.all(ReplyDiscarded) == []
    assert outcome.turns == [("done", "one two", "You said: one two.")]


def test_a_stable_partial_is_as_good_as_a_pause() -> None:
    text = score()
    outcome = run(Scenario(text, stt=ScriptedStt(text, partials=True)))
    stable = next(event for event in outcome.all(Transcribed) if event.stable)
    assert outcome.at(outcome.one(ReplyStarted)) == outcome.at(stable)
    assert outcome.at(stable) < outcome.at(outcome.one(SpeechPaused))


def test_words_that_may_still_change_are_not_answered() -> None:
    """A partial is covered only up to where it was made from."""
    text = score()
    stt = ScriptedStt(text, partials=True, delay_ms=200)
    outcome = run(Scenario(text, stt=stt))
    first = outcome.all(ReplyStarted)[0]
    assert first.said == "one two"
    assert outcome.at(first) >= outcome.at(outcome.one(SpeechPaused))


def test_if_the_user_goes_on_the_prepared_reply_is_discarded_with_its_cost() -> None:
    text = score(0.25)
    outcome = run(
        Scenario(text, stt=ScriptedStt(text), llm=ScriptedLlm(["You said: {said}. " * 20], token_ms=10))
    )
    discarded = outcome.one(ReplyDiscarded)
    assert discarded.seconds > 0.1
    assert discarded.tokens > 5
    assert outcome.turns[0][1] == "one two three four"
    assert "one two three four" in outcome.turns[0][2]
    assert outcome.one(TurnEnded).usage["output_tokens"] == 6 * 20 + 1 + discarded.tokens


def test_a_discarded_reply_is_neither_played_nor_remembered() -> None:
    text = score(0.25)
    outcome = run(Scenario(text, stt=ScriptedStt(text), llm=ScriptedLlm(["You said: {said}."])))
    assert outcome.said == [("user", "one two three four"), ("assistant", "You said: one two three four.")]
    assert len(outcome.all(ReplyPlaying)) == 1


def test_every_pause_of_an_utterance_is_answered_early() -> None:
    text = score(0.2, 0.2, 0.2)
    outcome = run(Scenario(text, stt=ScriptedStt(text), llm=slow()))
    started = outcome.all(ReplyStarted)
    assert [event.speculative for event in started] == [True] * 4
    assert outcome.at(outcome.one(ReplyPlaying)) - outcome.at(started[-1]) == pytest.approx(250, abs=20)


def test_replies_begin_later_once_too_much_was_discarded_within_a_minute() -> None:
    settings = EngineSettings()
    settings.reply.spare_tokens = 20
    text = score(0.2, 0.2, 0.2)
    conversation = Conversation("x" * 40)
    llm = slow()
    scenario = Scenario(text, stt=ScriptedStt(text), llm=llm, settings=settings, conversation=conversation)
    outcome = run(scenario)
    started = [event.speculative for event in outcome.all(ReplyStarted)]
    assert started == [True, True, False], "each attempt costs twelve tokens or more"
    text.say("and then").silence(4)
    text.silence(50).say("and after a minute").silence(4)
    outcome = run(replace(scenario, score=text, stt=ScriptedStt(text), conversation=Conversation("x" * 40)))
    assert outcome.all(ReplyStarted)[-1].speculative


@pytest.mark.parametrize(
    ("wish", "onboard", "llm", "tts"),
    [
        ("auto", True, True, True),
        ("auto", False, True, False),
        ("on", False, True, True),
        ("off", True, False, False),
    ],
)
def test_far_away_only_the_language_model_begins_early(
    wish: str, onboard: bool, llm: bool, tts: bool
) -> None:
    settings = EngineSettings()
    settings.reply.speculate = wish  # type: ignore[assignment]
    text = score()
    stt = ScriptedStt(text, partials=True)
    outcome = run(
        Scenario(text, stt=stt, tts=ScriptedTts(first_byte_ms=50), settings=settings, speculate=onboard)
    )
    decided = outcome.at(outcome.one(TurnDecided))
    spoken = next(span for span in outcome.all(Span) if span.part == "tts_first_byte")
    assert outcome.one(ReplyStarted).speculative == llm
    assert (spoken.start_ms < decided - 1) == tts
    assert outcome.turns[0][0] == "done"


class Reader(ScriptedLlm):
    """A model on board that reads ahead."""

    onboard = True

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__(["A rather long answer, into which something may be said."])
        self.read: list[list[str]] = []
        self._fails = fails

    async def prepare(self, messages: Sequence[Message]) -> None:
        self.read.append([message.text for message in messages])
        if self._fails:
            raise RuntimeError("no memory")


@pytest.mark.parametrize("fails", [False, True])
def test_a_model_on_board_reads_the_history_while_the_user_speaks(fails: bool) -> None:
    score = Score().silence(0.5).say("tell me something").silence(6).say("and more").silence(0.25)
    llm = Reader(fails=fails)
    outcome = run(Scenario(score.say("of it").silence(6), llm=llm))
    assert [turn[1] for turn in outcome.turns] == ["tell me something", "and more of it"]
    answer = "A rather long answer, into which something may be said."
    assert llm.read == [[], ["tell me something", answer]], "once an utterance, before its words"


@pytest.mark.parametrize("choice", ["auto", "off"])
def test_nothing_is_read_ahead_during_a_reply_nor_where_nothing_is_to_be_early(choice: str) -> None:
    score = Score().silence(0.5).say("tell me something").silence(1.5).say("please stop").silence(6)
    settings = EngineSettings(reply=ReplySettings.model_validate({"speculate": choice}))
    llm = Reader()
    run(Scenario(score, llm=llm, settings=settings))
    assert len(llm.read) == (1 if choice == "auto" else 0)


def test_a_reply_prepared_on_an_older_history_is_made_again() -> None:
    """What the agent says in the meantime of itself is remembered, so the prepared reply is of no use."""
    text = score()
    scenario = Scenario(
        text,
        stt=ScriptedStt(text),
        llm=ScriptedLlm(lambda messages: f"I see {len(messages)} messages."),
        verbs=[(0.3, lambda pipeline: pipeline.conversation.instruct("Be rude."))],
    )
    assert run(scenario).turns[0][2] == "I see 2 messages."
    scenario.verbs = [(1.25, lambda pipeline: pipeline.conversation.instruct("Be rude."))]
    scenario.conversation = type(scenario.conversation)()
    outcome = run(scenario)
    assert [event.speculative for event in outcome.all(ReplyStarted)] == [True, False]
    assert len(outcome.all(ReplyDiscarded)) == 1
    assert outcome.turns[0][2] == "I see 2 messages."


class Tentative(ScriptedStt):
    """Its words may always still change, as a model's that looks at all of the sound again."""

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        while not utterance.over:
            if utterance.state == "paused" and not utterance.covered:
                utterance.write(Transcript(self._text(utterance), utterance.end, confidence=0.9))
            await utterance.changed()
        return self._final(utterance, None)


def test_an_unstable_reply_is_discarded_once_the_user_surely_goes_on() -> None:
    text = score(0.25)
    outcome = run(Scenario(text, stt=Tentative(text), llm=ScriptedLlm(["You said: {said}."])))
    first, second = outcome.all(ReplyStarted)
    assert (first.said, second.said) == ("one two", "one two three four")
    resumed, discarded = outcome.one(SpeechResumed), outcome.one(ReplyDiscarded)
    min_speech_ms = EngineSettings().bargein.min_speech_ms
    assert outcome.at(discarded) - outcome.at(resumed) == pytest.approx(min_speech_ms, abs=40)
    assert outcome.turns == [("done", "one two three four", "You said: one two three four.")]


def test_too_short_an_utterance_is_no_turn_whatever_was_prepared() -> None:
    settings = EngineSettings()
    settings.vad.min_speech_ms = 700
    text = score()
    outcome = run(Scenario(text, stt=ScriptedStt(text, partials=True), settings=settings))
    assert outcome.turns == []
    assert [(it.utterance, it.reason) for it in outcome.all(UtteranceDismissed)] == [(1, "too short")]
    assert len(outcome.all(ReplyDiscarded)) == 1


def test_a_transcript_that_turns_out_different_is_answered_as_it_is() -> None:
    class Fickle(ScriptedStt):
        """Its final words are others than those it wrote at the pause."""

        async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
            said = await super().transcribe(utterance, eager=eager)
            return replace(said, text="one too")

    text = score()
    outcome = run(Scenario(text, stt=Fickle(text), llm=ScriptedLlm(["You said: {said}."])))
    assert outcome.turns == [("done", "one too", "You said: one too.")]
    assert len(outcome.all(ReplyDiscarded)) == 1


def test_a_prepared_reply_that_failed_fails_the_turn_only_if_it_is_the_answer() -> None:
    text = score(0.25)
    llm = ScriptedLlm(["Yes."], faults={1: Raises(RefusedError("wrong key"))})
    outcome = run(Scenario(text, stt=ScriptedStt(text), llm=llm))
    assert outcome.turns == [("done", "one two three four", "Yes.")]
    assert len(outcome.all(ReplyDiscarded)) == 1


def test_a_discarded_reply_is_stopped_while_it_is_generated() -> None:
    text = score(0.25)
    llm, tts = ScriptedLlm(["A long answer. " * 50], token_ms=100), ScriptedTts(realtime_factor=0.5)
    outcome = run(Scenario(text, stt=ScriptedStt(text), llm=llm, tts=tts))
    assert llm.active == tts.active == 0
    assert outcome.turns[0][0] == "done"
