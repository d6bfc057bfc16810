"""How well echo is cancelled and how late it comes back, measured from the sound itself."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.model.audio import INPUT_RATE, Samples
from workbench.model.events import EchoState
from workbench.trace.trace import Trace

FRAME_S = 0.01
LOOK_FRAMES = 100
"""Frames between two looks: 1 s."""
KEEP_FRAMES = 1_000
"""Levels kept: 10 s."""
DELAY_FRAMES = 200
"""Sound that the delay is looked for in: 2 s; 3 ms of work a look."""
ENOUGH_FRAMES = 50
"""Frames with sound of ours that a look needs."""
ACTIVE_POWER = (32768.0 * 10 ** (-50 / 20)) ** 2
"""Power of a frame from which we speak: −50 dBFS."""
QUIET_FRAMES = 20
"""Frames without sound of ours from which the noise is known."""
LOUD_SHARE = 0.9
"""Of the frames with sound of ours so many must be as quiet as the noise: the user may speak in the others."""
ABOVE_NOISE = 4.0
"""Times the power of the noise (6 dB) from which echo can be told from it."""
MAX_DELAY_S = 0.5
"""The longest delay that is looked for, s."""
MISSING_LOOKS, MISSING_AGAIN_LOOKS = 3, 10
"""Looks in a row without an echo from which there is none: at first, and after one was found."""
SAME_MS = 3.0
"""An echo comes back as late as at the look before, give or take this; a chance likeness does not, ms."""
SURE = 8.0
"""Times the spread of the correlation that its peak must stand out by."""

Powers = NDArray[np.float64]


class EchoMeter:
    """Follows an echo canceller; logs an `EchoState` every second in which we spoke.

    `lead_s`: so far is the reverse stream ahead of the microphone, s.
    """

    def __init__(self, trace: Trace, lead_s: float) -> None:
        self.erle_db: float | None = None
        """Echo return loss enhancement, dB; None where no echo can be heard to begin with."""
        self.delay_ms: float | None = None
        """From leaving the speaker to coming into the microphone, ms; None where it can't be told."""
        self.present = True
        """Whether our sound comes back at all; with headphones it does not."""
        self._missing = 0
        self._missing_limit = MISSING_LOOKS
        self._trace = trace
        self._lead_s = lead_s
        self._powers: deque[tuple[float, float, float]] = deque(maxlen=KEEP_FRAMES)
        self._sound: deque[tuple[Samples, Samples]] = deque(maxlen=DELAY_FRAMES)
        self._count = 0

    def add(self, near: Samples, clean: Samples, far: Samples) -> None:
        """Add 10 ms of the microphone, of what was made of it, and of the reverse stream."""
        self._powers.append((power(near), power(clean), power(far)))
        self._sound.append((near, far))
        self._count += 1
        if self._count % LOOK_FRAMES == 0:
            self._measure()

    def _measure(self) -> None:
        near, clean, far = np.array(self._powers).T
        active = far > ACTIVE_POWER
        if np.count_nonzero(active[-DELAY_FRAMES:]) < ENOUGH_FRAMES:
            return
        before, self.delay_ms = self.delay_ms, self._delay_ms()
        self._decide(before)
        if self.delay_ms is None and self._unheard(near, active):
            self._missing, self.present = self._missing_limit, False
        self.erle_db = erle_db(near, clean, self._echoing(active)) if self.present else None
        self._trace.emit(EchoState(self.erle_db, self.delay_ms, active=self.present))

    def _decide(self, before: float | None) -> None:
        """Decide whether there is an echo. A user who speaks over it may hide it for some looks."""
        if self.delay_ms is not None and before is not None and abs(self.delay_ms - before) <= SAME_MS:
            self._missing, self._missing_limit = 0, MISSING_AGAIN_LOOKS
        else:
            self._missing += 1
        self.present = self._missing < self._missing_limit

    def _unheard(self, near: Powers, active: NDArray[np.bool_]) -> bool:
        """Return whether our sound leaves nothing in the microphone: it is as quiet as when we say nothing."""
        quiet = near[~active[: len(near)]]
        if len(quiet) < QUIET_FRAMES:
            return False
        noise = float(np.median(quiet))
        return float(np.quantile(near[active], LOUD_SHARE)) < max(noise, 1.0) * ABOVE_NOISE

    def _echoing(self, active: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the frames in which our sound comes back."""
        late = round(((self.delay_ms or 0.0) / 1000 + self._lead_s) / FRAME_S)
        return np.concatenate((np.zeros(late, np.bool_), active))[: len(active)]

    def _delay_ms(self) -> float | None:
        near = np.concatenate([near for near, _ in self._sound])
        far = np.concatenate([far for _, far in self._sound])
        lag = echo_lag(near, far)
        return None if lag is None else round((lag / INPUT_RATE - self._lead_s) * 1000, 1)


def power(samples: Samples) -> float:
    """Return the mean square of the samples."""
    wave = samples.astype(np.float32)
    return float(np.dot(wave, wave)) / max(1, len(samples))


def erle_db(near: Powers, clean: Powers, echoing: NDArray[np.bool_]) -> float | None:
    """Return by how much echo was lowered, dB, None where there is too little of it.

    The median over the frames with echo that stand out of the noise: a user who speaks over some does not matter.
    """
    quiet = near[~echoing]
    noise = float(np.quantile(quiet, 0.2)) if len(quiet) >= ENOUGH_FRAMES else 0.0
    audible = echoing & (near > max(noise * ABOVE_NOISE, 1.0))
    if np.count_nonzero(audible) < ENOUGH_FRAMES:
        return None
    return round(float(np.median(10 * np.log10(near[audible] / np.maximum(clean[audible], 1.0)))), 1)


def echo_lag(near: Samples, far: Samples) -> int | None:
    """Return by how many samples `far` comes back in `near`, 0 to 0.5 s; None if none stands out. 3 ms for 2 s."""
    whitened = cross_spectrum(near, far)
    peaks = np.abs(np.fft.irfft(whitened / np.maximum(np.abs(whitened), 1e-3)))[
        : int(MAX_DELAY_S * INPUT_RATE)
    ]
    lag = int(np.argmax(peaks))
    return lag if peaks[lag] > SURE * float(np.sqrt(np.mean(peaks**2))) else None


def cross_spectrum(late: NDArray[Any], early: NDArray[Any]) -> NDArray[np.complex128]:
    """Return the cross spectrum; its inverse transform is the correlation at the lags 0, 1, …, −2, −1 by which `late`
    follows `early`."""
    size = 1 << (len(late) + len(early) - 1).bit_length()
    spectrum = np.fft.rfft(late.astype(np.float64), size) * np.conj(
        np.fft.rfft(early.astype(np.float64), size)
    )
    return np.asarray(spectrum, dtype=np.complex128)
