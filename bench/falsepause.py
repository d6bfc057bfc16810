"""What is no interruption: coughs, "mhm"s and babble into a reply, at three levels, with and without echo.

One long reply plays while such a sound comes every seven seconds; Silero and the Whisper on board listen, every setting
at its default, under the virtual clock (while a model works, its time is real). `cancelled`: the reply comes back into
the microphone, 60 ms later and 20 dB lower, and a session's echo canceller takes it out, beginning with the first word
that it hears. `raw`: nothing takes it out.

No reply may end; a false pause lasts 600 ms at most; the reply then goes on from the very sample: the track `agent`
without its pauses is the reply, sample by sample, apart from the fades. `heeded` is the other side of it: sentences
that are an interruption, and how many were taken for one.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bench._figures import Promise, run, settings, spread, tell
from bench._spoken import INTERRUPTIONS, spoken
from bench._talk import Talk, Talked, talked, vad
from workbench.engine.interfaces import Pull, Source, Stt
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples
from workbench.model.clock import outside
from workbench.model.events import (
    BargeInJudged,
    DuplexChanged,
    ReplyEnded,
    ReplyPaused,
    ReplyPlaying,
    ReplyResumed,
    ReplyText,
)
from workbench.plugin.manager import find_provider
from workbench.simulation.clock import run_virtual
from workbench.simulation.scripted import ScriptedTts
from workbench.simulation.synthesis import ArraySource, Score, agent_voice
from workbench.trace.trace import Trace
from workbench.transports.clockfit import TrackClock
from workbench.transports.local.echo_canceller import EchoCanceller
from workbench.transports.paced import PacedSink

SENTENCE = (
    "I will tell you everything that I know about it, and that is a good deal more than you would think. "
)
EVENTS, FIRST_S, EVERY_S = 2, 6.5, 7.0
ECHO_DB, ECHO_S = -20.0, 0.06
FADE = round(0.015 * OUTPUT_RATE)

Echo = Literal["", "cancelled", "raw"]
Sound = Callable[[Score, float, float], Score]
"""Adds a sound at a time (s) and a level (dBFS) to a score."""
SOUNDS: dict[str, tuple[Sound, tuple[float, float, float]]] = {
    "cough": (lambda score, at, db: score.cough(at=at, db=db), (-30, -22, -14)),
    "mhm": (lambda score, at, db: score.mhm(at=at, db=db), (-34, -26, -18)),
    "babble": (lambda score, at, db: score.babble(1.5, at=at, db=db), (-44, -36, -28)),
}


@dataclass
class Case:
    """One reply with its disturbances."""

    sound: str
    db: float
    echo: Echo


class Room(ArraySource):
    """A source into which the speaker's sound comes back; with the canceller of a session, unless `raw`."""

    def __init__(self, sound: Score, trace: Trace, speaker: Loudspeaker, *, raw: bool) -> None:
        super().__init__(sound)
        self._trace = trace
        self._clock = TrackClock(INPUT_RATE)
        self.canceller: EchoCanceller | None = None
        if not raw:
            self.canceller = EchoCanceller(trace, self._clock, speaker.clock, noise=False, gain=False)
            speaker.played = self.canceller.played

    async def frames(self) -> AsyncIterator[Frame]:
        """What is said and what the speaker plays, cleaned."""
        self._clock.restart(0, asyncio.get_running_loop().time())
        async for frame in super().frames():
            heard = frame.samples + self._echo(frame.position, len(frame.samples))
            mixed = Frame(np.clip(heard, -32768, 32767).astype(np.int16), frame.rate, frame.position)
            cleaned = self.canceller.clean(mixed) if self.canceller else mixed
            if cleaned is not None:
                yield cleaned

    def _echo(self, position: int, count: int) -> Samples:
        """24 kHz to 16 kHz by a straight line between samples: the voice ends at 4 kHz."""
        at = (position + np.arange(count)) * (OUTPUT_RATE / INPUT_RATE) - ECHO_S * OUTPUT_RATE
        first = int(np.floor(at[0]))
        known = self._trace.tracks["agent"].read(first, first + round(count * 1.5) + 2)
        echo = np.interp(at - first, np.arange(len(known)), known) * 10 ** (ECHO_DB / 20)
        return np.asarray(echo, dtype=np.int16)


