"""Speech into a reply: pause first, decide then, go on from the very sample or give way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import numpy as np
import pytest

from tests.engine.support.scenario import Outcome, Scenario, run
from tests.engine.support.vad import Doubting
from workbench.engine.pipeline import Pipeline
from workbench.engine.settings import EngineSettings, ReplySettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import OUTPUT_RATE, Frame, Samples
from workbench.model.conversation import Message, Transcript
from workbench.model.events import (
    BargeInJudged,
    DuplexChanged,
    ReplyDiscarded,
    ReplyEnded,
    ReplyPaused,
    ReplyPlaying,
    ReplyResumed,
    SpeechIgnored,
    SpeechStarted,
    TurnDecided,
    TurnEnded,
    TurnReopened,
    UtteranceDismissed,
)
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import ArraySource, Score

ANSWER = "This is a rather long answer, so that there is time to say something into it before it is over."
Noise = Callable[[Score], Score]


def into(*noises: Noise, at: float = 3.0, gap: float = 1.5, after: float = 8.0) -> Score:
    """A question, and sounds into the answer to it, the first at `at` s."""
    score = Score().silence(0.5).say("tell me something")
    score.silence(at - score.seconds)
    for noise in noises:
        noise(score).silence(gap)
    return score.silence(after)


def scenario(score: Score, *, partials: bool = True, delay_ms: float = 0.0, **more: object) -> Scenario:
    made = Scenario(
        score,
        stt=ScriptedStt(score, partials=partials, delay_ms=delay_ms),
        llm=ScriptedLlm([ANSWER, "Very well."]),
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def cough(score: Score, db: float = -20) -> Score:
    return score.cough(db=db)


def mhm(score: Score, db: float = -24) -> Score:
    return score.mhm(db=db)


def babble(score: Score, db: float = -28) -> Score:
    return score.babble(2.0, db=db)


def click(score: Score, db: float = -12) -> Score:
    return score.click(db=db)


def stop(score: Score) -> Score:
    return score.say("please stop now")


def replayed(outcome: Outcome, reply: int = 1) -> Samples:
    """The reply's sound from the track `agent`, its pauses taken out and its fades undone."""
    fade = 15 * OUTPUT_RATE // 1000
    gains = np.arange(fade, 0, -1) / (fade + 1)
    start = next(event.at_sample for event in outcome.all(ReplyPlaying) if event.reply == reply)
    end = next(event.end_sample for event in outcome.all(ReplyEnded) if event.reply == reply)
    assert end is not None
    track = outcome.agent.astype(float)
    pieces, at = [], start
    pauses = [event.at_sample for event in outcome.all(ReplyPaused)]
    resumes = [event.at_sample for event in outcome.all(ReplyResumed)]
    for both in set(pauses) & set(resumes):  # resumed and paused again at once
        pauses.remove(both)
        resumes.remove(both)
    for paused, resumed in zip(pauses, resumes, strict=True):
        pieces += [track[at:paused], track[paused : paused + fade] / gains]
        assert not track[paused + fade : resumed].any()
        pieces.append(track[resumed : resumed + fade] / gains[::-1])
        at = resumed + fade
    return np.concatenate([*pieces, track[at:end]])


# --- false alarms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("db", [-34.0, -26.0, -18.0])
@pytest.mark.parametrize(
    ("noise", "partials"),
    [(cough, True), (cough, False), (mhm, True), (mhm, False), (click, True), (click, False), (babble, True)],
)
def test_false_pauses_neither_end_a_reply_nor_lose_a_sample(
    noise: Callable[..., Score], partials: bool, db: float
) -> None:
    """(Without partial words two seconds of voices are an interruption.)"""
    sound = partial(noise, db=db)
    tts = ScriptedTts()
    outcome = run(scenario(into(sound), partials=partials, tts=tts, vad=Doubting()))
    assert outcome.turns == [("done", "tell me something", ANSWER)]
    judged = outcome.all(BargeInJudged)
    assert {event.verdict for event in judged} <= {"false"}
    assert len(outcome.all(ReplyPaused)) == len(outcome.all(ReplyResumed)) == len(judged)
    expected = tts.sound("This is a rather long answer, ")
    expected = np.concatenate((expected, tts.sound(ANSWER[len("This is a rather long answer, ") :])))
    heard = replayed(outcome)
    assert len(heard) == len(expected)
    error = np.abs(heard - expected)
    assert error.max() <= 361  # rounding, divided by the smallest gain
    assert np.percentile(error, 97) == 0


