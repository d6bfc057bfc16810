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
from workbench.plugin.hookspecs import ProviderOptions
from workbench.simulation.synthesis import speech
from workbench.testing.contract.leaks import Holdings
from workbench.testing.contract.rules import Ledger, Maker, Report, Rule, factory, shown
from workbench.testing.contract.texts import EVERY, LONG

LONGEST_MS = 10_000.0
"""No turn waits longer for its end, ms."""
CHEAP_S = 0.005
"""Asking takes so long at most, s (the median): it is asked at every frame of a pause, 10 or 20 ms apart."""
FRAMES = 50
PAUSES_MS = (0.0, 40.0, 300.0, 60_000.0)
"""Pauses that a user may make, ms."""


def check_turn(make: Maker[TurnDetector], *, options: ProviderOptions | None = None) -> Report:
    """Check a turn detector. Raises BrokenRule."""
    ledger, fresh = Ledger("turn"), factory(make, "turn", options)
    turn: TurnDetector = fresh()
    ledger.name(turn)
    for name in ("wait_ms", "paused"):
        ledger.need(callable(getattr(turn, name, None)), Rule.SHAPE, f"`{name}` must be a method")
    ledger.kept(Rule.SHAPE, 2, "members")
    _pause(ledger, turn, _utterance(speech(1.0), "Hello"))
    before = Holdings.now()
    _cheap(ledger, turn)
    _shares_nothing(ledger, fresh)
    _tolerates(ledger, turn)
    left = before.left()
    ledger.need(not left, Rule.CLOSES, f"left open: {', '.join(left[:5])}")
    ledger.kept(Rule.CLOSES, 0, "left open")
    return ledger.report()


def _utterance(samples: Samples, text: str | None, *, typed: bool = False) -> Utterance:
    utterance = Utterance(1, INPUT_RATE)
    utterance.append(Frame(samples, INPUT_RATE, INPUT_RATE))
    utterance.become("paused", utterance.end)
    if text is not None:
        utterance.write(Transcript(text, utterance.end, stable=True, confidence=0.9))
        utterance.typed = text if typed else None
    return utterance


def _wait(ledger: Ledger, turn: TurnDetector, utterance: Utterance, settings: TurnSettings) -> float:
    """How long it waits; asking twice gives the same, and changes nothing."""
    known = (utterance.state, utterance.end, utterance.speech_end, utterance.transcript)
    waits = [turn.wait_ms(utterance, settings) for _ in range(2)]
    for wait in waits:
        fits = isinstance(wait, float | int) and math.isfinite(wait) and 0 <= wait <= LONGEST_MS
        ledger.need(fits, Rule.FORMAT, f"wait_ms() gives 0…{LONGEST_MS:g} ms, not {shown(wait)}")
    now = (utterance.state, utterance.end, utterance.speech_end, utterance.transcript)
    ledger.need(now == known, Rule.UNTOUCHED, "asking changes the utterance")
    ledger.need(
        waits[0] == waits[1],
        Rule.FORGETS,
        f"asked twice about the same moment it waits {waits[0]:.0f} and then {waits[1]:.0f} ms",
        "learn in paused(), not when asked",
    )
    ledger.kept(Rule.UNTOUCHED, 1, "utterance")
    ledger.kept(Rule.FORGETS, 2, "times the same")
    ledger.kept(Rule.FORMAT, waits[0], "ms at most")
    return float(waits[0])


def _pause(ledger: Ledger, turn: TurnDetector, utterance: Utterance) -> list[float]:
    """Ask at each frame of a pause of 1 s; how long each answer took, s."""
    settings, took_s = TurnSettings(), []
    for _ in range(FRAMES):
        utterance.append(Frame(silence(INPUT_RATE // FRAMES), INPUT_RATE, utterance.end))
        began = time.perf_counter()
        turn.wait_ms(utterance, settings)
        took_s.append(time.perf_counter() - began)
    _wait(ledger, turn, utterance, settings)
    return took_s


def _cheap(ledger: Ledger, turn: TurnDetector) -> None:
    took_s = sorted(_pause(ledger, turn, _utterance(speech(60.0), LONG["a text of 10,000 characters"])))
    median = took_s[len(took_s) // 2]
    ledger.need(median <= CHEAP_S, Rule.CHEAP, f"asking takes {median * 1000:.1f} ms (median)")
    ledger.kept(Rule.CHEAP, median * 1e6, "µs a frame")


def _shares_nothing(ledger: Ledger, fresh: Callable[[], TurnDetector]) -> None:
    """What one learns is nothing to another one."""
    one, other = fresh(), fresh()
    ledger.need(one is not other, Rule.TOGETHER, "the factory gives the same object twice")
    utterance, settings = _utterance(speech(1.0), "Hello"), TurnSettings()
    before = _wait(ledger, one, utterance, settings)
    for _ in range(50):
        other.paused(900.0, went_on=True)
    ledger.need(
        _wait(ledger, one, utterance, settings) == before,
        Rule.TOGETHER,
        "what one learns changes another one",
    )
    ledger.kept(Rule.TOGETHER, 2, "at once")


def _tolerates(ledger: Ledger, turn: TurnDetector) -> None:
    odd = [
        _utterance(silence(0), None),
        _utterance(speech(0.02), None),
        _utterance(silence(INPUT_RATE), None),
    ]
    odd += [_utterance(speech(0.5), text) for text in EVERY.values()]
    odd.append(_utterance(silence(0), "typed", typed=True))
    for settings in (
        TurnSettings(),
        TurnSettings(adapt=False),
        TurnSettings(min_silence_ms=1000, max_silence_ms=1000),
    ):
        for utterance in odd:
            with ledger.tolerating("an odd utterance"):
                _wait(ledger, turn, utterance, settings)
                for ms in PAUSES_MS:
                    turn.paused(ms, went_on=ms != PAUSES_MS[-1])
    ledger.kept(Rule.TOLERATES, len(odd), "odd utterances")
