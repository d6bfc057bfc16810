"""Turns from speech to reply: streaming in, clause by clause out, typed and read, remembered as heard."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.engine.support.scenario import Scenario, Verb, run
from tests.engine.support.vad import Doubting
from workbench.engine.guarded import GuardedLlm
from workbench.engine.interfaces import Progress, Retraction
from workbench.engine.pipeline import Pipeline
from workbench.engine.settings import EngineSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE
from workbench.model.conversation import Conversation, Message, Transcript, Usage
from workbench.model.events import (
    DeviceOpened,
    Notice,
    ProviderRetried,
    ReplyEnded,
    ReplyPlaying,
    ReplyProgress,
    ReplyStarted,
    ReplyText,
    Span,
    SpeechPaused,
    SpeechStarted,
    Transcribed,
    TurnDecided,
    TurnEnded,
    UtteranceDismissed,
)
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import Score, speech

QUESTION = "how are you today"
LONG = "Let me tell you a long story. " + "It goes on and on and on. " * 10


def question(before: float = 0.5, after: float = 2.0) -> Score:
    return Score().silence(before).say(QUESTION).silence(after)


# --- one turn --------------------------------------------------------------------------------------------------------


def test_a_spoken_question_is_answered() -> None:
    outcome = run(Scenario(question()))
    assert outcome.turns == [("done", QUESTION, "Fine, thank you.")]
    assert outcome.said == [("user", QUESTION), ("assistant", "Fine, thank you.")]
    order = [type(event) for event in outcome.events]
    steps = [SpeechStarted, SpeechPaused, ReplyStarted, TurnDecided, ReplyPlaying, ReplyEnded, TurnEnded]
    assert [order.index(step) for step in steps] == sorted(order.index(step) for step in steps)
    ended = outcome.one(TurnEnded)
    assert (ended.usage["stt_seconds"] or 0) > 1
    assert ended.usage["tts_seconds"] == pytest.approx(0.96)
    assert ended.usage["input_tokens"] == 4
    assert ended.usage["output_tokens"] == 3


def test_what_is_played_is_what_the_tts_made() -> None:
    tts = ScriptedTts()
    outcome = run(Scenario(question(), tts=tts))
    sound, first = tts.sound("Fine, thank you."), outcome.one(ReplyPlaying).at_sample
    assert (outcome.agent[first : first + len(sound)] == sound).all()
    assert not outcome.agent[:first].any()
    assert not outcome.agent[first + len(sound) :].any()
    assert outcome.one(ReplyEnded).end_sample == first + len(sound)


def test_the_model_sees_the_turns_before() -> None:
    score = Score().silence(0.3).say("one question").silence(3).say("another question").silence(3)
    llm = ScriptedLlm(["First answer.", "Second answer."])
    outcome = run(Scenario(score, llm=llm, conversation=Conversation("Be brief.")))
    assert [turn[2] for turn in outcome.turns] == ["First answer.", "Second answer."]
    assert [(message.role, message.text) for message in llm.prompts[-1]] == [
        ("system", "Be brief."),
        ("user", "one question"),
        ("assistant", "First answer."),
        ("user", "another question"),
    ]


def test_the_model_sees_typed_text_once() -> None:
    llm = ScriptedLlm(["Yes."])
    texts = [(at, lambda pipeline: pipeline.type("more")) for at in (0.5, 2.0)]
    run(Scenario(Score().silence(4), llm=llm, verbs=texts))
    assert [[message.text for message in prompt] for prompt in llm.prompts] == [
        ["more"],
        ["more", "Yes.", "more"],
    ]


def test_history_limits_the_messages() -> None:
    settings = EngineSettings()
    settings.reply.history = 2
    llm = ScriptedLlm(["Yes."])
    texts = [(0.5 + at, lambda pipeline: pipeline.type("more")) for at in range(12)]
    outcome = run(Scenario(Score().silence(14), llm=llm, settings=settings, tts=None, verbs=texts))
    assert len(outcome.turns) == 12
    assert [message.role for message in llm.prompts[-1]] == ["user", "assistant", "user"]
    assert len(outcome.conversation.messages) <= 6


def test_without_history_nothing_is_kept() -> None:
    settings = EngineSettings()
    settings.reply.history = 0
    texts = [(0.5 + at, lambda pipeline: pipeline.type("more")) for at in range(5)]
    outcome = run(Scenario(Score().silence(7), settings=settings, tts=None, verbs=texts))
    assert len(outcome.turns) == 5
    assert len(outcome.conversation.messages) <= 2


# --- streaming in ----------------------------------------------------------------------------------------------------


class Reading(ScriptedStt):
    """Notes how far it had read when speech ended."""

    def __init__(self, score: Score) -> None:
        super().__init__(score)
        self.read_at_pause = 0.0

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        async for _ in utterance.chunks():
            if utterance.state == "speaking":
                self.read_at_pause = (utterance.end - utterance.start_sample) / INPUT_RATE
        return await super().transcribe(utterance, eager=eager)


def test_the_stt_reads_while_the_user_speaks() -> None:
    score = question()
    stt = Reading(score)
    run(Scenario(score, stt=stt))
    assert stt.read_at_pause > 1


def test_partial_transcripts_are_emitted_as_they_come() -> None:
    score = question()
    outcome = run(Scenario(score, stt=ScriptedStt(score, partials=True)))
    texts = [event.text for event in outcome.all(Transcribed)]
    assert texts == ["how", "how are", "how are you", QUESTION, QUESTION]
    assert [event.final for event in outcome.all(Transcribed)] == [False] * 4 + [True]
    assert outcome.at(outcome.all(Transcribed)[0]) < outcome.at(outcome.one(SpeechPaused)) - 500


# --- clause by clause out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partials", [True, False])
def test_a_monologue_of_minutes_is_one_turn_and_one_message(partials: bool) -> None:
    score, texts = Score().silence(0.5), [f"Sentence {number} of my long story." for number in range(40)]
    for text in texts:
        score.say(text).silence(0.2)
    score.silence(5)
    outcome = run(Scenario(score, stt=ScriptedStt(score, partials=partials, delay_ms=150.0)))
    assert score.seconds > 75
    assert outcome.turns == [("done", " ".join(texts), "Fine, thank you.")]
    assert [text for role, text in outcome.said if role == "user"] == [" ".join(texts)]


def test_the_first_clause_is_spoken_while_the_rest_is_generated() -> None:
    text = "Good morning, how are you? I am well, thank you. And what about you?"
    llm, tts = ScriptedLlm([text], token_ms=200), ScriptedTts(first_byte_ms=50)
    outcome = run(Scenario(question(after=6), llm=llm, tts=tts, speculate=False))
    chunks = outcome.all(ReplyText)
    assert [chunk.text for chunk in chunks] == [
        "Good morning, ",
        "how are you? ",
        "I am well, thank you. ",
        "And what about you?",
    ]
    assert outcome.at(outcome.one(ReplyPlaying)) == outcome.at(chunks[0]) + 50
    assert outcome.at(outcome.one(ReplyPlaying)) < outcome.at(chunks[1])
    assert outcome.turns[0][2] == text


def test_only_so_much_speech_is_synthesized_ahead() -> None:
    settings = EngineSettings()
    settings.reply.buffer_s = 1.0
    ahead: list[float] = []

    class Watched(ScriptedTts):
        def speak(self, text: str):  # type: ignore[no-untyped-def]
            ahead.append(len(text) * 0.06)
            return super().speak(text)

    outcome = run(Scenario(question(), llm=ScriptedLlm([LONG]), tts=Watched(), settings=settings))
    texts = outcome.all(ReplyText)
    began = outcome.at(outcome.one(ReplyPlaying))
    made_s = sum(ahead[:3])
    assert outcome.at(texts[-1]) > began + made_s * 1000


def test_an_underrun_leaves_a_notice() -> None:
    outcome = run(
        Scenario(
            question(after=8), llm=ScriptedLlm(["One sentence. " * 3]), tts=ScriptedTts(realtime_factor=1.5)
        )
    )
    (notice,) = outcome.all(Notice)
    assert notice.owner == "tts"
    assert "of silence in it" in notice.reason
    assert outcome.turns[0][0] == "done"


def test_no_sound_is_played_before_it_was_synthesized() -> None:
    """The sink has long dozed off when the second sentence comes."""
    llm = ScriptedLlm([["This is the first one. ", "And this is the second one."]], token_ms=2930)
    outcome = run(Scenario(question(after=8), llm=llm))
    made_ms = outcome.at(outcome.all(ReplyText)[1])
    first_end = outcome.one(ReplyPlaying).at_sample + 23 * 1440
    second = first_end + int(np.flatnonzero(outcome.agent[first_end:])[0])
    assert made_ms <= second / 24 <= made_ms + 25


def test_a_slow_end_of_the_stream_is_no_underrun() -> None:
    """The model's last piece comes when all of its words have long been spoken."""
    llm = ScriptedLlm([["Fine, thank you. \n", " ", Usage(1, 1)]], token_ms=1500)
    outcome = run(Scenario(question(after=6), llm=llm))
    assert outcome.all(Notice) == []