def test_the_reply_pauses_at_the_frame_of_the_onset() -> None:
    outcome = run(scenario(into(cough)))
    onset = outcome.all(SpeechStarted)[1]
    paused = outcome.one(ReplyPaused)
    assert outcome.at(paused) == outcome.at(onset)
    assert outcome.at(paused) - 3000 <= 60
    fade = 15 * OUTPUT_RATE // 1000
    faded = outcome.agent[paused.at_sample : paused.at_sample + fade]
    assert paused.at_sample / OUTPUT_RATE * 1000 - outcome.at(paused) <= 20, "at most what was handed out"
    assert np.abs(faded[-10:]).max() < np.abs(outcome.agent).max() / 20


def test_pauses_and_resumptions_make_no_click() -> None:
    tts = ScriptedTts()
    steepest = np.abs(np.diff(tts.sound(ANSWER).astype(int))).max()
    loudest = np.abs(tts.sound(ANSWER).astype(int)).max()
    track = run(scenario(into(cough, mhm, cough), tts=tts)).agent.astype(int)
    assert np.abs(np.diff(track)).max() <= steepest + loudest / 360 + 2


@pytest.mark.parametrize(
    ("noise", "reason"),
    [(cough, "no words"), (mhm, "backchannel"), (babble, "no words within 600 ms")],
)
def test_the_verdict_says_which_sign_decided(noise: Noise, reason: str) -> None:
    outcome = run(scenario(into(noise), vad=Doubting()))
    judged = outcome.one(BargeInJudged)
    assert (judged.verdict, judged.reason, judged.reply) == ("false", reason, 1)
    assert judged.after_ms <= 600
    assert {event.reason for event in outcome.all(UtteranceDismissed)} <= {
        "no words",
        "backchannel",
        "too short",
    }


@pytest.mark.parametrize("window", [160, 320, 512, 1024])
@pytest.mark.parametrize("frame_ms", [10, 20, 32])
def test_the_verdict_is_in_time_for_any_window_and_frame(window: int, frame_ms: int) -> None:
    """`run` checks the time of every verdict."""
    outcome = run(
        scenario(
            into(babble), vad=Doubting(window), source=lambda score: ArraySource(score, frame_ms=frame_ms)
        )
    )
    judged = outcome.one(BargeInJudged)
    assert 600 - frame_ms - window / 16 <= judged.after_ms <= 600


def test_without_partials_a_cough_is_too_short() -> None:
    outcome = run(scenario(into(cough), partials=False, speculate=False))
    assert outcome.one(BargeInJudged).reason.startswith("too short")


def test_an_echo_of_ourselves_is_no_interruption_though_it_has_words() -> None:
    asked: list[tuple[int, int]] = []

    def echo_of(start: int, stop: int) -> float:
        asked.append((start, stop))
        return 0.8

    outcome = run(
        scenario(into(lambda score: score.say("so that there is time")), delay_ms=250, echo_of=echo_of)
    )
    judged = outcome.one(BargeInJudged)
    assert (judged.verdict, judged.reason) == ("false", "echo of ourselves (0.80 of the sound)")
    assert outcome.turns == [("done", "tell me something", ANSWER)]
    assert [(it.utterance, it.reason) for it in outcome.all(UtteranceDismissed)] == [(2, "echo")]
    onset = outcome.all(SpeechStarted)[1].at_sample
    assert all(start == onset and stop - start >= 1920 for start, stop in asked)


def test_words_that_the_agent_does_not_say_outweigh_the_echo() -> None:
    outcome = run(scenario(into(stop), delay_ms=250, echo_of=lambda start, stop: 0.8))
    assert [turn[:2] for turn in outcome.turns] == [("cut", "tell me something"), ("done", "please stop now")]


