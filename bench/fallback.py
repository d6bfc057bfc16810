"""What a fallback adds to a turn: from the failure of one provider to the request to the next one.

Each stage behind its guard on the loop's real clock, with and without hedges; and whole typed turns in a session,
beside the same ones whose first model is well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from bench._figures import Promise, percentile, run, settings, spread, tell
from workbench import hookimpl, open_session
from workbench.engine.guarded import GuardedLlm, GuardedStt, GuardedTts
from workbench.engine.interfaces import Llm, LlmPart, Speech, Stt, Text, Tts
from workbench.engine.settings import EngineSettings
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Message, ToolSpec, Transcript
from workbench.model.errors import StageError
from workbench.model.events import ListeningStarted, Span, TurnEnded
from workbench.plugin.manager import manager
from workbench.plugin.values import Provider
from workbench.trace.trace import Trace

ROUNDS = 300
TURNS = 60


class Model(Llm, Stt, Tts):
    """All stages in one: it fails at once, or answers at once; notes when."""

    partials = False
    rate = 24_000

    def __init__(self, name: str, fails: bool) -> None:
        self.name = name
        self.fails = fails
        self.times: list[float] = []

    def _begin(self) -> None:
        self.times.append(time.perf_counter())
        if self.fails:
            raise StageError("down")

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Transcript:
        """See `Stt`."""
        self._begin()
        return Transcript("hello", utterance.end, final=True)

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()
    ) -> AsyncIterator[AsyncIterator[LlmPart]]:
        """See `Llm`."""
        self._begin()

        async def parts() -> AsyncIterator[LlmPart]:
            yield Text("Done.")

        yield parts()

    @asynccontextmanager
    async def speak(self, text: str) -> AsyncIterator[AsyncIterator[Speech]]:
        """See `Tts`."""
        self._begin()

        async def pieces() -> AsyncIterator[Speech]:
            yield Speech(np.ones(240, np.int16))

        yield pieces()


async def handover(stage: str, hedge_ms: float) -> list[float]:
    """Return the times from a failure to the next provider's request, ms."""
    chosen = EngineSettings.model_validate(
        {"limits": {"hedge_ms": hedge_ms, "breaker_failures": 10 * ROUNDS}}
    )
    chain = {"first": Model("first", fails=True), "second": Model("second", fails=False)}
    trace = Trace(lambda: 0.0)
    stt, llm, tts = (
        GuardedStt(chain, chosen, trace),
        GuardedLlm(chain, chosen, trace),
        GuardedTts(chain, chosen, trace),
    )
    for _ in range(ROUNDS):
        if stage == "stt":
            utterance = Utterance(1, 0)
            utterance.become("ended")
            await stt.transcribe(utterance, eager=False)
        else:
            async with llm.reply([]) if stage == "llm" else tts.speak("Done.") as answer:
                async for _item in answer:
                    pass
    first, second = (model.times for model in chain.values())
    return [(after - before) * 1000 for before, after in zip(first, second, strict=True)][20:]


class Plugin:
    """Brings one model that is down and one that is well."""

    @hookimpl
    def workbench_providers(self) -> list[Provider]:
        """See the hook."""
        return [
            Provider("llm", name, "for this measurement", make, models=("x",), onboard=True)
            for name, make in (
                ("down", lambda options: Model("down", fails=True)),
                ("well", lambda options: Model("well", fails=False)),
            )
        ]


async def first_tokens(llm: str) -> list[float]:
    """Return the time to the first token of typed turns, ms."""
    chosen = settings(
        profile="scripted", llm__provider=llm, tts__provider="none", record__enabled=False,
        audio__source="none", audio__sink="none", limits__breaker_failures=10 * TURNS,
    )  # fmt: skip
    spans: list[float] = []
    async with open_session(chosen) as session:
        async for entry in session.trace.follow():
            match entry.event:
                case Span(part="llm_first_token") as span:
                    spans.append(span.end_ms - span.start_ms)
                case ListeningStarted() | TurnEnded():
                    if len(spans) == TURNS:
                        break
                    session.type("hello")
                case _:
                    pass
    return spans[5:]


def main() -> None:
    """Measure and tell."""
    manager().register(Plugin())
    figures: dict[str, Any] = {}
    promises: list[Promise] = []
    for stage in ("stt", "llm", "tts"):
        for hedge_ms in (0.0, 3000.0):
            times = asyncio.run(handover(stage, hedge_ms))
            how = "with hedges" if hedge_ms else "without hedges"
            figures[f"{stage}, {how}"] = spread(times)
            what = f"{stage}: failure → request to the next provider, {how}, p95"
            promises.append(Promise(what, percentile(times, 95), 5.0, "ms"))
    alone, chained = (asyncio.run(first_tokens(llm)) for llm in ("well", "down,well"))
    figures |= {"first token, alone": spread(alone), "first token, after a failure": spread(chained)}
    added = round(float(np.median(chained) - np.median(alone)), 3)
    promises.append(Promise("what a fallback adds to the first token of a turn, p50", added, 5.0, "ms"))
    tell("fallback", promises, {"rounds": ROUNDS, "turns": TURNS}, figures)


if __name__ == "__main__":
    run(main)
