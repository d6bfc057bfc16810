"""Plays a stretch of a recording, if there is a speaker."""

from __future__ import annotations

import time
from typing import Any

from workbench.model.audio import OUTPUT_RATE, Samples
from workbench.model.errors import MissingError


class Player:
    """One stretch at a time."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._seconds = 0.0

    def play(self, samples: Samples) -> None:
        """Play mono PCM16 at `OUTPUT_RATE` from its start, now. Raises MissingError where nothing can play it."""
        self.stop()
        device = _sounddevice()
        try:
            device.play(samples, OUTPUT_RATE)
        except device.PortAudioError as error:
            raise MissingError(
                f"no speaker plays this: {error}", "`workbench doctor` looks at devices"
            ) from None
        self._began, self._seconds = time.monotonic(), len(samples) / OUTPUT_RATE

    def stop(self) -> None:
        """Be silent."""
        if self._began is not None:
            self._began = None
            _sounddevice().stop()

    @property
    def at_s(self) -> float | None:
        """How far it is, by the clock, seconds; None when it does not play."""
        if self._began is None or time.monotonic() - self._began >= self._seconds:
            return None
        return time.monotonic() - self._began


def _sounddevice() -> Any:
    try:
        import sounddevice  # 60 ms and PortAudio, and only needed to listen
    except OSError:
        raise MissingError("there is no PortAudio", "install libportaudio2") from None
    return sounddevice