def test_a_chunk_without_a_letter_is_not_spoken() -> None:
    tts = ScriptedTts()
    outcome = run(Scenario(question(), llm=ScriptedLlm(["Fine, thank you. … ! Yes."]), tts=tts))
    assert outcome.turns[0][2] == "Fine, thank you. … ! Yes."
    assert tts.calls == 2


@pytest.mark.parametrize("shown", [False, True])
def test_thinking_is_shown_if_wanted_and_never_spoken_nor_remembered(shown: bool) -> None:
    thoughts = [
        Progress("thinking", "They ask. "),
        Progress("thinking", "Be kind."),
        Progress("thinking", " Yes."),
    ]
    llm = ScriptedLlm([[*thoughts, Progress("arguments", "x" * 300), "Fine, thanks."]], token_ms=200)
    settings = EngineSettings()
    settings.reply.show_thinking = shown
    outcome = run(Scenario(question(), llm=llm, settings=settings))
    assert outcome.turns == [("done", QUESTION, "Fine, thanks.")]
    assert outcome.said == [("user", QUESTION), ("assistant", "Fine, thanks.")]
    events = outcome.all(ReplyProgress)
    assert {event.kind for event in events} == {"thinking", "arguments"}
    assert "".join(event.text for event in events) == ("They ask. Be kind. Yes." if shown else "")
    assert max(event.chars for event in events if event.kind == "thinking") == 23
    assert max(event.chars for event in events if event.kind == "arguments") == 300