@pytest.mark.parametrize("delay_ms", [700, 900])
def test_speech_that_goes_on_keeps_the_reply_paused_until_its_words_come(delay_ms: int) -> None:
    """The STT is that far behind."""
    score = into(
        lambda score: score.say("would you please stop that now and tell me more", seconds=2.5), at=4.0
    )
    outcome = run(scenario(score, delay_ms=delay_ms, speculate=False))
    waiting, judged = outcome.all(BargeInJudged)
    assert (waiting.verdict, waiting.reason) == ("waiting", "speech goes on, no words yet")
    assert (judged.verdict, judged.reason) == ("interruption", "words")
    assert outcome.all(ReplyResumed) == []
    assert [turn[0] for turn in outcome.turns] == ["cut", "done"]
    assert 0 < outcome.all(TurnEnded)[0].overlap_ms < 150


def test_speech_without_words_keeps_the_reply_paused_only_so_long() -> None:
    score = into(lambda score: score.say("", seconds=7.0), after=12.0)
    outcome = run(scenario(score))
    waiting, judged = outcome.all(BargeInJudged)
    assert waiting.verdict == "waiting"
    assert (judged.verdict, judged.reason) == ("false", "no words within 4000 ms")
    assert outcome.turns == [("done", "tell me something", ANSWER)]


def test_speech_that_resumes_after_a_backchannel_pauses_the_reply_again() -> None:
    def well(score: Score) -> Score:
        return score.mhm().silence(0.25).say("but I wanted tea", seconds=1.2)

    score = into(well)
    outcome = run(scenario(score))
    assert [event.verdict for event in outcome.all(BargeInJudged)] == ["false", "interruption"]
    assert len(outcome.all(ReplyPaused)) == 2


def test_a_reply_prepared_for_our_own_echo_is_discarded() -> None:
    outcome = run(
        scenario(into(lambda score: score.say("so that there is time")), echo_of=lambda start, stop: 0.8)
    )
    assert outcome.turns == [("done", "tell me something", ANSWER)]
    assert {event.utterance for event in outcome.all(ReplyDiscarded)} <= {2}
    assert [(it.utterance, it.reason) for it in outcome.all(UtteranceDismissed)] == [(2, "echo")]


def test_a_correlation_below_the_threshold_is_no_echo() -> None:
    assert run(scenario(into(stop), echo_of=lambda start, stop: 0.59)).turns[0][0] == "cut"


def test_after_a_false_pause_the_next_onset_must_be_surer() -> None:
    class Unsure:
        """60 % sure of any sound."""

        window = 320

        def __call__(self, samples: Samples) -> float:
            return 0.6 * bool(samples.any())

        def reset(self) -> None:
            pass

    close = into(cough, cough, gap=1.0)
    outcome = run(scenario(close, vad=Unsure()))
    assert len(outcome.all(ReplyPaused)) == 1
    apart = into(cough, cough, gap=2.6)
    assert len(run(scenario(apart, vad=Unsure())).all(ReplyPaused)) == 2


def test_two_false_pauses_within_five_seconds_switch_to_half_duplex() -> None:
    outcome = run(scenario(into(cough, cough, stop, gap=2.2)))
    assert [event.verdict for event in outcome.all(BargeInJudged)] == ["false", "false"]
    changed = outcome.one(DuplexChanged)
    assert (changed.mode, changed.reason) == ("half", "2 false pauses within 5 s")
    assert outcome.turns[0] == ("done", "tell me something", ANSWER), "nobody listens while it speaks"
    assert len(outcome.all(ReplyPaused)) == 2


def test_half_duplex_ends_by_itself_when_nothing_comes_back_any_more() -> None:
    answers = [ANSWER * 2, "Very well."]
    outcome = run(scenario(into(cough, cough, gap=2.2, after=14), llm=ScriptedLlm(answers)))
    first, second = outcome.all(DuplexChanged)
    assert (first.mode, second.mode) == ("half", "full")
    assert second.reason == "nothing came back in 5 s of the agent's speech"
    assert 5000 <= outcome.at(second) - outcome.at(first) < 7500


