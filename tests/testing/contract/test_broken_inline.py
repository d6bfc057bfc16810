"""Every rule of `check_vad` and `check_turn` can be broken: one for each that breaks it, and is caught."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.testing.contract.sabotage import (
    a_file,
    a_socket,
    caught,
    opened,
    with_member,
)
from workbench.engine.endpointing import SilenceTurn
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import Samples
from workbench.model.errors import UsageError
from workbench.plugin.values import Provider, ProviderOptions
from workbench.providers.energy import Energy
from workbench.simulation.scripted import ScriptedLlm
from workbench.testing import Rule, check_llm, check_turn, check_vad


class Vad:
    """A good one, but for what is asked of it."""

    window = 320

    def __init__(
        self,
        says: Callable[[float], object] = float,
        *,
        before: Callable[[Samples], object] = len,
    ) -> None:
        self.says, self.before = says, before
        self.energy = Energy()

    def __call__(self, samples: Samples) -> Any:
        self.before(samples)
        return self.says(self.energy(samples))

    def reset(self) -> None:
        self.energy.reset()


class Tires(Vad):
    """Is less sure the longer it listens, reset or not."""

    sure = 1.0

    def __call__(self, samples: Samples) -> float:
        self.sure *= 0.999
        return self.sure * float(super().__call__(samples))


class Overhears(Vad):
    """Takes into account what any of them heard last."""

    last = 0.0

    def __call__(self, samples: Samples) -> float:
        now = float(super().__call__(samples))
        before, Overhears.last = Overhears.last, now
        return (before + now) / 2

    def reset(self) -> None:
        super().reset()
        Overhears.last = 0.0


def louder(samples: Samples) -> None:
    samples *= 2


def slow(samples: Samples) -> None:
    time.sleep(0.002)


def fussy(samples: Samples) -> None:
    if not samples.any():
        raise ZeroDivisionError("no sound at all")


VAD: list[tuple[Rule, str, Callable[[], object]]] = [
    (Rule.SHAPE, "5 to 100 ms", lambda: with_member(Vad(), "window", 20_000)),
    (Rule.SHAPE, "has reset", lambda: with_member(Vad(), "reset", None)),
    (Rule.FORMAT, "float in 0…1", lambda: Vad(lambda p: 100 * p)),
    (Rule.FORMAT, "float32", lambda: Vad(np.float32)),
    (Rule.FORMAT, "float in 0…1", lambda: Vad(lambda p: float("nan"))),
    (Rule.UNTOUCHED, "writes into the sound", lambda: Vad(before=louder)),
    (Rule.CHEAP, "a window takes", lambda: Vad(before=slow)),
    (Rule.LISTENS, "a quiet room", lambda: Vad(lambda p: 1 - p)),
    (Rule.LISTENS, "a quiet room", lambda: Vad(lambda p: 0.3)),
    (Rule.FORGETS, "other probabilities", Tires),
    (Rule.TOGETHER, "changes what another", Overhears),
    (Rule.CLOSES, "socket", lambda: Vad(before=lambda _: a_socket() if len(opened) < 200 else None)),
    (Rule.TOLERATES, "ZeroDivisionError", lambda: Vad(before=fussy)),
]


@pytest.mark.parametrize(("rule", "what", "make"), VAD)
def test_a_broken_vad_is_caught(rule: Rule, what: str, make: Callable[[], Any]) -> None:
    assert caught(lambda: check_vad(make), what) == rule


def test_every_rule_of_a_vad_can_be_broken() -> None:
    assert {rule for rule, _, _ in VAD} == set(check_vad(Vad).figures)


class Turn(SilenceTurn):
    """A good one, but for what is asked of it."""

    def __init__(
        self, says: Callable[[float], object] = float, *, before: Callable[[Utterance], object] = id
    ) -> None:
        super().__init__()
        self.says, self.before = says, before

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> Any:
        self.before(utterance)
        return self.says(super().wait_ms(utterance, settings))


class Learns(Turn):
    """Waits longer each time that it is asked."""

    asked = 0

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        self.asked += 1
        return float(self.asked)


class Common(Turn):
    """All learn together."""

    pauses: ClassVar[list[float]] = []

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        return 300.0 + len(self.pauses)

    def paused(self, ms: float, *, went_on: bool) -> None:
        self.pauses.append(ms)


def ends(utterance: Utterance) -> None:
    utterance.state = "ended"


def last_word(utterance: Utterance) -> None:
    assert utterance.transcript
    _ = utterance.transcript.text.split()[-1]


TURN: list[tuple[Rule, str, Callable[[], object]]] = [
    (Rule.SHAPE, "`paused` must be", lambda: with_member(Turn(), "paused", None)),
    (Rule.FORMAT, "10000 ms", lambda: Turn(lambda ms: 1000 * ms)),
    (Rule.FORMAT, "10000 ms", lambda: Turn(lambda ms: float("nan"))),
    (Rule.FORMAT, "10000 ms", lambda: Turn(lambda ms: None)),
    (Rule.UNTOUCHED, "changes the utterance", lambda: Turn(before=ends)),
    (Rule.FORGETS, "asked twice", Learns),
    (Rule.TOGETHER, "changes another", Common),
    (Rule.CHEAP, "asking takes", lambda: Turn(before=lambda _: time.sleep(0.01))),
    (Rule.CLOSES, "file", lambda: Turn(before=lambda _: a_file())),
    (Rule.TOLERATES, "AssertionError", lambda: Turn(before=last_word)),
]


@pytest.mark.parametrize(("rule", "what", "make"), TURN)
def test_a_broken_turn_detector_is_caught(rule: Rule, what: str, make: Callable[[], Any]) -> None:
    assert caught(lambda: check_turn(make), what) == rule


def test_every_rule_of_a_turn_detector_can_be_broken() -> None:
    assert {rule for rule, _, _ in TURN} == set(check_turn(Turn).figures)


def test_a_factory_that_gives_the_same_twice() -> None:
    vad, turn = Energy(), SilenceTurn()
    assert caught(lambda: check_vad(lambda: vad), "the same object twice") == Rule.TOGETHER
    assert caught(lambda: check_turn(lambda: turn), "the same object twice") == Rule.TOGETHER


def test_a_provider_of_another_stage() -> None:
    with pytest.raises(ValueError, match="of the stage llm, not of vad"):
        check_vad(Provider("llm", "parrot", "says it again", lambda options: ScriptedLlm([])))


def test_a_provider_as_a_plugin_registers_it() -> None:
    provider = Provider("vad", "mine", "loudness", lambda options: Vad(), models=("one",))
    assert check_vad(provider).who == "vad Vad"
    assert check_vad(provider, options=ProviderOptions("two")).figures


def test_a_check_is_not_for_coroutines() -> None:
    async def within() -> None:
        check_llm(lambda: ScriptedLlm(["hi"]))

    with pytest.raises(UsageError, match="a loop of its own"):
        asyncio.run(within())
