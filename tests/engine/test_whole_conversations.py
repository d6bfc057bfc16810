"""Whole conversations under the virtual clock: whatever the timing, words reach the model once and in order, and no
reply begins in the user's speech."""

from __future__ import annotations

from itertools import islice
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support.scenario import Outcome, Scenario, Verb, run
from workbench.engine.settings import EngineSettings, ReplySettings, TurnSettings
from workbench.model.events import ReplyPlaying, ReplyResumed, TurnDecided, TurnEnded, TurnReopened
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import Score

WORDS = """
about above across after again along among apple autumn bakery basket before behind below beside better between
beyond bridge bright bucket butter cabin candle carpet castle cherry circle coffee copper corner cotton cousin
dinner doctor dragon during eleven engine evening family farmer father finger flower forest fourth garden gentle
ginger golden guitar hammer harbor hidden honest island jacket jungle kettle kitten ladder lemon letter listen
little marble market meadow mellow middle mirror monday mother motion narrow needle nephew number office orange
""".split()  # noqa: SIM905
SPEAKING_MS = 200
"""After so much of it the user speaks, beyond what a VAD needs to find it."""
ANSWERS = (
    "Fine.",
    "Let me think about it for a moment, and then tell you all that there is to say about it.",
)


def conversation(chance: Random) -> tuple[Scenario, list[tuple[float, str]]]:
    """A user who speaks and types, with pauses of any length; models as slow as they may be."""
    words, score = iter(WORDS), Score(seed=chance.randrange(100), noise_db=chance.choice((None, -65.0)))
    score.silence(0.5)
    said: list[tuple[float, str]] = []
    for _ in range(chance.randint(2, 6)):
        text = " ".join(islice(words, chance.randint(1, 5)))
        said.append((score.seconds, text))
        score.say(text).silence(chance.choice((0.25, 0.4, 0.6, 0.9, 1.4, 2.5, chance.uniform(0.2, 3.0))))
    verbs: list[tuple[float, Verb]] = []
    if chance.random() < 0.3:
        at, text = chance.uniform(1.0, score.seconds), next(words)
        said.append((at, text))
        verbs.append((at, lambda pipeline: pipeline.type(text)))
    score.silence(9.0)
    delays = (0.0, 40.0, 150.0, 450.0, 900.0)
    scenario = Scenario(
        score,
        stt=ScriptedStt(score, delay_ms=chance.choice(delays), partials=chance.random() < 0.7),
        llm=ScriptedLlm([chance.choice(ANSWERS)], first_token_ms=chance.choice(delays)),
        tts=ScriptedTts(first_byte_ms=chance.choice(delays), leading_silence_ms=chance.choice((0, 40, 300))),
        settings=EngineSettings(
            reply=ReplySettings(speculate=chance.choice(("auto", "on", "off"))),
            turn=TurnSettings(max_utterance_s=chance.choice((8.0, 60.0))),
        ),
        speculate=chance.random() < 0.5,
        verbs=verbs,
    )
    return scenario, said


@given(st.integers(0, 1_000_000))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_words_reach_the_model_once_and_in_order_and_no_reply_begins_into_speech(seed: int) -> None:
    scenario, said = conversation(Random(seed))
    outcome = run(scenario)
    spoken = [text for _, text in said if any(note.text == text for note in scenario.score.spoken)]
    heard = " ".join(message.text for message in outcome.conversation.messages if message.role == "user")
    assert [word for word in heard.split() if word in " ".join(spoken)] == " ".join(spoken).split()
    assert sorted(heard.split()) == sorted(" ".join(text for _, text in said).split()), "typed ones too"
    assert isinstance(scenario.llm, ScriptedLlm)
    last = " ".join(message.text for message in scenario.llm.prompts[-1] if message.role == "user")
    assert sorted(last.split()) == sorted(heard.split())
    no_reply_begins_in_speech(outcome, scenario.score)
    turns_are_reopened_before_their_reply_is_heard(outcome)


def no_reply_begins_in_speech(outcome: Outcome, score: Score) -> None:
    begun = [event.at_sample for event in outcome.all(ReplyPlaying)]
    begun += [event.at_sample for event in outcome.all(ReplyResumed)]
    for at_ms in (at / 24 for at in begun):
        for note in score.spoken:
            assert not note.start / 16 + SPEAKING_MS < at_ms < note.end / 16, (at_ms, note)


def turns_are_reopened_before_their_reply_is_heard(outcome: Outcome) -> None:
    playing = {event.turn: outcome.at(event) for event in outcome.all(ReplyPlaying)}
    for event in outcome.all(TurnReopened):
        assert outcome.at(event) <= playing.get(event.turn, float("inf"))
    decided = {event.turn for event in outcome.all(TurnDecided)}
    assert {event.turn for event in outcome.all(TurnEnded)} == decided
