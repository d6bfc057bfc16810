"""What the engine itself adds to a turn, on the loop's real clock, with providers whose delays are known.

`engine`: providers without delay, no speculation: from the turn's being decided to the first frame of the reply handed
to the sink. `defaults`: LLM 300 ms, TTS 150 ms, an STT that is final with the last word, every setting at its default
(so replies are prepared while endpointing waits): from the last sample of speech to that frame. The end of speech is
known from how the sound was made. A few conversations run in one loop, so that there are many turns in little time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench._figures import Promise, percentile, run, spread, tell
from bench._talk import Talk, Talked, talked
from workbench.engine.settings import EngineSettings, ReplySettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import OUTPUT_RATE
from workbench.model.conversation import Transcript
from workbench.model.events import ReplyPlaying, TurnDecided
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import ArraySource, Score, agent_voice

TURNS, BESIDE = 6, 8
SAYS = "tell me more"
EVERY_S = 2.4
"""Long enough that the user's going on after a reply is not taken for a pause within a turn."""


class FinalWithTheLastWord(ScriptedStt):
    """Its text of an utterance is final in the frame in which the last word ends."""

    def __init__(self, score: Score) -> None:
        super().__init__(score, partials=True)
        self._ends = [spoken.end for spoken in score.spoken]

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """See `workbench.engine.interfaces.Stt`."""
        end = next(end for end in self._ends if end > utterance.start_sample)
        while not utterance.over and utterance.end < end:
            await utterance.changed()
        said = Transcript(SAYS, utterance.end, stable=True, confidence=1.0)
        if not utterance.over:
            utterance.write(said)
        while not utterance.over:
            await utterance.marked()
        return said


def score(number: int) -> Score:
    """Short sentences with time to answer; each conversation begins a little later, off the others' grid."""
    made = Score(seed=number, noise_db=-70).silence(0.5 + 0.137 * number)
    for _ in range(TURNS):
        made.say(SAYS, seconds=0.6).silence(EVERY_S - 0.6)
    return made


def engine(sound: Score) -> Talk:
    """Providers without delay, no speculation."""
    return Talk(
        lambda trace: ArraySource(sound),
        stt=ScriptedStt(sound, partials=True),
        llm=ScriptedLlm(["Sure."]),
        settings=EngineSettings(reply=ReplySettings(speculate="off")),
    )


def defaults(sound: Score) -> Talk:
    """Delays as of providers far away, and the settings that everybody has."""
    return Talk(
        lambda trace: ArraySource(sound),
        stt=FinalWithTheLastWord(sound),
        llm=ScriptedLlm(["Sure."], first_token_ms=300),
        tts=ScriptedTts(first_byte_ms=150),
    )


def from_decision(outcome: Talked) -> list[float]:
    """Turn decided → first frame handed over, ms."""
    decided = {event.turn: at for at, event in outcome.all(TurnDecided)}
    return [at - decided[event.turn] for at, event in outcome.all(ReplyPlaying) if event.turn is not None]


def from_speech(outcome: Talked, sound: Score) -> list[float]:
    """Last sample of speech → first frame handed over, ms."""
    ends = [outcome.heard_at(spoken.end) for spoken in sound.spoken]
    return [at - max(end for end in ends if end < at) for at, _ in outcome.all(ReplyPlaying)]


async def measure(make: Callable[[Score], Talk]) -> tuple[list[float], list[float]]:
    """Both latencies of all turns of the conversations, which run side by side."""
    scores = [score(number) for number in range(BESIDE)]
    outcomes = await asyncio.gather(*(talked(make(sound)) for sound in scores))
    decision = [ms for outcome in outcomes for ms in from_decision(outcome)]
    speech = [
        ms for outcome, sound in zip(outcomes, scores, strict=True) for ms in from_speech(outcome, sound)
    ]
    return decision, speech


async def both() -> tuple[list[float], list[float]]:
    """At the same time: a conversation costs a hundredth of a core."""
    (decision, _), (_, speech) = await asyncio.gather(measure(engine), measure(defaults))
    return decision, speech


def main() -> None:
    """Measure and tell."""
    agent_voice(OUTPUT_RATE)  # 60 ms, once: the work of a script and not of the engine
    decision, speech = asyncio.run(both())
    tell(
        "latency",
        [
            Promise("turn decided → first reply frame, p50", percentile(decision, 50), 2, "ms"),
            Promise("turn decided → first reply frame, p95", percentile(decision, 95), 4, "ms"),
            Promise(
                "LLM 300 + TTS 150: last speech → first reply frame, p50", percentile(speech, 50), 470, "ms"
            ),
            Promise(
                "LLM 300 + TTS 150: last speech → first reply frame, p95", percentile(speech, 95), 520, "ms"
            ),
        ],
        {"conversations": BESIDE, "turns in each": TURNS, "source": "array, real time", "vad": "energy"},
        {"from_decision_ms": spread(decision), "from_speech_ms": spread(speech)},
    )


if __name__ == "__main__":
    run(main)
