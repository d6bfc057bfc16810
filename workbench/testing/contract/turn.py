"""`check_turn`: what the engine relies on in a turn detector."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from workbench.engine.interfaces import TurnDetector
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.conversation import Transcript
from workbench.plugin.values import ProviderOptions
from workbench.simulation.synthesis import speech
from workbench.testing.contract.check import (
    LONG_TEXTS,
    ODD_TEXTS,
    ContractCheck,
    Factory,
    resolve,
    short_repr,
)
from workbench.testing.contract.rules import Report, Rule

LONGEST_MS = 10_000.0
"""No turn waits longer for its end, ms."""
CHEAP_S = 0.005
"""Asking takes so long at most, s (the median): it is asked at every frame of a pause, 10 or 20 ms apart."""
FRAMES = 50
DERIVE = "derive from workbench.spi.TurnDetector, which has a default"
PAUSES_MS = (0.0, 40.0, 300.0, 60_000.0)
"""Pauses that a user may make, ms."""


def check_turn(make: Factory[TurnDetector], *, options: ProviderOptions | None = None) -> Report:
    """Check a turn detector. Raises BrokenRule."""
    return TurnCheck("turn").run(resolve(make, "turn", options))


class TurnCheck(ContractCheck):
    """Asks a turn detector about utterances, and checks how long it would wait."""

    def run(self, make: Callable[[], TurnDetector]) -> Report:
        """Check it."""
        turn = make()
        self.name(turn)
        for name in ("wait_ms", "paused", "assess"):
            self.require(
                callable(getattr(turn, name, None)), Rule.SHAPE, f"`{name}` must be a method", DERIVE
            )
        known = getattr(turn, "languages", None)
        tags = isinstance(known, tuple) and all(isinstance(tag, str) and tag.islower() for tag in known)
        self.require(tags, Rule.SHAPE, "`languages` must be a tuple of tags like `en`", DERIVE)
        self.require(
            isinstance(getattr(turn, "assesses", None), bool), Rule.SHAPE, "`assesses` must be a bool", DERIVE
        )
        self.keep(Rule.SHAPE, 5, "members")
        self._pause(turn, _utterance(speech(1.0), "Hello"))
        with self.closing():
            self._check_cost(turn)
            self._check_two(make)
            self._check_odd(turn)
        return self.report()

    def _wait_ms(self, turn: TurnDetector, utterance: Utterance, settings: TurnSettings) -> float:
        """Return how long it waits; asking twice gives the same, and changes nothing."""
        before = (utterance.state, utterance.end, utterance.speech_end, utterance.transcript)
        waits = [turn.wait_ms(utterance, settings) for _ in range(2)]
        for wait in waits:
            fits = isinstance(wait, float | int) and math.isfinite(wait) and 0 <= wait <= LONGEST_MS
            text = f"wait_ms() gives 0…{LONGEST_MS:g} ms, not {short_repr(wait)}"
            self.require(fits, Rule.FORMAT, text)
        after = (utterance.state, utterance.end, utterance.speech_end, utterance.transcript)
        self.require(after == before, Rule.UNTOUCHED, "asking changes the utterance")
        text = f"asked twice about the same moment it waits {waits[0]:.0f} and then {waits[1]:.0f} ms"
        self.require(waits[0] == waits[1], Rule.FORGETS, text, "learn in paused(), not when asked")
        self.keep(Rule.UNTOUCHED, 1, "utterance")
        self.keep(Rule.FORGETS, 2, "times the same")
        self.keep(Rule.FORMAT, waits[0], "ms at most")
        return float(waits[0])

    def _pause(self, turn: TurnDetector, utterance: Utterance) -> list[float]:
        """Ask at each frame of a pause of 1 s. Return how long each answer took, s."""
        settings, took_s = TurnSettings(), []
        for _ in range(FRAMES):
            utterance.append(Frame(silence(INPUT_RATE // FRAMES), INPUT_RATE, utterance.end))
            began = time.perf_counter()
            turn.wait_ms(utterance, settings)
            took_s.append(time.perf_counter() - began)
        self._wait_ms(turn, utterance, settings)
        return took_s

    def _check_cost(self, turn: TurnDetector) -> None:
        (text,) = LONG_TEXTS.values()
        took_s = sorted(self._pause(turn, _utterance(speech(60.0), text)))
        median = took_s[len(took_s) // 2]
        self.require(median <= CHEAP_S, Rule.CHEAP, f"asking takes {median * 1000:.1f} ms (median)")
        self.keep(Rule.CHEAP, median * 1e6, "µs a frame")

    def _check_two(self, make: Callable[[], TurnDetector]) -> None:
        """Require that pauses that one learns from do not change another one."""
        first, second = make(), make()
        self.require(first is not second, Rule.TOGETHER, "the factory gives the same object twice")
        utterance, settings = _utterance(speech(1.0), "Hello"), TurnSettings()
        before = self._wait_ms(first, utterance, settings)
        for _ in range(50):
            second.paused(900.0, went_on=True)
        same = self._wait_ms(first, utterance, settings) == before
        self.require(same, Rule.TOGETHER, "what one learns changes another one")
        self.keep(Rule.TOGETHER, 2, "at once")

    def _check_odd(self, turn: TurnDetector) -> None:
        texts = {**ODD_TEXTS, **LONG_TEXTS}.values()
        odd = [_utterance(sound, None) for sound in (silence(0), speech(0.02), silence(INPUT_RATE))]
        odd += [_utterance(speech(0.5), text) for text in texts]
        odd.append(_utterance(silence(0), "typed", typed=True))
        long_silence = TurnSettings(min_silence_ms=1000, max_silence_ms=1000)
        for settings in (TurnSettings(), TurnSettings(adapt=False), long_silence):
            for utterance in odd:
                with self.tolerating("an odd utterance"):
                    self._wait_ms(turn, utterance, settings)
                    for ms in PAUSES_MS:
                        turn.paused(ms, went_on=ms != PAUSES_MS[-1])
        self.keep(Rule.TOLERATES, len(odd), "odd utterances")


def _utterance(samples: Samples, text: str | None, *, typed: bool = False) -> Utterance:
    utterance = Utterance(1, INPUT_RATE)
    utterance.append(Frame(samples, INPUT_RATE, INPUT_RATE))
    utterance.become("paused", utterance.end)
    if text is not None:
        utterance.write(Transcript(text, utterance.end, stable=True, confidence=0.9))
        utterance.typed = text if typed else None
    return utterance
