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
        self._began: float | None = None
        self._seconds = 0.0

    def play(self, samples: Samples) -> None:
        """Play mono PCM16 at `OUTPUT_RATE` from its start, now. Raises MissingError where nothing can play it."""
        import soxr  # 10 ms, and only needed to listen

        self.stop()
        sound, device = portaudio(), find_device("output")
        rate, channels = usable_format(device)
        wave = soxr.resample(samples, OUTPUT_RATE, rate)
        try:
            sound.play(np.repeat(wave[:, np.newaxis], channels, axis=1), rate, device=device.index)
        except sound.PortAudioError as error:
            raise MissingError(f"{device.name} does not play: {error}", "see `workbench doctor`") from error
        self._began, self._seconds = time.monotonic(), len(samples) / OUTPUT_RATE

    def stop(self) -> None:
        """Be silent."""
        if self._began is not None:
            self._began = None
            portaudio().stop()

    @property
    def at_s(self) -> float | None:
        """How far it is, by the clock, seconds; None when it does not play."""
        if self._began is None or time.monotonic() - self._began >= self._seconds:
            return None
        return time.monotonic() - self._began