def test_half_duplex_that_the_user_chose_stays() -> None:
    def choose(pipeline: Pipeline) -> None:
        pipeline.settings.bargein.mode = "half"
        pipeline.barge_in.choose_duplex()

    llm = ScriptedLlm([ANSWER * 3])
    outcome = run(scenario(into(cough, cough, gap=2.2, after=20), llm=llm, verbs=[(7.5, choose)]))
    assert [event.mode for event in outcome.all(DuplexChanged)] == ["half"]


def test_false_pauses_further_apart_do_not_switch_to_half_duplex() -> None:
    answer = ANSWER * 2
    outcome = run(scenario(into(cough, cough, gap=5.5), llm=ScriptedLlm([answer])))
    assert [event.verdict for event in outcome.all(BargeInJudged)] == ["false", "false"]
    assert outcome.all(DuplexChanged) == []


def test_in_half_duplex_the_user_is_heard_once_the_agent_and_its_echo_are_gone() -> None:
    settings = EngineSettings()
    settings.bargein.mode = "half"
    score = into(stop, at=3.0, gap=6.0)
    score.say("what now")
    score.silence(3)
    outcome = run(scenario(score, settings=settings))
    assert outcome.all(ReplyPaused) == []
    assert len(outcome.all(SpeechIgnored)) == 1
    assert [turn[:2] for turn in outcome.turns] == [("done", "tell me something"), ("done", "what now")]


def test_a_cough_while_no_reply_plays_is_no_false_pause() -> None:
    """The model thinks for long; nobody was paused."""
    llm = ScriptedLlm([ANSWER], first_token_ms=8000)
    outcome = run(scenario(into(cough, cough, cough, gap=0.8), llm=llm, speculate=False))
    assert outcome.turns == [("done", "tell me something", ANSWER)]
    assert outcome.all(DuplexChanged) == []
    assert outcome.all(ReplyPaused) == []


# --- interruptions ---------------------------------------------------------------------------------------------------


def test_words_interrupt_and_become_the_next_turn() -> None:
    outcome = run(scenario(into(stop)))
    assert [turn[:2] for turn in outcome.turns] == [("cut", "tell me something"), ("done", "please stop now")]
    judged = outcome.one(BargeInJudged)
    assert (judged.verdict, judged.reason) == ("interruption", "words")
    assert judged.after_ms <= 600
    ended = outcome.all(ReplyEnded)[0]
    assert ended.status == "cut"
    assert outcome.all(ReplyResumed) == []
    paused = outcome.one(ReplyPaused)
    assert ended.end_sample == paused.at_sample + 360, "after the pause nothing of it is heard any more"
    second = outcome.all(ReplyPlaying)[1].at_sample
    assert not outcome.agent[paused.at_sample + 360 : second].any()


def test_the_conversation_holds_only_what_was_played() -> None:
    outcome = run(scenario(into(stop)))
    ended = outcome.all(ReplyEnded)[0]
    assert not ended.estimated
    assert f"{ended.heard} {ended.unheard}" == ANSWER
    heard_s = (outcome.one(ReplyPaused).at_sample - outcome.all(ReplyPlaying)[0].at_sample) / OUTPUT_RATE
    assert len(ended.heard) * 0.06 <= heard_s < (len(ended.heard) + 12) * 0.06
    assert outcome.conversation.messages[1] == Message("assistant", ended.heard, cut=True)
    assert outcome.turns[0][2] == ended.heard


def test_without_word_times_the_place_is_estimated_and_flagged() -> None:
    outcome = run(scenario(into(stop), tts=ScriptedTts(words=False)))
    ended, exact = outcome.all(ReplyEnded)[0], run(scenario(into(stop))).all(ReplyEnded)[0]
    assert ended.estimated
    assert abs(len(ended.heard) - len(exact.heard)) < 15


def test_without_partials_length_interrupts() -> None:
    outcome = run(scenario(into(stop), partials=False))
    judged = outcome.one(BargeInJudged)
    assert (judged.verdict, judged.reason) == ("interruption", "speech of 400 ms")
    assert [turn[0] for turn in outcome.turns] == ["cut", "done"]


