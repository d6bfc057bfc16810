"""Putting a session's stages together: from names in the settings to things that work."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from workbench.config import Settings
from workbench.engine.floor import EchoOf
from workbench.engine.guarded import Guarded, GuardedLlm, GuardedStt, GuardedTts
from workbench.engine.hooks import Hooks
from workbench.engine.interfaces import Sink, Source, TurnDetector, Vad
from workbench.engine.pipeline import Stages, Tracks
from workbench.engine.reply import ToolRunner
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.errors import MissingError, StageError, UsageError
from workbench.model.events import DuplexChanged, Notice, ProviderWarmed
from workbench.model.text import plain
from workbench.plugin.hookspecs import ProviderStage
from workbench.plugin.manager import find
from workbench.text.speakable import speakable
from workbench.trace.trace import Trace
from workbench.transports.browser.audio import BrowserMicrophone, BrowserSpeaker
from workbench.transports.browser.duplex import PageDuplex
from workbench.transports.browser.page import PageLink
from workbench.transports.clockfit import TrackClock
from workbench.transports.file.audio import ClockSink, WavSink, WavSource
from workbench.transports.local.echo_canceller import CleanMicrophone, EchoCanceller
from workbench.transports.local.echo_state import echo_correlation
from workbench.transports.local.microphone import Microphone
from workbench.transports.local.speaker import Played, Speaker
from workbench.transports.null import Nobody

if TYPE_CHECKING:
    from workbench.agent import Agent
    from workbench.transports.livekit.ends import RoomEnds

NONE = "none"
"""What is left out: a source in which nobody speaks (typed text only), no STT, no TTS (text only), a sink that nobody
hears."""
BROWSER = "browser"
"""A page's microphone or speaker: what a front end with a page gives the session a `PageLink` for."""

ROOM = "room"
"""A LiveKit room, as source and sink."""
GUARDED: dict[str, type[Guarded[Any]]] = {"stt": GuardedStt, "llm": GuardedLlm, "tts": GuardedTts}
LAG = OUTPUT_RATE * 3 // 10
"""How late an echo may come back, samples of `agent`: 300 ms."""


