"""Conversations at random by seed: what is said, typed, interrupted, changed and broken when."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random

from tests.engine.support.scenario import Scenario, Verb
from workbench.engine.settings import EngineSettings
from workbench.model.conversation import ToolCall
from workbench.model.errors import BusyError, StageError
from workbench.simulation.scripted import (
    Answer,
    EndsEarly,
    Fault,
    Garbage,
    Hangs,
    Raises,
    ScriptedLlm,
    ScriptedStt,
    ScriptedTts,
    Slow,
)
from workbench.simulation.synthesis import Score
from workbench.tools.tool import Tool, tool

SAYINGS = ("stop", "how are you today", "no", "what is the weather like in Berlin", "yes", "hello there")
ANSWERS = (
    "Fine, thank you.",
    "Let me think about it for a moment. There is a lot to say about this, and I will say all of it.",
    "Yes.",
)


def tools(seconds: float) -> tuple[Tool, ...]:
    """`clock` takes its time, `broken` raises."""

    async def clock() -> str:
        await asyncio.sleep(seconds)
        return "ten o'clock"

    async def broken() -> str:
        await asyncio.sleep(seconds)
        raise ValueError("this tool is broken")

    return tool(clock), tool(broken)


def random_scenario(seed: int) -> Scenario:
    """A conversation of about half a minute."""
    chance = Random(seed)
    score = _score(chance)
    settings = EngineSettings()
    settings.limits.stt_ms = settings.limits.llm_first_token_ms = settings.limits.tts_first_byte_ms = 1500
    settings.limits.llm_gap_ms = settings.limits.tts_gap_ms = 1200
    settings.limits.tool_ms = 2000
    settings.limits.breaker_ms = 4000
    settings.reply.history = chance.choice((0, 1, 4, 40))
    settings.reply.buffer_s = chance.choice((0.3, 2.0))
    settings.reply.spare_tokens = chance.choice((0, 100, 20_000, 20_000))
    delays = (0.0, 20.0, 150.0, 700.0)
    answers: list[Answer] = [
        *ANSWERS,
        ["One moment. ", ToolCall("a", "clock", "{}"), ToolCall("b", "clock", "{}")],
    ]
    if chance.random() < 0.3:
        answers.append([ToolCall("c", "clock", "{}"), ToolCall("d", "broken", "{}")])
    return Scenario(
        score,
        stt=ScriptedStt(
            score,
            delay_ms=chance.choice(delays),
            partials=chance.random() < 0.6,
            faults=_faults(chance),
        ),
        llm=ScriptedLlm(
            answers,
            first_token_ms=chance.choice(delays),
            token_ms=chance.choice((0, 50)),
            faults=_faults(chance),
        ),
        tts=None
        if chance.random() < 0.1
        else ScriptedTts(
            first_byte_ms=chance.choice(delays),
            rate=chance.choice((24_000, 22_050)),
            realtime_factor=chance.choice((0.0, 0.3, 1.5)),
            words=chance.random() < 0.5,
            faults=_faults(chance),
        ),
        tools=tools(chance.choice((0.0, 0.4, 3.0))),
        settings=settings,
        echo_of=(lambda start, stop: chance.random()) if chance.random() < 0.2 else None,
        speculate=chance.random() < 0.7,
        greeting="Hello, what can I do for you today?" if chance.random() < 0.5 else None,
        on_silence="Are you still there?" if chance.random() < 0.3 else None,
        verbs=_verbs(chance, score.seconds),
    )


def _score(chance: Random) -> Score:
    score = Score(seed=chance.randrange(1000), noise_db=chance.choice((None, -65.0)))
    while score.seconds < 25:
        score.silence(chance.choice((0.1, 0.3, 0.5, 0.9, 2.0, 4.0)))
        match chance.randrange(8):
            case 0:
                score.cough()
            case 1:
                score.mhm()
            case 2:
                score.babble(chance.uniform(0.2, 1.5))
            case 3:
                score.click()
            case _:
                score.say(chance.choice(SAYINGS))
    return score.silence(chance.choice((0.0, 0.2, 3.0)))


def _faults(chance: Random) -> dict[int, Fault]:
    kinds: list[Fault] = [
        Raises(),
        Raises(RuntimeError("out of order")),
        Raises(after=1),
        Raises(BusyError("come back later", retry_after=chance.choice((0.2, 3.0, 60.0)))),
        Raises(StageError("not now")),
        Hangs(),
        Hangs(after=1),
        Slow(900),
        EndsEarly(),
        Garbage(),
    ]
    rate = chance.choice((0.0, 0.0, 0.1, 0.5))
    return {call: chance.choice(kinds) for call in range(1, 60) if chance.random() < rate}


def _verbs(chance: Random, seconds: float) -> list[tuple[float, Verb]]:
    texts: list[Verb] = [
        lambda pipeline: pipeline.type("And what about tomorrow?"),
        lambda pipeline: pipeline.say("By the way, it is late."),
        lambda pipeline: pipeline.interrupt(),
        partial(_mute, on=True),
        partial(_mute, on=False),
        partial(_set, mode="half"),
        partial(_set, mode="full"),
    ]
    count = chance.choice((0, 0, 3, 10))
    return [(chance.uniform(0, seconds), chance.choice(texts)) for _ in range(count)]


def _mute(pipeline: object, *, on: bool) -> None:
    pipeline.muted = on  # type: ignore[attr-defined]


def _set(pipeline: object, *, mode: str) -> None:
    pipeline.settings.bargein.mode = mode  # type: ignore[attr-defined]
