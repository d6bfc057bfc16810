"""Putting a session's stages together: from names in the settings to things that work."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from workbench.audio.microphone import Microphone
from workbench.audio.nobody import Nobody
from workbench.audio.speaker import Speaker
from workbench.audio.wav import ClockSink, WavSink, WavSource
from workbench.config import Settings
from workbench.engine.floor import EchoOf
from workbench.engine.flow import Calls
from workbench.engine.pipeline import Stages
from workbench.engine.reply import NoTools, Voices
from workbench.engine.speakable import speakable
from workbench.engine.stages import Llm, Sink, Source, Stt, Tts, TurnDetector, Vad
from workbench.model.errors import StageError
from workbench.model.events import Entry, ProviderWarmed, Stage
from workbench.model.text import plain
from workbench.plugin.hookspecs import ProviderStage
from workbench.plugin.manager import find
from workbench.trace.bus import Trace

if TYPE_CHECKING:
    from workbench.agent import Agent

NONE = "none"
"""What is left out: a source in which nobody speaks (typed text only), no STT, no TTS (text only), a sink that nobody
hears."""


class Model(Protocol):
    """What all model stages share."""

    name: str

    async def __aenter__(self) -> Any: ...
    async def __aexit__(self, *error: object) -> None: ...
    async def warm(self) -> None: ...


class Assembly:
    """Builds the stages of one session, entered on its `stack`, and replaces them while it runs."""

    def __init__(self, settings: Settings, agent: Agent, trace: Trace, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._agent = agent
        self._trace = trace
        self._stack = stack
        self._models: dict[Stage, Model] = {}
        self._onboard: dict[str, bool] = {}
        self._stages: Stages | None = None
        self.echo_of: EchoOf | None = None

    async def build(self) -> Stages:
        """All of them, entered. UsageError for a name that is not there, MissingError for what is missing."""
        settings, limits = self._settings, self._settings.limits
        stt = cast(Stt | None, await self._model("stt", settings.stt.provider))
        llm = cast(Llm, await self._model("llm", settings.llm.provider))
        tts = cast(Tts | None, await self._model("tts", settings.tts.provider))
        source, sink = await self._ends()
        voices = Voices(
            llm,
            Calls("llm", llm.name, limits, self._trace),
            tts,
            Calls("tts", tts.name, limits, self._trace) if tts else None,
            NoTools(),
            self._agent.speakable or speakable,
        )
        self._stages = Stages(
            source,
            sink,
            cast(Vad, await self._make("vad", settings.vad.provider)),
            cast(TurnDetector, await self._make("turn", settings.turn.provider)),
            stt,
            Calls("stt", stt.name, limits, self._trace) if stt else None,
            voices,
            all(self._onboard.values()),
            spare_sink=ClockSink(self._trace),
        )
        return self._stages

    async def warm(self) -> None:
        """Make every model's first call before the first turn; one that fails leaves the turn cold."""
        async with asyncio.TaskGroup() as tasks:
            for stage, model in self._models.items():
                tasks.create_task(self._warm(stage, model))

    async def swap(self, stage: str, choice: str, stages: Stages) -> None:
        """Replace a model; the one before stays open until the session ends, somebody may be in the middle of it."""
        limits = self._settings.limits
        model = await self._model(cast(Any, stage), choice)
        if model is not None:
            await self._warm(cast(Stage, stage), model)
        calls = Calls(cast(Stage, stage), model.name, limits, self._trace) if model else None
        if stage == "stt":
            stages.stt, stages.stt_calls = cast(Stt | None, model), calls
        elif stage == "llm" and model is not None and calls is not None:
            stages.voices.llm, stages.voices.llm_calls = cast(Llm, model), calls
        elif stage == "tts":
            stages.voices.tts, stages.voices.tts_calls = cast(Tts | None, model), calls
        stages.speculate = all(self._onboard.values())

    # --- models ------------------------------------------------------------------------------------------------------

    async def _model(self, stage: ProviderStage, choice: str) -> Model | None:
        if choice == NONE and stage != "llm":
            return None
        model = cast(Model, await self._stack.enter_async_context(await self._make(stage, choice)))
        self._models[cast(Stage, stage)] = model
        return model

    async def _make(self, stage: ProviderStage, choice: str) -> Any:
        """Make a provider, on a thread: what it imports may take half a second."""
        provider, model = find(stage, choice)
        if stage in ("stt", "llm", "tts"):
            self._onboard[stage] = provider.onboard
        options = self._settings.options(stage, model, self._agent.language)
        return await asyncio.get_running_loop().run_in_executor(None, provider.make, options)

    async def _warm(self, stage: Stage, model: Model) -> None:
        began = self._trace.now()
        calls = Calls(stage, model.name, self._settings.limits, self._trace)
        error: str | None = None
        try:
            await calls.guard(model.warm, self._settings.limits.warm_ms)
        except StageError as failed:
            error = plain(str(failed), limit=300)
            if self._stages is not None:
                self._stages.cold = True
        self._trace.emit(ProviderWarmed(stage, model.name, round(self._trace.now() - began, 1), error))

    # --- source and sink ---------------------------------------------------------------------------------------------

    async def _ends(self) -> tuple[Source, Sink]:
        """The source and the sink. MissingError without PortAudio or a device."""
        audio, trace = self._settings.audio, self._trace
        sink: Sink
        source: Source
        if audio.sink == NONE:
            sink = ClockSink(trace)
        elif audio.sink == "speaker":
            sink = Speaker(audio.output, trace)
        else:
            sink = WavSink(Path(audio.sink), trace)
        if audio.source == NONE:
            source = Nobody(trace)
        elif audio.source == "mic":
            source = Microphone(audio.input, trace)
        else:
            source = WavSource(Path(audio.source), trace)
        return await self._stack.enter_async_context(source), await self._stack.enter_async_context(sink)

    def mind_echo(self, entry: Entry) -> None:
        """A reader: echo that is not under control."""