def test_a_short_word_taken_for_a_cough_interrupts_once_it_is_transcribed() -> None:
    def no(score: Score) -> Score:
        return score.say("no", seconds=0.25)

    outcome = run(scenario(into(no), partials=False, speculate=False))
    assert [(event.verdict, event.reason[:9]) for event in outcome.all(BargeInJudged)] == [
        ("false", "too short"),
        ("interruption", "words, la"),
    ]
    assert [turn[:2] for turn in outcome.turns] == [("cut", "tell me something"), ("done", "no")]


def test_late_words_interrupt_after_a_false_verdict() -> None:
    """The STT is 900 ms behind."""
    outcome = run(
        scenario(
            into(lambda score: score.say("would you please stop that now"), at=4.0),
            delay_ms=900,
            vad=Doubting(),
        )
    )
    first, second = outcome.all(BargeInJudged)
    assert (first.verdict, first.reason) == ("false", "no words within 600 ms")
    assert (second.verdict, second.reason) == ("interruption", "words, late")
    assert len(outcome.all(ReplyResumed)) == 1
    assert [turn[0] for turn in outcome.turns] == ["cut", "done"]


def test_words_that_came_late_are_no_false_pause() -> None:
    """Twice in five seconds, and still full duplex."""

    def no(score: Score) -> Score:
        return score.say("no", seconds=0.25)

    outcome = run(
        scenario(
            into(no, no, gap=2.2), partials=False, speculate=False, llm=ScriptedLlm([ANSWER, ANSWER, "Bye."])
        )
    )
    assert [turn[0] for turn in outcome.turns] == ["cut", "cut", "done"]
    assert outcome.all(DuplexChanged) == []


def test_a_second_interruption_works_like_the_first() -> None:
    outcome = run(scenario(into(stop, stop, gap=2.5), llm=ScriptedLlm([ANSWER, ANSWER, "Very well."])))
    assert [turn[0] for turn in outcome.turns] == ["cut", "cut", "done"]
    assert [event.verdict for event in outcome.all(BargeInJudged)] == ["interruption"] * 2


def test_interrupt_ends_the_reply_at_once() -> None:
    outcome = run(scenario(into(), verbs=[(4.0, lambda pipeline: pipeline.interrupt())]))
    ended = outcome.one(ReplyEnded)
    assert outcome.turns[0][0] == "cut"
    assert outcome.at(ended) == 4000
    assert ended.end_sample is not None
    assert ended.end_sample / OUTPUT_RATE <= 4.0 + 0.02 + 0.015


def test_interrupt_while_the_reply_is_paused_makes_no_sound() -> None:
    """The babble has paused it."""
    outcome = run(scenario(into(babble), verbs=[(3.4, lambda pipeline: pipeline.interrupt())]))
    paused = outcome.one(ReplyPaused)
    assert not outcome.agent[paused.at_sample + 360 :].any()
    assert outcome.all(BargeInJudged) == []
    assert outcome.turns[0][0] == "cut"


def test_interrupt_does_not_cut_what_the_user_is_saying() -> None:
    outcome = run(scenario(into(stop), verbs=[(3.3, lambda pipeline: pipeline.interrupt())]))
    assert [turn[:2] for turn in outcome.turns] == [("cut", "tell me something"), ("done", "please stop now")]


def test_interrupt_while_nothing_is_said_does_nothing() -> None:
    outcome = run(scenario(into(), verbs=[(0.2, lambda pipeline: pipeline.interrupt())]))
    assert outcome.turns == [("done", "tell me something", ANSWER)]


def test_interrupt_ends_a_reply_that_is_still_being_generated() -> None:
    llm = ScriptedLlm([ANSWER], first_token_ms=4000)
    outcome = run(scenario(into(), llm=llm, verbs=[(4.0, lambda pipeline: pipeline.interrupt())]))
    assert outcome.turns == [("cut", "tell me something", "")]
    assert llm.active == 0


# --- at awkward moments ----------------------------------------------------------------------------------------------


def unhurried() -> EngineSettings:
    """Replies begin at the end of the turn."""
    return EngineSettings(reply=ReplySettings(speculate="off"))


