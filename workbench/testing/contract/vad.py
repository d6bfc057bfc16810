"""`check_vad`: what the engine relies on in voice activity detection."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from workbench.engine.interfaces import Vad
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.plugin.hookspecs import ProviderOptions
from workbench.simulation.synthesis import noise, speech
from workbench.testing.contract.leaks import Holdings
from workbench.testing.contract.rules import Ledger, Maker, Report, Rule, factory, shown

WINDOWS = range(80, INPUT_RATE // 10 + 1)
"""Samples in a window: 5 to 100 ms."""
CHEAP_S = 0.001
"""A window takes so long at most, s (the median). It should be 100 µs; the bound is for a busy machine."""
ENOUGH = 50
"""Windows of which a median tells something."""
LOUDEST = 32_767
LONG_S = 60


def check_vad(make: Maker[Vad], *, options: ProviderOptions | None = None) -> Report:
    """Check a voice activity detection. Raises BrokenRule."""
    ledger, fresh = Ledger("vad"), factory(make, "vad", options)
    vad: Vad = fresh()
    ledger.name(vad)
    window, reset = getattr(vad, "window", None), getattr(vad, "reset", None)
    fits = isinstance(window, int) and window in WINDOWS and callable(vad) and callable(reset)
    ledger.need(
        fits,
        Rule.SHAPE,
        f"a VAD is called, has reset(), and a window of 5 to 100 ms in samples, not {shown(window)}",
    )
    ledger.kept(Rule.SHAPE, vad.window, "samples a window")
    said = _heard(ledger, vad, _sound(1.0))
    before = Holdings.now()
    _forgets(ledger, vad)
    _tells_speech(ledger, fresh())
    _shares_nothing(ledger, fresh)
    _tolerates(ledger, fresh())
    del vad
    left = before.left()
    ledger.need(not left, Rule.CLOSES, f"left open: {', '.join(left[:5])}")
    ledger.kept(Rule.CLOSES, 0, "left open")
    ledger.kept(Rule.FORMAT, len(said), "probabilities")
    return ledger.report()


def _heard(ledger: Ledger, vad: Vad, samples: Samples) -> list[float]:
    """The probability of each window; the sound cannot be written to."""
    samples.setflags(write=False)
    copy = samples.copy()
    found, took_s = [], []
    for at in range(0, len(samples) - vad.window + 1, vad.window):
        began = time.perf_counter()
        try:
            probability = vad(samples[at : at + vad.window])
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise ledger.broken(Rule.UNTOUCHED, "it writes into the sound") from error
        took_s.append(time.perf_counter() - began)
        number = isinstance(probability, float | int) and math.isfinite(probability) and 0 <= probability <= 1
        ledger.need(
            number,
            Rule.FORMAT,
            f"a probability is a float in 0…1, not {shown(probability)} ({type(probability).__name__})",
        )
        found.append(float(probability))
    ledger.need(np.array_equal(samples, copy), Rule.UNTOUCHED, "it writes into the sound")
    ledger.kept(Rule.UNTOUCHED, len(found), "windows")
    if len(took_s) >= ENOUGH:
        median = sorted(took_s)[len(took_s) // 2]
        ledger.need(median <= CHEAP_S, Rule.CHEAP, f"a window takes {median * 1e6:.0f} µs (median)")
        ledger.kept(Rule.CHEAP, median * 1e6, "µs a window")
    return found


def _sound(seconds: float) -> Samples:
    """Silence of a room, then a voice."""
    return np.concatenate([noise(seconds / 2, db=-70.0), speech(seconds / 2, seed=2)])


def _forgets(ledger: Ledger, vad: Vad) -> None:
    vad.reset()
    first = _heard(ledger, vad, _sound(2.0))
    _heard(ledger, vad, speech(1.0, seed=3))
    vad.reset()
    again = _heard(ledger, vad, _sound(2.0))
    difference = float(np.abs(np.array(first) - np.array(again)).max())
    ledger.need(
        difference < 1e-3,
        Rule.FORGETS,
        f"after reset() the same sound has other probabilities (by {difference:.3f})",
        "forget in reset() whatever was heard",
    )
    ledger.kept(Rule.FORGETS, difference, "difference after reset()")


def _tells_speech(ledger: Ledger, vad: Vad) -> None:
    """A voice is more likely to be speech than a room in which nobody speaks."""
    quiet = _heard(ledger, vad, noise(2.0, db=-70.0))[-20:]
    voice = _heard(ledger, vad, speech(2.0, seed=4))
    likely, unlikely = float(np.median(voice)), float(np.median(quiet))
    ledger.need(
        likely >= 0.5 > unlikely,
        Rule.LISTENS,
        f"a voice has a probability of {likely:.2f}, a quiet room of {unlikely:.2f} (medians)",
    )
    ledger.kept(Rule.LISTENS, likely - unlikely, "apart")


def _shares_nothing(ledger: Ledger, fresh: Callable[[], Vad]) -> None:
    """What one hears is nothing to another one."""
    alone = _heard(ledger, fresh(), _sound(1.0))
    one, other, sound = fresh(), fresh(), _sound(1.0)
    ledger.need(one is not other, Rule.TOGETHER, "the factory gives the same object twice")
    size, loud = one.window, speech(1.0, seed=5)
    together = []
    for at in range(0, len(sound) - size + 1, size):
        _heard(ledger, other, loud[at : at + size].copy())
        together += _heard(ledger, one, sound[at : at + size].copy())
    difference = float(np.abs(np.array(alone) - np.array(together)).max())
    ledger.need(difference < 1e-3, Rule.TOGETHER, "what one hears changes what another one says")
    ledger.kept(Rule.TOGETHER, 2, "at once")


def _tolerates(ledger: Ledger, vad: Vad) -> None:
    square = np.where(np.arange(INPUT_RATE) // 40 % 2, LOUDEST, -LOUDEST - 1).astype(np.int16)
    odd = {
        "digital silence": silence(INPUT_RATE),
        "full scale": square,
        "a constant": np.full(INPUT_RATE, -LOUDEST - 1, dtype=np.int16),
        "60 s": np.resize(_sound(4.0), LONG_S * INPUT_RATE),
    }
    for what, samples in odd.items():
        with ledger.tolerating(what):
            _heard(ledger, vad, samples)
    ledger.kept(Rule.TOLERATES, len(odd), "odd inputs")
