"""A user's score held against the engine under the virtual clock, and who talked over whom in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench._talk import Talk, Talked, talked, vad
from bench._talkover import ONE_SOUND_MS, Conversation, Span, joined, sounds
from workbench.engine.interfaces import TurnDetector
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.events import BargeInJudged, ReplyPaused, ReplyResumed
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt, ScriptedTts
from workbench.simulation.synthesis import ArraySource, Score

ANSWER = "I see, thank you. Let me have a look at that for you now."
KEEP_S = 400.0


@dataclass(frozen=True)
class Delays:
    """How long models take, ms: from a word to its text (0: final with the last word), first token, first byte."""

    stt: float = 0.0
    llm: float = 0.0
    tts: float = 0.0


FAR_AWAY, AT_ONCE = Delays(llm=300, tts=150), Delays()
LOADED = Delays(stt=1200, llm=300, tts=150)
"""Words as late as from a model on board beside two busy processes."""


async def dialogue(
    score: Score, turns: Sequence[tuple[int, int]], delays: Delays, name: str, turn: TurnDetector
) -> tuple[Conversation, Talked]:
    """Hold a session with everything else at its default; `turns` are the user's, samples."""
    outcome = await talked(
        Talk(
            lambda trace: ArraySource(score),
            stt=ScriptedStt(score, partials=True, delay_ms=delays.stt),
            llm=ScriptedLlm([ANSWER], first_token_ms=delays.llm),
            tts=ScriptedTts(first_byte_ms=delays.tts),
            vad=vad("silero"),
            turn=turn,
            keep_s=KEEP_S,
        )
    )
    agent = outcome.trace.tracks["agent"]
    began_ms = outcome.heard_at(0)
    voiced = [(began_ms + start, began_ms + stop) for start, stop in voiced_spans_ms(score)]
    audible = sounds(agent.read(0, agent.end), OUTPUT_RATE, outcome.played_at(0))
    spans = [(outcome.heard_at(onset), outcome.heard_at(end)) for onset, end in turns]
    return Conversation(spans, voiced, audible, name), outcome


def voiced_spans_ms(score: Score) -> list[Span]:
    """Return when the user of a score is audible, without its noise, ms from its start."""
    sound, per_ms = score.samples(), INPUT_RATE / 1000
    spans = [
        (phrase.start / per_ms + start, phrase.start / per_ms + stop)
        for phrase in score.spoken
        for start, stop in sounds(sound[phrase.start : phrase.end], INPUT_RATE)
    ]
    return joined(sorted(spans), ONE_SOUND_MS)


def false_pauses(outcomes: Sequence[Talked]) -> dict[str, object]:
    """Return how often a reply paused for what was no interruption, for how long at most, and why it went on."""
    reasons: Counter[str] = Counter()
    lengths = []
    for outcome in outcomes:
        reasons.update(event.reason for _, event in outcome.all(BargeInJudged) if event.verdict == "false")
        starts = [event.at_sample for _, event in outcome.all(ReplyPaused)]
        stops = [event.at_sample for _, event in outcome.all(ReplyResumed)]
        lengths += [(stop - start) * 1000 / OUTPUT_RATE for start, stop in zip(starts, stops, strict=False)]
    return {"count": reasons.total(), "reasons": reasons, "longest_ms": round(max(lengths, default=0.0))}