@pytest.mark.parametrize("start", [1.95, 2.0, 2.02, 2.05, 2.1, 2.3])
@pytest.mark.parametrize("partials", [True, False])
def test_speech_between_decision_and_first_sound_belongs_to_the_turn(start: float, partials: bool) -> None:
    """The turn is decided at 1.9 s, the first sound would come 500 ms later."""
    llm = ScriptedLlm(["You said: {said}."], first_token_ms=500)
    sound = into(stop, at=start)
    outcome = run(scenario(sound, llm=llm, partials=partials, settings=unhurried()))
    words = "tell me something please stop now"
    assert outcome.turns == [("done", words, f"You said: {words}.")]
    assert outcome.said == [("user", words), ("assistant", f"You said: {words}.")]
    reopened = outcome.one(TurnReopened)
    assert (reopened.turn, reopened.utterance) == (1, 1)
    assert reopened.gap_ms == pytest.approx(start * 1000 - sound.spoken[0].end / 16, abs=60)
    assert len(outcome.all(ReplyPlaying)) == len(outcome.all(ReplyDiscarded)) == 1
    assert len(outcome.all(TurnDecided)) == 2
    assert outcome.all(BargeInJudged) == []


@pytest.mark.parametrize("noise", [cough, mhm, click])
def test_a_noise_before_the_first_sound_keeps_the_reply_back_and_costs_nothing(noise: Noise) -> None:
    llm = ScriptedLlm([ANSWER], first_token_ms=200)
    outcome = run(scenario(into(noise, at=2.0), llm=llm, settings=unhurried()))
    assert [turn[0] for turn in outcome.turns] == ["done"]
    assert outcome.turns[0][2] == ANSWER
    assert not [*outcome.all(ReplyDiscarded), *outcome.all(ReplyPaused), *outcome.all(BargeInJudged)]
    first, again = outcome.all(TurnDecided)
    assert first.turn == again.turn == outcome.one(TurnReopened).turn
    assert 0 <= outcome.at(outcome.one(ReplyPlaying)) - outcome.at(again) <= 20


def test_speech_pauses_a_reply_that_is_only_buffered() -> None:
    """What the agent shall say is made while another reply has the floor; then the user speaks."""
    outcome = run(
        scenario(into(stop, at=4.0), verbs=[(3.0, lambda pipeline: pipeline.say("And another thing."))])
    )
    ends = {event.reply: event for event in outcome.all(ReplyEnded)}
    assert [(ends[reply].status, ends[reply].turn) for reply in (1, 2, 3)] == [
        ("cut", 1),
        ("cut", None),
        ("done", 2),
    ]
    assert (ends[2].heard, ends[2].unheard) == ("", "And another thing.")


def test_a_say_gives_way_to_the_user_who_speaks() -> None:
    score = Score().silence(0.5).say("one two three four five six seven").silence(3)
    outcome = run(scenario(score, verbs=[(1.2, lambda pipeline: pipeline.say("Excuse me."))]))
    assert [event.status for event in outcome.all(ReplyEnded)] == ["cut", "done"]
    assert [turn[:2] for turn in outcome.turns] == [("done", "one two three four five six seven")]
    assert outcome.one(ReplyPlaying).turn == 1


def test_a_say_during_noise_is_spoken() -> None:
    score = Score().silence(0.5).babble(3, db=-26).silence(3)
    say = [(1.2, lambda pipeline: pipeline.say("Excuse me."))]
    outcome = run(scenario(score, vad=Doubting(), verbs=say))
    assert outcome.one(ReplyEnded).heard == "Excuse me."
    assert outcome.at(outcome.one(ReplyPlaying)) <= 1200 + 620


def test_words_that_are_not_transcribed_when_the_user_goes_on_are_kept() -> None:
    """The user pauses too long and goes on; the STT takes a second."""
    score = Score().silence(0.5).say("I want to fly").silence(0.5).say("to Paris on Monday").silence(5)
    llm = ScriptedLlm(["You said: {said}."])
    outcome = run(scenario(score, partials=False, delay_ms=1000, llm=llm, speculate=False))
    assert [turn[:2] for turn in outcome.turns] == [("done", "I want to fly to Paris on Monday")]
    assert [(message.role, message.text) for message in llm.prompts[-1]] == [
        ("user", "I want to fly to Paris on Monday")
    ]


