"""`check_vad`: what the engine relies on in voice activity detection."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from workbench.engine.interfaces import Vad
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.plugin.values import ProviderOptions
from workbench.simulation.synthesis import noise, speech
from workbench.testing.contract.check import LOUDEST, ContractCheck, Factory, full_scale, resolve, short_repr
from workbench.testing.contract.rules import Report, Rule

WINDOWS = range(80, INPUT_RATE // 10 + 1)
"""Samples in a window: 5 to 100 ms."""
CHEAP_S = 0.001
"""A window takes so long at most, s (the median). It should be 100 µs; the bound is for a busy machine."""
ENOUGH = 50
"""Windows of which a median tells something."""
LONG_S = 60


def check_vad(make: Factory[Vad], *, options: ProviderOptions | None = None) -> Report:
    """Check a voice activity detection. Raises BrokenRule."""
    return VadCheck("vad").run(resolve(make, "vad", options))


class VadCheck(ContractCheck):
    """Feeds a VAD with windows, and checks its probabilities."""

    def run(self, make: Callable[[], Vad]) -> Report:
        """Check it."""
        vad = make()
        self.name(vad)
        window, reset = getattr(vad, "window", None), getattr(vad, "reset", None)
        fits = isinstance(window, int) and window in WINDOWS and callable(vad) and callable(reset)
        expected = "a VAD is called, has reset(), and a window of 5 to 100 ms in samples"
        self.require(fits, Rule.SHAPE, f"{expected}, not {short_repr(window)}")
        self.keep(Rule.SHAPE, vad.window, "samples a window")
        probabilities = self._feed(vad, _quiet_then_speech(1.0))
        with self.closing():
            self._check_reset(vad)
            self._check_speech(make())
            self._check_two(make)
            self._check_odd(make())
            del vad
        self.keep(Rule.FORMAT, len(probabilities), "probabilities")
        return self.report()

    def _feed(self, vad: Vad, samples: Samples) -> list[float]:
        """Return the probability of each window; the samples cannot be written to."""
        samples.setflags(write=False)
        copy = samples.copy()
        probabilities, took_s = [], []
        for at in range(0, len(samples) - vad.window + 1, vad.window):
            began = time.perf_counter()
            try:
                value = vad(samples[at : at + vad.window])
            except ValueError as error:
                if "read-only" not in str(error):
                    raise
                raise self.broken(Rule.UNTOUCHED, "it writes into the sound") from error
            took_s.append(time.perf_counter() - began)
            fits = isinstance(value, float | int) and math.isfinite(value) and 0 <= value <= 1
            text = f"a probability is a float in 0…1, not {short_repr(value)} ({type(value).__name__})"
            self.require(fits, Rule.FORMAT, text)
            probabilities.append(float(value))
        self.require(np.array_equal(samples, copy), Rule.UNTOUCHED, "it writes into the sound")
        self.keep(Rule.UNTOUCHED, len(probabilities), "windows")
        if len(took_s) >= ENOUGH:
            median = sorted(took_s)[len(took_s) // 2]
            self.require(median <= CHEAP_S, Rule.CHEAP, f"a window takes {median * 1e6:.0f} µs (median)")
            self.keep(Rule.CHEAP, median * 1e6, "µs a window")
        return probabilities

    def _check_reset(self, vad: Vad) -> None:
        vad.reset()
        first = self._feed(vad, _quiet_then_speech(2.0))
        self._feed(vad, speech(1.0, seed=3))
        vad.reset()
        difference = _difference(first, self._feed(vad, _quiet_then_speech(2.0)))
        text = f"after reset() the same sound has other probabilities (by {difference:.3f})"
        self.require(difference < 1e-3, Rule.FORGETS, text, "forget in reset() whatever was heard")
        self.keep(Rule.FORGETS, difference, "difference after reset()")

    def _check_speech(self, vad: Vad) -> None:
        """Require that a voice is likely to be speech, and a quiet room is not."""
        unlikely = float(np.median(self._feed(vad, noise(2.0, db=-70.0))[-20:]))
        likely = float(np.median(self._feed(vad, speech(2.0, seed=4))))
        text = f"a voice has a probability of {likely:.2f}, a quiet room of {unlikely:.2f} (medians)"
        self.require(likely >= 0.5 > unlikely, Rule.LISTENS, text)
        self.keep(Rule.LISTENS, likely - unlikely, "apart")

    def _check_two(self, make: Callable[[], Vad]) -> None:
        """Require that the windows of one do not change another one."""
        alone = self._feed(make(), _quiet_then_speech(1.0))
        first, second, sound = make(), make(), _quiet_then_speech(1.0)
        self.require(first is not second, Rule.TOGETHER, "the factory gives the same object twice")
        size, loud = first.window, speech(1.0, seed=5)
        together = []
        for at in range(0, len(sound) - size + 1, size):
            self._feed(second, loud[at : at + size].copy())
            together += self._feed(first, sound[at : at + size].copy())
        same = _difference(alone, together) < 1e-3
        self.require(same, Rule.TOGETHER, "what one hears changes what another one says")
        self.keep(Rule.TOGETHER, 2, "at once")

    def _check_odd(self, vad: Vad) -> None:
        odd = {
            "digital silence": silence(INPUT_RATE),
            "full scale": full_scale(INPUT_RATE),
            "a constant": np.full(INPUT_RATE, -LOUDEST - 1, dtype=np.int16),
            "60 s": np.resize(_quiet_then_speech(4.0), LONG_S * INPUT_RATE),
        }
        for label, samples in odd.items():
            with self.tolerating(label):
                self._feed(vad, samples)
        self.keep(Rule.TOLERATES, len(odd), "odd inputs")


def _quiet_then_speech(seconds: float) -> Samples:
    return np.concatenate([noise(seconds / 2, db=-70.0), speech(seconds / 2, seed=2)])


def _difference(first: list[float], second: list[float]) -> float:
    return float(np.abs(np.array(first) - np.array(second)).max())