class Assembly:
    """Builds the stages of one session, entered on its `stack`, and replaces them while it runs."""

    def __init__(
        self,
        settings: Settings,
        agent: Agent,
        trace: Trace,
        tools: ToolRunner,
        hooks: Hooks,
        stack: AsyncExitStack,
        page: PageLink | None = None,
    ) -> None:
        self._page = page
        self._tools = tools
        self._hooks = hooks
        self._settings = settings
        self._agent = agent
        self._trace = trace
        self._stack = stack
        self._models: dict[str, Guarded[Any]] = {}
        self._onboard: dict[str, bool] = {}
        self._stages: Stages | None = None
        self._played: Played = nothing_played
        self.room: RoomEnds | None = None
        """The room that the session is in."""

    async def build(self) -> Stages:
        """All of them, entered. UsageError for a name that is not there, MissingError for what is missing."""
        settings = self._settings
        stt = await self._model("stt", settings.stt.provider)
        llm = await self._model("llm", settings.llm.provider)
        tts = await self._model("tts", settings.tts.provider)
        source, sink = await self._ends()
        self._stages = stages = Stages(
            source,
            sink,
            cast(Vad, await self._make("vad", settings.vad.provider)),
            cast(TurnDetector, await self._make("turn", settings.turn.provider)),
            cast(GuardedStt | None, stt),
            cast(GuardedLlm, llm),
            cast(GuardedTts | None, tts),
            self._tools,
            self._agent.speakable or speakable,
            all(self._onboard.values()),
            fallback_sink=partial(ClockSink, self._trace),
            hooks=self._hooks,
        )
        if self.room is not None:
            stages.vision = self.room.eyes
            self.room.eyes.sees = lambda: stages.llm.sees
        return stages

    async def warm(self) -> None:
        """Make every model's first call before the first turn; one that fails leaves the turn cold."""
        async with asyncio.TaskGroup() as tasks:
            for model in self._models.values():
                tasks.create_task(self._warm(model))
        if self._stages is not None:
            self._stages.started_anew()  # these starts are paid for

    async def swap(self, stage: str, choice: str, stages: Stages) -> None:
        """Replace a model; the one before stays open until the session ends, somebody may be in the middle of it."""
        model = await self._model(cast(Any, stage), choice)
        if model is not None:
            await self._warm(model)
        setattr(stages, stage, model)
        stages.speculate = all(self._onboard.values())
        stages.started_anew()

    # --- models ------------------------------------------------------------------------------------------------------

    async def _model(self, stage: ProviderStage, choice: str) -> Guarded[Any] | None:
        if choice == NONE and stage != "llm":
            return None
        provider = await self._stack.enter_async_context(await self._make(stage, choice))
        self._models[stage] = model = GUARDED[stage](provider, self._settings, self._trace)
        return model

    async def _make(self, stage: ProviderStage, choice: str) -> Any:
        """Make a provider, on a thread: what it imports may take half a second."""
        provider, model = find(stage, choice)
        if stage in ("stt", "llm", "tts"):
            self._onboard[stage] = provider.onboard
        options = self._settings.options(stage, model, self._agent.language)
        return await asyncio.get_running_loop().run_in_executor(None, provider.make, options)

    async def _warm(self, model: Guarded[Any]) -> None:
        began = self._trace.now()
        error: str | None = None
        try:
            await model.warm()
        except StageError as failed:
            error = plain(str(failed), limit=300)
            if self._stages is not None:
                self._stages.cold = True
        self._trace.emit(ProviderWarmed(model.stage, model.name, round(self._trace.now() - began, 1), error))

    # --- source and sink ---------------------------------------------------------------------------------------------

    async def _ends(self) -> tuple[Source, Sink]:
        """The source and the sink. MissingError without PortAudio or a device, UsageError for a file."""
        audio, trace = self._settings.audio, self._trace
        if ROOM in (audio.source, audio.sink):
            return await self._room()
        if _same_file(audio.source, audio.sink):
            raise UsageError(
                f"{audio.sink}: the sink would overwrite the source", "give the sink another file"
            )
        sink: Sink
        source: Source
        microphone = Microphone(audio.input, trace) if audio.source == "mic" else None
        speaker: Speaker | None = None
        if audio.sink == "speaker":
            sink = speaker = Speaker(
                audio.output, trace, lambda samples, position: self._played(samples, position)
            )
        elif audio.sink == BROWSER:
            sink = BrowserSpeaker(self._the_page(), trace)
        else:
            sink = ClockSink(trace) if audio.sink == NONE else WavSink(Path(audio.sink), trace)
        if microphone is not None:
            source = await self._cleaned(microphone, speaker)
        elif audio.source == BROWSER:
            minded = audio.echo_cancellation and audio.sink in (BROWSER, "speaker")
            on_echo = PageDuplex(self._settings, trace).heard if minded else lambda cancelled: None
            source = BrowserMicrophone(self._the_page(), trace, on_echo)
        else:
            source = Nobody(trace) if audio.source == NONE else WavSource(Path(audio.source), trace)
        return await self._stack.enter_async_context(source), await self._stack.enter_async_context(sink)

    def _the_page(self) -> PageLink:
        if self._page is None:
            raise UsageError(
                "a browser's microphone and speaker are there in a notebook only",
                "write live(agent) in a cell; elsewhere use mic, speaker, a wav file or none",
            )
        return self._page

    async def _room(self) -> tuple[Source, Sink]:
        """Both ends in a LiveKit room. MissingError without a server or keys, UsageError where it refuses."""
        audio = self._settings.audio
        if audio.source != audio.sink:
            raise UsageError("a room is source and sink at once", "give --room NAME alone")
        from workbench.transports.livekit.ends import RoomEnds  # 0.4 s with the SDK

        ends = RoomEnds(
            self._settings.room,
            self._trace,
            agent=self._agent.name or "agent",
            noise_suppression=audio.noise_suppression,
        )
        self.room = await self._stack.enter_async_context(ends)
        return ends.source, ends.sink

    async def _cleaned(self, microphone: Microphone, speaker: Speaker | None) -> Source:
        """The microphone without echo, noise or wrong level, as far as the settings want and this machine can."""
        audio = self._settings.audio
        echo = audio.echo_cancellation and speaker is not None
        if not (echo or audio.noise_suppression or audio.gain):
            return microphone
        clock = speaker.clock if speaker is not None else TrackClock(OUTPUT_RATE)
        make = partial(
            EchoCanceller,
            self._trace,
            microphone.clock,
            clock,
            echo=echo,
            noise=audio.noise_suppression,
            gain=audio.gain,
        )
        try:
            canceller = await asyncio.get_running_loop().run_in_executor(None, make)
        except MissingError as error:
            self._trace.emit(Notice("error", "echo", error.reason, error.hint))
            self._settings.bargein.mode = "half"
            self._trace.emit(DuplexChanged("half", "echo cancellation can't start"))
            return microphone
        self._played = canceller.played
        return CleanMicrophone(microphone, canceller)


def must_be_there(stage: str, choice: str) -> None:
    """Raises UsageError for a model that no installed provider has. What else it needs shows when it is made."""
    if choice != NONE or stage == "llm":
        find(cast(ProviderStage, stage), choice)


def _same_file(source: str, sink: str) -> bool:
    try:
        return source not in ("mic", NONE, BROWSER) and Path(source).samefile(sink)
    except OSError:  # one of them is not there
        return False


def nothing_played(samples: Samples, position: int) -> None:
    """No echo is cancelled."""


def echo_of(tracks: Tracks, stages: Stages) -> EchoOf:
    """How much a stretch of `user` looks like what we played at that time, by what the session heard and played."""

    def correlation(start: int, stop: int) -> float:
        heard = tracks.mic if tracks.mic is not None else tracks.user
        end = tracks.agent.end
        ahead_s = stages.sink.time_of(end) - stages.source.time_of(stop)
        last = end - round(ahead_s * OUTPUT_RATE)
        length = (stop - start) * OUTPUT_RATE // INPUT_RATE
        played = tracks.agent.read(last - length - LAG, last)
        return echo_correlation(heard.read(start, stop), played) if played.any() else 0.0

    return correlation
