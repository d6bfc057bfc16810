"""Plays a stretch of a recording, if there is a speaker."""

from __future__ import annotations

import time

import numpy as np

from workbench.model.audio import OUTPUT_RATE, Samples
from workbench.model.errors import MissingError
from workbench.transports.local.devices import find_device, portaudio, usable_format


class Player:
    """One stretch at a time, on the default speaker."""

    def __init__(self) -> None:
        self._start_s: float | None = None
        self._seconds = 0.0

    def play(self, samples: Samples) -> None:
        """Play mono PCM16 at `OUTPUT_RATE` from its start, now. Raises MissingError where nothing can play it."""
        import soxr  # 10 ms, and only needed to listen

        self.stop()
        sounddevice, device = portaudio(), find_device("output")
        rate, channels = usable_format(device)
        wave = soxr.resample(samples, OUTPUT_RATE, rate)
        try:
            sounddevice.play(np.repeat(wave[:, np.newaxis], channels, axis=1), rate, device=device.index)
        except sounddevice.PortAudioError as error:
            raise MissingError(f"{device.name} does not play: {error}", "see `workbench doctor`") from error
        self._start_s, self._seconds = time.monotonic(), len(samples) / OUTPUT_RATE

    def stop(self) -> None:
        """Stop playing."""
        if self._start_s is not None:
            self._start_s = None
            portaudio().stop()

    @property
    def at_s(self) -> float | None:
        """Return how far it is by the clock, s; None when it does not play."""
        if self._start_s is None or time.monotonic() - self._start_s >= self._seconds:
            return None
        return time.monotonic() - self._start_s
