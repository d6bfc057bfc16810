"""Microphone and speaker of this machine as a transport, with what keeps the agent from hearing itself."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Self

from workbench.model.audio import OUTPUT_RATE
from workbench.model.errors import MissingError
from workbench.model.events import DuplexChanged, Notice
from workbench.transports.base import Transport, TransportOptions
from workbench.transports.clockfit import TrackClock
from workbench.transports.local.echo_canceller import CleanMicrophone, EchoCanceller
from workbench.transports.local.microphone import Microphone
from workbench.transports.local.speaker import Speaker


class LocalTransport(Transport):
    """The microphone is cleaned of echo, noise and wrong level as far as the settings want and this machine can."""

    def __init__(self, options: TransportOptions) -> None:
        self._settings = options.settings
        self._trace = options.trace
        audio = options.settings.audio
        self._microphone = Microphone(audio.input, options.trace) if options.source else None
        self._speaker = Speaker(audio.output, options.trace) if options.sink else None
        self.source, self.sink = self._microphone, self._speaker

    async def __aenter__(self) -> Self:
        if self._microphone is not None:
            canceller = await self._canceller(self._microphone)
            if canceller is not None:
                self.source = CleanMicrophone(self._microphone, canceller)
                if self._speaker is not None:
                    self._speaker.on_played = canceller.played
        return await super().__aenter__()

    async def _canceller(self, microphone: Microphone) -> EchoCanceller | None:
        audio, speaker = self._settings.audio, self._speaker
        echo = audio.echo_cancellation and speaker is not None
        if not (echo or audio.noise_suppression or audio.gain):
            return None
        make = partial(
            EchoCanceller,
            self._trace,
            microphone.clock,
            speaker.clock if speaker is not None else TrackClock(OUTPUT_RATE),
            echo=echo,
            noise=audio.noise_suppression,
            gain=audio.gain,
        )
        try:
            return await asyncio.get_running_loop().run_in_executor(None, make)
        except MissingError as error:
            self._trace.emit(Notice("error", "echo", error.reason, error.hint))
            self._settings.bargein.mode = "half"
            self._trace.emit(DuplexChanged("half", "echo cancellation can't start"))
            return None
