"""What a bad network does to words and latency: the same questions over networks of different badness, both ways.

Words: speech in the voice on board, understood by Silero and Whisper, against the text that was spoken; a few sentences
over a few seeds, so a word more or less is chance. Latency: scripted providers on the virtual clock, where nothing but
the network takes time; models that run beside other work would drown it. The network is `workbench.simulation.network`.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import numpy as np

from bench._figures import Promise, run, settings, spread, tell
from bench._spoken import QUESTIONS, spoken
from bench._talk import Talk, Talked, talked, vad
from workbench.model.audio import INPUT_RATE, silence
from workbench.model.events import Heard, TurnEnded
from workbench.plugin.manager import find_provider
from workbench.simulation.clock import run_virtual
from workbench.simulation.network import Line, Trouble, TroubledSink, TroubledSource
from workbench.simulation.scripted import ScriptedStt
from workbench.simulation.synthesis import ArraySource, Score
from workbench.transports.paced import PacedSink

NETWORKS = {
    "none": Trouble(buffer_ms=0),
    "good": Trouble(delay_ms=20, jitter_ms=5, buffer_ms=20),
    "mobile": Trouble(delay_ms=60, jitter_ms=20, loss=0.02, reorder=0.02, buffer_ms=60),
    "bad": Trouble(delay_ms=150, jitter_ms=40, loss=0.1, reorder=0.05, buffer_ms=60),
    "awful": Trouble(delay_ms=150, jitter_ms=40, loss=0.4, reorder=0.05, buffer_ms=60),
}
SEEDS = (1, 2)


def understood(trouble: Trouble, sound: Any) -> Talked:
    """The conversation over that network, with models."""

    async def main() -> Talked:
        provider, model = find_provider("stt", "whisper/tiny.en")
        stt = provider.make(settings().options("stt", model, "en"))
        async with stt:
            await stt.warm()
            return await talked(
                Talk(
                    lambda trace: TroubledSource(ArraySource(sound), trouble),
                    sink=lambda trace: TroubledSink(PacedSink(trace), trouble),
                    stt=stt,
                    vad=vad("silero"),
                )
            )

    return run_virtual(main())


def latencies(trouble: Trouble) -> list[float]:
    """Heard latency of each turn where only the network takes time, ms."""
    score = Score(noise_db=-70)
    for _ in range(12):
        score.silence(1).say("tell me more").silence(3)
    talk = Talk(
        lambda trace: TroubledSource(ArraySource(score), trouble),
        sink=lambda trace: TroubledSink(PacedSink(trace), trouble),
        stt=ScriptedStt(score, partials=True),
    )
    heard = [event for _, event in run_virtual(talked(talk)).all(Heard)]
    return [one.agent_start_ms - one.user_end_ms for one in heard if one.agent_start_ms and one.user_end_ms]


def wrong_words(found: list[str]) -> float:
    """The share of the spoken words that would have to be changed, put in or left out."""
    one, other = (re.sub(r"[^\w' ]", "", " ".join(texts).lower()).split() for texts in (found, QUESTIONS))
    row = list(range(len(other) + 1))
    for i, word in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, meant in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != meant))
    return row[-1] / max(1, len(other))


def main() -> None:
    """Measure and tell."""
    questions = asyncio.run(spoken(QUESTIONS))
    pause = silence(4 * INPUT_RATE)
    sound = np.concatenate([part for one in questions for part in (pause[:INPUT_RATE], one, pause)])
    report: dict[str, Any] = {}
    for name, trouble in NETWORKS.items():
        rates, missing = [], []
        for seed in SEEDS:
            found = understood(replace(trouble, seed=seed), sound)
            rates.append(wrong_words([event.user_text for _, event in found.all(TurnEnded)]))
            line = Line(replace(trouble, seed=seed))
            missing.append(np.mean([not line.arrives() for _ in range(2000)]))
        report[name] = {
            "missing_packets": round(float(np.mean(missing)), 3),
            "wrong_words": round(float(np.mean(rates)), 3),
            "heard_latency_ms": spread(latencies(trouble)),
        }
    tell(
        "network",
        [Promise("wrong words over a mobile network", report["mobile"]["wrong_words"] * 100, 10, "%")],
        {
            "questions": len(QUESTIONS),
            "seeds": SEEDS,
            "networks": {name: str(trouble) for name, trouble in NETWORKS.items()},
        },
        report,
    )


if __name__ == "__main__":
    run(main)
