"""Every rule of `check_stt` can be broken: a provider for each that breaks it, and is caught."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
import pytest

from tests.testing.contract.sabotage import (
    Outside,
    a_socket,
    blocking,
    caught,
    deaf_to_cancellation,
    nothing,
    now,
    swallowing,
    with_member,
)
from workbench.engine import interfaces
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Transcript
from workbench.model.errors import StageError
from workbench.simulation.scripted import Raises, ScriptedStt
from workbench.simulation.synthesis import speech
from workbench.testing import Rule, check_stt

Heard = Callable[[Utterance], Transcript]


def final_of(utterance: Utterance, text: str = "hello", **more: Any) -> Transcript:
    return Transcript(text, more.pop("upto", utterance.end), final=more.pop("final", True), **more)


class Stt(interfaces.Stt):
    """A good one without partials, but for what is asked of it."""

    name = "broken"
    partials = False

    def __init__(
        self,
        final: Callable[[Utterance], object] = final_of,
        *,
        writes: Heard = lambda utterance: final_of(utterance, final=False),
        eager: bool = True,
        heeds: tuple[str, ...] = ("ended", "dismissed"),
        while_speaking: bool = False,
        before: Callable[[], Any] = nothing,
    ) -> None:
        self.final, self.writes, self.eager, self.heeds = final, writes, eager, heeds
        self.while_speaking, self.before = while_speaking, before

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def warm(self) -> None:
        pass

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Any:
        written = False
        while utterance.state not in self.heeds:
            pause = utterance.state == "paused" and eager and self.eager
            if not written and (pause or (self.while_speaking and utterance.end > utterance.start_sample)):
                await self.before()
                written = True
                utterance.write(self.writes(utterance))
            else:
                await utterance.changed()
        await self.before()
        return self.final(utterance) if np.any(utterance.audio()) else final_of(utterance, "")


class Tired(Stt):
    """Repeats what it heard before where it hears nothing."""

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Any:
        await super().transcribe(utterance, eager=eager)
        return final_of(utterance)


class OneEar(Stt):
    """Fails where two are heard at once."""

    hearing = False

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Any:
        if self.hearing:
            raise StageError("busy", "wait")
        self.hearing = True
        try:
            return await super().transcribe(utterance, eager=eager)
        finally:
            self.hearing = False


class Short(Stt):
    """Cannot hear what is very short."""

    async def transcribe(self, utterance: Utterance, *, eager: bool) -> Any:
        final = await super().transcribe(utterance, eager=eager)
        if utterance.state == "ended":
            _ = utterance.audio()[0]
        return final


SOUND = speech(0.25)
stt = partial(check_stt, deadline_s=1, sound=SOUND)
STT: list[tuple[Rule, str, Callable[[], object]]] = [
    (Rule.SHAPE, "`partials` must be", lambda: with_member(Stt(), "partials", "no")),
    (Rule.ANSWERS, "no word in the recording", lambda: Stt(partial(final_of, text=""), writes=quiet)),
    (Rule.ANSWERS, "not done after", lambda: Stt(eager=False)),
    (Rule.FORMAT, "not a Transcript", lambda: Stt(lambda _: "hello")),
    (Rule.FORMAT, "must be `final`", lambda: Stt(partial(final_of, final=False))),
    (Rule.FORMAT, "a confidence", lambda: Stt(partial(final_of, confidence=95.0))),
    (Rule.FORMAT, "a confidence", lambda: Stt(partial(final_of, confidence=float("nan")))),
    (Rule.FORMAT, "upto_sample", lambda: Stt(partial(final_of, upto=4000))),
    (Rule.FORMAT, "take in all speech", lambda: Stt(lambda u: final_of(u, upto=u.start_sample))),
    (Rule.FORMAT, "the text is", lambda: Stt(partial(final_of, text=None))),  # type: ignore[arg-type]
    (Rule.FORMAT, "stable", lambda: Stt(writes=lambda u: final_of(u, "helium", final=False, stable=True))),
    (Rule.FORMAT, "before the utterance was over", lambda: Stt(heeds=("paused", "ended", "dismissed"))),
    (Rule.HEARS, "the text is another one", lambda: Stt(writes=lambda u: final_of(u, "bye", final=False))),
    (Rule.HEARS, "`partials` is true", lambda: with_member(Stt(), "partials", True)),
    (Rule.HEARS, "`partials` is false", lambda: Stt(while_speaking=True, writes=growing)),
    (Rule.ANSWERS, "dismissed", lambda: Stt(heeds=("ended",))),
    (Rule.FORGETS, "silence gave the text", Tired),
    (Rule.CANCELS, "after", lambda: Stt(before=deaf_to_cancellation)),
    (Rule.CANCELS, "ordinary end", lambda: Stt(before=swallowing)),
    (Rule.CLOSES, "socket", lambda: Stt(before=now(a_socket))),
    (Rule.TOLERATES, "IndexError", Short),
    (Rule.LOOP, "held the loop", lambda: Stt(before=blocking)),
    (Rule.TOGETHER, "busy", OneEar),
    (Rule.CLOCK, "virtual clock", lambda: Stt(before=Outside().wait)),
    (Rule.WHY, "RuntimeError", lambda: ScriptedStt(["hi"], faults=Raises(RuntimeError("oops")))),
]


def quiet(utterance: Utterance) -> Transcript:
    return final_of(utterance, "", final=False)


def growing(utterance: Utterance) -> Transcript:
    return final_of(utterance, "hello", final=False, stable=True)


@pytest.mark.parametrize(("rule", "what", "make"), STT)
def test_a_broken_stt_is_caught(rule: Rule, what: str, make: Callable[[], Any]) -> None:
    assert caught(lambda: stt(make), what) == rule


def test_every_rule_can_be_broken() -> None:
    assert {rule for rule, _, _ in STT} >= set(check_stt(Stt).figures) | {Rule.ANSWERS}