class Loudspeaker(PacedSink):
    """A sink that tells the canceller what it plays."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace)
        self.clock = TrackClock(OUTPUT_RATE)
        self.played: Callable[[Samples, int], None] = lambda samples, position: None
        self._told = 0

    async def play(self, pull: Pull) -> None:
        """Pull until cancelled."""
        self.clock.restart(0, asyncio.get_running_loop().time())
        await super().play(pull)

    def heard(self, samples: Samples) -> None:
        """Samples were played."""
        self.played(samples, self._told)
        self._told += len(samples)


def score(case: Case) -> Score:
    """A quiet room, and the sound every seven seconds."""
    add, _ = SOUNDS[case.sound]
    made = Score(seed=7, noise_db=-66)
    for number in range(EVENTS):
        add(made, FIRST_S + number * (EVERY_S + 0.013), case.db)
    return made.silence(2.5)


@dataclass
class Found:
    """What one case showed."""

    ended: bool
    pauses_ms: list[float]
    exact: bool
    judged: list[str]
    half_duplex: bool


async def reply_into(sound: Score, echo: Echo, stt: Stt) -> Talked:
    """What happens to a reply that is longer than the sound."""
    speakers: list[Loudspeaker] = []

    def source(trace: Trace) -> Source:
        speakers.append(Loudspeaker(trace))
        return Room(sound, trace, speakers[0], raw=echo == "raw") if echo else ArraySource(sound)

    return await talked(
        Talk(
            source,
            sink=lambda trace: speakers[0],
            stt=stt,
            vad=vad("silero"),
            greeting=SENTENCE * int((sound.seconds + 2) / (len(SENTENCE) * 0.06)),
            keep_s=60,
            cancels=echo == "cancelled",
        )
    )


async def disturb(case: Case, stt: Stt) -> Found:
    """Play the reply through all the disturbances."""
    outcome = await reply_into(score(case), case.echo, stt)
    return Found(
        [event.status for _, event in outcome.all(ReplyEnded)] != ["done"],
        [ms for _, ms in pauses(outcome)],
        exact(outcome),
        [event.reason for _, event in outcome.all(BargeInJudged)],
        bool(outcome.all(DuplexChanged)),
    )


async def interrupt(sound: Samples, stt: Stt) -> float | None:
    """How long after its onset a sentence was taken for an interruption, ms; None if it never was."""
    made = Score(seed=7, noise_db=-66).silence(2)
    outcome = await reply_into(made.add(sound).silence(2), "", stt)
    judged = [event for _, event in outcome.all(BargeInJudged) if event.verdict == "interruption"]
    return judged[0].after_ms if judged else None


def pauses(outcome: Talked) -> list[tuple[tuple[int, int], float]]:
    """Each false pause as positions on `agent`, from the first faded sample to the one that goes on; and its ms."""
    starts = [event.at_sample for _, event in outcome.all(ReplyPaused)]
    stops = [event.at_sample for _, event in outcome.all(ReplyResumed)]
    return [((a, b), round((b - a) * 1000 / OUTPUT_RATE, 1)) for a, b in zip(starts, stops, strict=False)]


def exact(outcome: Talked) -> bool:
    """Whether what was played, without the pauses, is what was made, sample by sample, fades apart."""
    tts = ScriptedTts()
    made = np.concatenate([tts.sound(event.spoken) for _, event in outcome.all(ReplyText)])
    agent = outcome.trace.tracks["agent"]
    played = agent.read(0, agent.end)
    at = outcome.all(ReplyPlaying)[0][1].at_sample
    pieces, faded, count = [], [], 0
    for (start, stop), _ in pauses(outcome):
        pieces.append(played[at : start + FADE])
        count += len(pieces[-1])
        faded.append(slice(count - FADE, count + FADE))
        at = stop
    pieces.append(played[at:])
    heard = np.concatenate(pieces)[: len(made)]
    quiet = np.abs(heard) <= np.abs(made[: len(heard)])
    same = heard == made[: len(heard)]
    for part in faded:
        same[part] = quiet[part]
    return len(heard) == len(made) and bool(same.all())


def whisper() -> Stt:
    """The one on board."""
    provider, model = find_provider("stt", "whisper")
    made: Stt = provider.make(settings().options("stt", model, "en"))
    return made


async def all_cases() -> tuple[dict[str, Found], list[float | None]]:
    """Every sound at every level, with and without echo; and what should be heeded."""
    found = {}
    with outside():
        sentences = await spoken(INTERRUPTIONS)
    async with whisper() as stt:
        await stt.warm()
        for sound, (_, levels) in SOUNDS.items():
            for db in levels:
                for echo in get_args(Echo):
                    name = f"{sound} {db:.0f} dBFS{echo and f', echo {echo}'}"
                    found[name] = await disturb(Case(sound, db, echo), stt)
        return found, [await interrupt(sentence, stt) for sentence in sentences]


def main() -> None:
    """Measure and tell."""
    agent_voice(OUTPUT_RATE)
    found, heeded = run_virtual(all_cases())
    paused = [ms for one in found.values() for ms in one.pauses_ms]
    tell(
        "falsepause",
        [
            Promise(
                "replies ended by what is no interruption", sum(one.ended for one in found.values()), 0, ""
            ),
            Promise("longest false pause", max(paused), 600, "ms"),
            Promise(
                "replies with a sample lost or repeated", sum(not one.exact for one in found.values()), 0, ""
            ),
        ],
        {
            "disturbances": len(found) * EVENTS,
            "stt": "whisper/tiny.en",
            "vad": "silero",
            "clock": "virtual, real while a model works",
            "echo": f"{ECHO_DB:.0f} dB, {ECHO_S * 1000:.0f} ms late",
        },
        {
            "false_pauses_ms": spread(paused, 0),
            "cases": {
                name: f"{len(one.pauses_ms)} pauses{', then half duplex' if one.half_duplex else ''}"
                for name, one in found.items()
            },
            "verdicts": Counter(
                re.sub(r" \(.*", "", reason) for one in found.values() for reason in one.judged
            ),
            "heeded": f"{sum(ms is not None for ms in heeded)} of {len(heeded)}",
            "heeded_after_ms": spread([ms for ms in heeded if ms is not None], 0),
        },
    )


if __name__ == "__main__":
    run(main)