def test_text_that_was_thinking_is_dropped_as_far_as_nobody_has_heard_it() -> None:
    llm = ScriptedLlm([["They ask how I am, so I should say it. Shortly. ", Retraction(), "Fine, thanks."]])
    outcome = run(Scenario(question(), llm=llm))
    assert outcome.turns == [("done", QUESTION, "Fine, thanks.")]


def test_an_empty_answer_is_asked_for_once_more_and_then_told() -> None:
    answers: Iterator[list[str | Progress]] = iter([[Progress("thinking", "Hm.")], ["Fine."]])
    outcome = run(Scenario(question(), llm=ScriptedLlm(lambda messages: next(answers))))
    assert outcome.turns == [("done", QUESTION, "Fine.")]
    outcome = run(Scenario(question(), llm=ScriptedLlm([["  "]])))
    assert outcome.turns == [("failed", QUESTION, "")]
    assert "neither words nor a call" in outcome.all(ProviderRetried)[0].reason
    assert "neither words nor a call" in (outcome.one(TurnEnded).reason or "")
    assert outcome.said == [("user", QUESTION)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_any_rate_of_the_tts_becomes_24_khz(rate: int) -> None:
    outcome = run(Scenario(question(), tts=ScriptedTts(rate=rate)))
    first, end = outcome.one(ReplyPlaying).at_sample, outcome.one(ReplyEnded).end_sample
    assert end is not None
    assert (end - first) / 24_000 == pytest.approx(0.96, abs=0.002)


# --- text ------------------------------------------------------------------------------------------------------------


def test_typed_text_is_a_turn_like_any_other() -> None:
    outcome = run(Scenario(Score().silence(3), verbs=[(1.0, lambda pipeline: pipeline.type("Hello?"))]))
    assert outcome.turns == [("done", "Hello?", "Fine, thank you.")]
    decided = outcome.one(TurnDecided)
    assert (decided.typed, decided.end_sample, decided.waited_ms) == (True, None, 0.0)
    assert outcome.at(decided) == 1000
    assert outcome.at(outcome.one(ReplyPlaying)) == 1000
    assert outcome.one(TurnEnded).usage["stt_seconds"] == 0


def test_without_a_tts_the_answer_is_read() -> None:
    outcome = run(Scenario(question(), tts=None))
    assert outcome.turns == [("done", QUESTION, "Fine, thank you.")]
    assert [event.text for event in outcome.all(ReplyText)] == ["Fine, thank you."]
    assert outcome.all(ReplyPlaying) == []
    assert not outcome.agent.any()


def test_without_an_stt_only_text_is_a_turn() -> None:
    outcome = run(
        Scenario(question(after=3), deaf=True, verbs=[(3.0, lambda pipeline: pipeline.type("Hello?"))])
    )
    assert outcome.turns == [("done", "Hello?", "Fine, thank you.")]
    assert [(it.utterance, it.reason) for it in outcome.all(UtteranceDismissed)] == [(1, "no words")]


def test_typed_text_cuts_the_reply_that_plays() -> None:
    llm = ScriptedLlm([LONG, "Stopped."])
    outcome = run(
        Scenario(question(after=6), llm=llm, verbs=[(5.0, lambda pipeline: pipeline.type("Stop."))])
    )
    (first, second) = outcome.turns
    assert first[0] == "cut"
    assert second == ("done", "Stop.", "Stopped.")
    assert LONG.startswith(first[2])
    assert outcome.conversation.messages[1] == Message("assistant", first[2], cut=True)
    playing = outcome.all(ReplyPlaying)[1]
    assert outcome.at(playing) - 5000 <= 20, "after the fade of the one before"


def test_typed_text_while_the_user_speaks_is_part_of_what_they_say() -> None:
    score = Score().silence(0.5).say("one two three four five six seven eight").silence(4)
    outcome = run(
        Scenario(
            score,
            stt=ScriptedStt(score, partials=True),
            llm=ScriptedLlm(["You said {said}."]),
            verbs=[(1.5, lambda pipeline: pipeline.type("typed"))],
        )
    )
    words = "one two three four five six seven eight typed"
    assert outcome.turns == [("done", words, f"You said {words}.")]
    assert outcome.said[0] == ("user", words)


def test_typed_text_during_noise_is_answered() -> None:
    score = Score().silence(0.5).babble(4, db=-24).silence(3)
    outcome = run(
        Scenario(
            score,
            stt=ScriptedStt([], partials=True),
            vad=Doubting(),
            verbs=[(1.5, lambda pipeline: pipeline.type("typed"))],
        )
    )
    assert outcome.turns == [("done", "typed", "Fine, thank you.")]
    assert outcome.at(outcome.one(ReplyPlaying)) <= 1500 + 640


def test_a_click_while_the_stt_is_at_work_takes_no_word_away() -> None:
    score = Score().silence(0.5).say(QUESTION)
    score.add(speech(0.05), at=score.seconds + 0.6).silence(5)
    outcome = run(Scenario(score, stt=ScriptedStt(score, delay_ms=1500)))
    assert outcome.turns == [("done", QUESTION, "Fine, thank you.")]


@pytest.mark.parametrize("spoken", [False, True])
def test_what_comes_after_an_interrupt_is_a_turn_of_its_own(spoken: bool) -> None:
    score = Score().silence(0.5).say(QUESTION)
    end = score.seconds
    if spoken:
        score.silence(0.8).say("and now what")
    verbs: list[tuple[float, Verb]] = [(end + 0.6, lambda pipeline: pipeline.interrupt())]
    if not spoken:
        verbs.append((end + 0.6, lambda pipeline: pipeline.type("and now what")))
    llm = ScriptedLlm(["Fine, thank you."], first_token_ms=2000)
    outcome = run(Scenario(score.silence(6), stt=ScriptedStt(score), llm=llm, verbs=verbs))
    assert outcome.turns[-1] == ("done", "and now what", "Fine, thank you.")


# --- of itself -------------------------------------------------------------------------------------------------------


def test_the_greeting_comes_first_and_is_remembered() -> None:
    llm = ScriptedLlm(["Fine, thank you."])
    outcome = run(Scenario(question(before=3), greeting="Hello, I am here.", llm=llm))
    assert [message.text for message in llm.prompts[0]] == ["Hello, I am here.", QUESTION]
    assert outcome.said[0] == ("assistant", "Hello, I am here.")
    assert outcome.at(outcome.all(ReplyPlaying)[0]) <= 20
    assert outcome.all(ReplyStarted)[0].utterance is None
    assert outcome.turns == [("done", QUESTION, "Fine, thank you.")]


def test_a_long_silence_is_broken_once_until_the_user_speaks_again() -> None:
    score = Score().silence(20).say(QUESTION).silence(30)
    outcome = run(Scenario(score, on_silence="Are you still there?"))
    said = [event for event in outcome.all(ReplyStarted) if event.utterance is None]
    assert len(said) == 2
    assert 8000 <= outcome.at(said[0]) <= 8120
    after = outcome.all(ReplyEnded)[1]
    assert outcome.at(said[1]) == pytest.approx(outcome.at(after) + 8000, abs=140)


def test_typing_counts_as_presence() -> None:
    scenario = Scenario(
        Score().silence(30),
        on_silence="Are you still there?",
        verbs=[(12.0, lambda pipeline: pipeline.type("Yes."))],
    )
    assert sum(event.utterance is None for event in run(scenario).all(ReplyStarted)) == 2


def test_a_say_waits_for_the_floor() -> None:
    scenario = Scenario(
        question(after=6),
        llm=ScriptedLlm(["A rather long answer to a question."]),
        verbs=[(2.5, lambda pipeline: pipeline.say("By the way."))],
    )
    outcome = run(scenario)
    first, second = outcome.all(ReplyEnded)
    assert (first.heard, second.heard) == ("A rather long answer to a question.", "By the way.")
    assert outcome.all(ReplyPlaying)[1].at_sample >= (first.end_sample or 0)
    waited = [span for span in outcome.all(Span) if span.part == "floor" and span.reply == 2]
    assert waited[0].end_ms - waited[0].start_ms > 500


def test_verbs_called_before_the_start_run_first() -> None:
    outcome = run(Scenario(Score().silence(3), first=[lambda pipeline: pipeline.type("Hello?")]))
    assert outcome.turns == [("done", "Hello?", "Fine, thank you.")]


def test_verbs_of_a_session_that_is_over_do_nothing() -> None:
    kept: list[Pipeline] = []
    outcome = run(Scenario(Score().silence(1), verbs=[(0.5, kept.append)]))
    (pipeline,) = kept
    assert not pipeline.talking
    pipeline.say("too late")
    pipeline.type("too late")
    pipeline.interrupt()
    assert outcome.turns == []


def test_a_provider_that_is_swapped_answers_from_the_next_reply_on() -> None:
    def swap(pipeline: Pipeline) -> None:
        llm = ScriptedLlm(["From the other one."])
        pipeline.stages.llm = GuardedLlm(llm, pipeline.settings, pipeline.trace)

    score = Score().silence(0.5).say("one question").silence(3).say("another question").silence(3)
    outcome = run(Scenario(score, verbs=[(2.0, swap)]))
    assert [turn[2] for turn in outcome.turns] == ["Fine, thank you.", "From the other one."]


def test_a_cold_turn_is_marked_and_the_next_one_is_not() -> None:
    def cold(pipeline: Pipeline) -> None:
        pipeline.stages.cold = True

    texts = [(at, lambda pipeline: pipeline.type("more")) for at in (0.5, 2.0)]
    outcome = run(Scenario(Score().silence(4), first=[cold], verbs=texts))
    assert [event.cold for event in outcome.all(TurnEnded)] == [True, False]


def test_a_turn_for_which_a_model_had_to_start_anew_is_cold() -> None:
    class Fragile(ScriptedLlm):
        """Starts again for its second answer."""

        @property
        def starts(self) -> int:
            return int(self.calls >= 2)

    texts = [(at, lambda pipeline: pipeline.type("more")) for at in (0.5, 2.0, 3.5)]
    outcome = run(Scenario(Score().silence(6), llm=Fragile(["Yes."]), verbs=texts))
    assert [event.cold for event in outcome.all(TurnEnded)] == [False, True, False]
    assert outcome.one(Notice).owner == "host"


# --- the end ---------------------------------------------------------------------------------------------------------


def test_a_session_ends_after_the_last_reply_to_its_file() -> None:
    outcome = run(Scenario(question(after=0.0), llm=ScriptedLlm([LONG])))
    assert outcome.turns == [("done", QUESTION, LONG.strip())]
    assert outcome.times[-1] - outcome.at(outcome.one(TurnEnded)) <= 20


def test_a_session_ends_at_once_when_nothing_is_open() -> None:
    assert run(Scenario(Score().silence(2))).times[-1] <= 2000


def test_an_empty_file_is_no_conversation() -> None:
    outcome = run(Scenario(Score()))
    assert [event for event in outcome.events if not isinstance(event, DeviceOpened)][1:] == []


def test_a_file_that_ends_within_a_word_is_answered() -> None:
    score = Score().say(QUESTION)
    assert run(Scenario(score)).turns == [("done", QUESTION, "Fine, thank you.")]


def test_while_muted_no_utterance_opens() -> None:
    def mute(pipeline: Pipeline) -> None:
        pipeline.muted = True

    outcome = run(Scenario(question(before=1), verbs=[(0.5, mute)]))
    assert outcome.all(SpeechStarted) == []
    assert outcome.turns == []
