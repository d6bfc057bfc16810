"""How soon a reply falls silent when the user speaks into it: settings as they are, Silero, in real time.

From the first sample of speech to the first faded sample at the sink; what a device would buffer on top is not in it.
The onsets are known: sentences in the voice on board, cut where they are first above −50 dBFS, at three levels above a
quiet room's noise. Synthetic voices are told apart: a detector needs longer to take them for speech. Ten conversations
run in one loop.
"""

from __future__ import annotations

import asyncio
import math

from bench._figures import Promise, percentile, run, spread, tell
from bench._spoken import INTERRUPTIONS, QUESTIONS, spoken
from bench._talk import Talk, Talked, talked, vad
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.events import ReplyEnded, ReplyPaused, ReplyPlaying
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt
from workbench.simulation.synthesis import ArraySource, Score, Spoken, agent_voice, speech

RECORDED, SYNTHETIC, ONSETS = 8, 2, 5
GAP_S = 2.3
"""Between two sentences: the reply has begun 0.4 s after the one before."""
ANSWER = "This is a long answer, made to be interrupted, and so it goes on and on for quite a while. " * 2
LEVELS_DB = (-20.0, -26.0, -34.0)


def conversation(number: int, sounds: list[Samples]) -> Score:
    """Sentence after sentence, each at another place on the grid of frames and windows."""
    score = Score(seed=number, noise_db=-62)
    score.silence(0.5 + 0.0137 * number)
    for turn in range(ONSETS + 1):
        sound = sounds[(number * 7 + turn) % len(sounds)]
        start = round(score.seconds * INPUT_RATE)
        score.add(sound).silence(GAP_S + 0.0071 * (turn % 5))
        score.spoken.append(Spoken("but tell me this", start, start + len(sound)))
    return score


def latencies(outcome: Talked, score: Score) -> list[float]:
    """First sample of speech → first faded sample at the sink, ms, for each sentence that set in during a reply."""
    played = [(at, event.reply) for at, event in outcome.all(ReplyPlaying)]
    ended = {event.reply: at for at, event in outcome.all(ReplyEnded)}
    paused = [(at, outcome.played_at(event.at_sample)) for at, event in outcome.all(ReplyPaused)]
    found = []
    for sentence in score.spoken:
        onset = outcome.heard_at(sentence.start)
        if any(began < onset < ended[reply] for began, reply in played):
            found.append(min((silent - onset for at, silent in paused if at > onset), default=math.inf))
    return found


async def measure(scores: list[Score]) -> list[list[float]]:
    """The latencies of each conversation."""
    outcomes = await asyncio.gather(
        *(
            talked(
                Talk(
                    lambda trace, score=score: ArraySource(score),  # type: ignore[misc]
                    stt=ScriptedStt(score, partials=True),
                    llm=ScriptedLlm([ANSWER]),
                    vad=vad("silero"),
                )
            )
            for score in scores
        )
    )
    return [latencies(outcome, score) for outcome, score in zip(outcomes, scores, strict=True)]


def main() -> None:
    """Measure and tell."""
    agent_voice(OUTPUT_RATE)
    recorded = asyncio.run(spoken(INTERRUPTIONS + QUESTIONS, *LEVELS_DB))
    synthetic = [speech(0.9, seed=seed, db=LEVELS_DB[seed % 3]) for seed in range(16)]
    sounds = [recorded] * RECORDED + [synthetic] * SYNTHETIC
    found = asyncio.run(measure([conversation(number, some) for number, some in enumerate(sounds)]))
    voice = [ms for one in found[:RECORDED] for ms in one]
    made = [ms for one in found[RECORDED:] for ms in one]
    tell(
        "bargein",
        [
            Promise("speech onset → first faded sample, p50", percentile(voice, 50), 90, "ms"),
            Promise("speech onset → first faded sample, p95", percentile(voice, 95), 160, "ms"),
        ],
        {"levels_dbfs": LEVELS_DB, "noise_dbfs": -62, "device buffer": "none", "vad": "silero"},
        {"recorded_ms": spread(voice), "synthetic_ms": spread(made)},
    )


if __name__ == "__main__":
    run(main)