def test_a_cough_whose_transcript_comes_while_it_is_judged_is_dismissed_once() -> None:
    outcome = run(scenario(into(mhm, gap=3), delay_ms=300))
    assert [event.utterance for event in outcome.all(UtteranceDismissed)] == [2]
    assert outcome.turns == [("done", "tell me something", ANSWER)]


class FinalOnly(ScriptedStt):
    """Has partial words, but gives none before the end."""

    def __init__(self, score: Score, answer: str) -> None:
        super().__init__(score, partials=True)
        self._answer = answer

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        while not utterance.over:
            await utterance.changed()
        await asyncio.sleep(0.105)
        text = self._answer if utterance.id > 1 else "tell me something"
        return Transcript(text, utterance.end, final=True, confidence=0.9)


def test_words_that_are_final_before_the_next_frame_are_the_verdict() -> None:
    settings = EngineSettings()
    settings.turn.silence_ms, settings.turn.adapt = 120, False
    score = into(lambda score: score.say("no", seconds=0.2))
    outcome = run(scenario(score, stt=FinalOnly(score, "no"), settings=settings))
    judged = outcome.one(BargeInJudged)
    assert (judged.verdict, judged.reason) == ("interruption", "words")
    assert [turn[:2] for turn in outcome.turns] == [("cut", "tell me something"), ("done", "no")]
    assert outcome.at(outcome.all(TurnDecided)[1]) == outcome.at(judged)


def test_another_noise_before_the_verdict_is_judged_too() -> None:
    settings = EngineSettings()
    settings.turn.silence_ms, settings.turn.adapt = 120, False
    score = into(cough, cough, at=4.0, gap=0.13)
    outcome = run(scenario(score, stt=ScriptedStt(score, partials=True, delay_ms=700), settings=settings))
    first, second = outcome.all(BargeInJudged)
    assert (first.verdict, second.verdict) == ("false", "false")
    assert outcome.at(first) == outcome.at(outcome.all(ReplyPaused)[1])
    assert outcome.turns == [("done", "tell me something", ANSWER)]
    assert len(replayed(outcome)) == len(ANSWER) * 1440


def test_each_verdict_has_its_own_deadline() -> None:
    """A short noise is judged at once, and 300 ms after it set in there is a long one."""
    settings = EngineSettings()
    settings.turn.silence_ms, settings.turn.adapt = 120, False
    score = into(lambda score: score.say("", seconds=0.12).silence(0.2).babble(2, db=-24))
    outcome = run(scenario(score, settings=settings, vad=Doubting()))
    first, second = outcome.all(BargeInJudged)
    assert first.after_ms < 300
    assert 360 < outcome.at(second) - outcome.at(first) < 1000
    assert second.after_ms >= 580


@pytest.mark.parametrize("finally_said", [None, ""])
def test_noises_leave_nothing_in_memory(finally_said: str | None) -> None:
    """Even of one that turns out to have no words between two frames, before there was a verdict."""
    kept: list[Pipeline] = []
    score = into(click, cough, mhm, babble, stop, gap=1.0)
    stt = ScriptedStt(score, partials=True) if finally_said is None else FinalOnly(score, finally_said)
    settings = EngineSettings()
    settings.turn.silence_ms, settings.turn.adapt = 120, False
    llm = ScriptedLlm([ANSWER * 3, "Very well."])
    run(scenario(score, stt=stt, verbs=[(1.0, kept.append)], llm=llm, settings=settings))
    assert kept[0].barge_in._false == {}


def test_a_source_that_stalls_does_not_hold_the_reply() -> None:
    """No frame comes any more after the onset: the verdict comes by the clock."""

    class Stalls(ArraySource):
        async def frames(self) -> AsyncIterator[Frame]:
            async for frame in super().frames():
                if frame.position >= 3.2 * 16_000:
                    await asyncio.sleep(8)
                    return
                yield frame

    outcome = run(scenario(into(babble), source=Stalls))
    judged = outcome.one(BargeInJudged)
    assert (judged.verdict, judged.reason) == ("false", "no words within 600 ms")
    assert outcome.at(judged) - outcome.at(outcome.all(SpeechStarted)[1]) <= 600
    assert outcome.turns == [("done", "tell me something", ANSWER)]
