"""The stages of a session, built from the names in its settings, and replaced while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from workbench.config import Settings
from workbench.config.models import find_model, server_of
from workbench.config.settings import NONE, chain_of
from workbench.engine.guard import Guard
from workbench.engine.guarded import Guarded, GuardedLlm, GuardedStt, GuardedTts
from workbench.engine.hooks import Hooks
from workbench.engine.interfaces import TurnDetector, Vad
from workbench.engine.reply import ToolRunner
from workbench.engine.stages import Stages
from workbench.engine.tasks import within
from workbench.model.errors import MissingError, StageError
from workbench.model.events import Notice, ProviderWarmed, Stage
from workbench.model.price import FREE, UNKNOWN, Price
from workbench.model.text import plain
from workbench.plugin.manager import find_provider
from workbench.plugin.values import Provider, ProviderOptions, ProviderStage
from workbench.session.boundary import Boundary, BuiltProvider
from workbench.session.chain import check_chain
from workbench.text.languages import AUTO
from workbench.text.speakable import speakable
from workbench.trace.trace import Trace
from workbench.transports.base import Transport, TransportFactory, TransportOptions, make_transport
from workbench.transports.paced import PacedSink

if TYPE_CHECKING:
    from workbench.agent import Agent

GUARDED: dict[str, type[Guarded[Any]]] = {"stt": GuardedStt, "llm": GuardedLlm, "tts": GuardedTts}


class StageBuilder:
    """Builds the stages of one session, entered on its `stack`, and replaces them while it runs."""

    def __init__(
        self,
        settings: Settings,
        agent: Agent,
        trace: Trace,
        tools: ToolRunner,
        hooks: Hooks,
        stack: AsyncExitStack,
        own: TransportFactory | None = None,
        boundary: Boundary | None = None,
        outside: Trace | None = None,
    ) -> None:
        """`own` makes the caller's own transport, in place of those that the settings name. `outside` is the trace as
        providers and transports write to it."""
        self._own = own
        self._boundary = boundary or Boundary()
        self._outside = outside or trace
        self._tools = tools
        self._hooks = hooks
        self._settings = settings
        self._agent = agent
        self._trace = trace
        self._stack = stack
        self._models: dict[str, Guarded[Any]] = {}
        self._onboard: dict[str, bool] = {}
        self._prices: dict[tuple[str, str], Price] = {}
        self._stages: Stages | None = None
        self.transport = Transport()
        """The session's; until `build` one without source and sink."""

    async def build(self) -> Stages:
        """Return all stages, entered. UsageError for a name that is not there, MissingError for what is missing."""
        settings = self._settings
        stt = await self._model("stt", settings.chain("stt"))
        llm = await self._model("llm", settings.chain("llm"))
        tts = await self._model("tts", settings.chain("tts"))
        self.transport = await self._enter_transport()
        assert self.transport.source is not None
        assert self.transport.sink is not None
        boundary = self._boundary
        stages = self._stages = Stages(
            boundary.source(self.transport.source),
            boundary.sink(self.transport.sink),
            cast(Vad, await self._make("vad", settings.vad.provider)),
            await self._turn_detector(settings.turn.provider),
            cast(GuardedStt | None, stt),
            cast(GuardedLlm, llm),
            cast(GuardedTts | None, tts),
            self._tools,
            self._speakable(self._language),
            self._onboard_stages(),
            fallback_sink=partial(PacedSink, self._trace),
            language=self._language,
            detects_language=settings.language == AUTO,
            speakable_in=self._speakable,
            hooks=self._hooks,
            vision=boundary.vision(self.transport.vision),
            prices=self._prices,
        )
        return stages

    def use_agent(self, agent: Agent, stages: Stages) -> None:
        """Speak as another agent does, from the next reply on."""
        self._agent = agent
        stages.use_language(self._language)

    async def warm(self) -> None:
        """Make the first call of every model that is asked first; one that fails leaves the turn cold."""
        async with asyncio.TaskGroup() as tasks:
            for model in self._models.values():
                tasks.create_task(self._warm(model, model.guards[:1]))
            if self._stages is not None and self._stages.turn.assesses:
                warm = partial(self._warm_turn, self._stages.turn)
                tasks.create_task(self._call_first("turn", self._settings.turn.provider, warm))
        if self._stages is not None:
            self._stages.started_anew()  # these starts are paid for

    async def warm_fallbacks(self) -> None:
        """Make the first call of the others, one after the other: the conversation has begun."""
        for model in list(self._models.values()):
            await self._warm(model, model.guards[1:])

    async def swap(self, stage: str, choice: Any, stages: Stages) -> None:
        """Replace a model; the one before stays open until the session ends: a call of it may still run."""
        model = await self._model(cast(Any, stage), chain_of(choice))
        if model is not None:
            await self._warm(model, model.guards)
        setattr(stages, stage, model)
        stages.onboard = self._onboard_stages()
        stages.started_anew()

    async def _enter_transport(self) -> Transport:
        options = TransportOptions(
            self._settings,
            self._outside,
            self._agent.name or "agent",
            sees=lambda: self._stages is not None and self._stages.llm.provider.sees,
        )
        loop = asyncio.get_running_loop()  # making one may import for half a second
        transport = await loop.run_in_executor(None, make_transport, options, self._own)
        return await self._stack.enter_async_context(transport)

    # --- models ------------------------------------------------------------------------------------------------------

    async def _model(self, stage: ProviderStage, chain: Sequence[str]) -> Guarded[Any] | None:
        """Make a chain, without those that lack a key or weights; of those there is a notice, unless nobody is left."""
        if not all(self._boundary.knows(stage, item) for item in chain):
            check_chain(stage, chain, self._settings)
        if tuple(chain) == (NONE,):
            return None
        before, self._onboard[stage] = self._onboard.get(stage, False), True
        present: dict[str, Any] = {}
        absent: list[MissingError] = []
        for item in chain:
            try:
                provider = await self._stack.enter_async_context(await self._make(stage, item))
            except MissingError as error:
                absent.append(error)
            else:
                present[item if len(chain) > 1 or item in self._settings.providers else provider.name] = (
                    provider
                )
        if not present:
            self._onboard[stage] = before  # of the chain that goes on
            raise absent[0]
        for missing in absent:
            reason = f"{missing.reason}: {stage} goes on without it, with {', '.join(present)}"
            self._trace.emit(Notice("warning", stage, reason, missing.hint))
        self._models[stage] = model = GUARDED[stage](present, self._settings, self._trace)
        return model

    async def _turn_detector(self, choice: str) -> TurnDetector:
        detector: TurnDetector = await self._stack.enter_async_context(await self._make("turn", choice))
        return detector

    @property
    def _language(self) -> str:
        """The language to begin with: that of the settings, else the agent's."""
        language = self._settings.language
        return self._agent.language if language in ("", AUTO) else language

    def _onboard_stages(self) -> frozenset[str]:
        return frozenset(stage for stage, onboard in self._onboard.items() if onboard)

    async def _make(self, stage: ProviderStage, item: str) -> Any:
        """Make a provider; what it costs and where it runs is noted."""
        made = await self._boundary.make(stage, item, partial(self._make_real, stage, item))
        if stage in ("stt", "llm", "tts"):
            self._onboard[stage] = self._onboard[stage] and made.onboard
            self._prices[stage, item] = self._prices[stage, made.provider.name] = made.price
        return made.provider

    async def _make_real(self, stage: ProviderStage, item: str) -> BuiltProvider:
        """Make it on a thread: what it imports may take half a second."""
        return await make_provider(
            self._settings, stage, item, self._agent.language, partial(self._note, stage)
        )

    def _note(self, stage: ProviderStage, reason: str, hint: str) -> None:
        """Put into the trace what a provider found out about its server."""
        self._outside.emit(Notice("warning", stage, reason, hint))

    def _speakable(self, language: str) -> Callable[[str], str]:
        """Return what makes the agent's text speakable: its own function, else ours in that language."""
        own = self._agent.speakable
        return self._boundary.speakable(own) if own else partial(speakable, language=language)

    async def _warm(self, model: Guarded[Any], guards: Sequence[Guard[Any]]) -> None:
        for guard in guards:
            failure = await self._call_first(model.stage, guard.name, guard.warm, guard is model.guards[0])
            model.warmed(guard.name, failure)

    async def _call_first(
        self, stage: Stage, name: str, warm: Callable[[], Awaitable[None]], asked_first: bool = True
    ) -> StageError | None:
        """Make a model's first call; return its failure. That of one that is asked first leaves the turn cold."""
        began = self._trace.now()
        failure: StageError | None = None
        try:
            await warm()
        except StageError as failed:
            failure = failed
            if self._stages is not None and asked_first:
                self._stages.cold = True
        error = plain(str(failure), limit=300) if failure else None
        self._trace.emit(ProviderWarmed(stage, name, round(self._trace.now() - began, 1), error))
        return failure

    async def _warm_turn(self, detector: TurnDetector) -> None:
        """Load the turn detector's model."""
        deadline_ms = self._settings.limits.warm_ms
        await within("the turn detector", "turn", detector.warm, deadline_ms)


async def make_provider(
    settings: Settings, stage: ProviderStage, item: str, language: str, note: Callable[[str, str], None]
) -> BuiltProvider:
    """Return an item of a stage's chain, made on a thread. UsageError for a name that is not there, MissingError for
    what is missing."""
    provider, model = find_provider(stage, settings.choice(item))
    options = settings.options(stage, model, settings.language or language, item)
    options = replace(options, notice=note)
    made = await asyncio.get_running_loop().run_in_executor(None, provider.make, options)
    return BuiltProvider(made, provider.onboard, _price(settings, provider, options))


def _price(settings: Settings, provider: Provider, options: ProviderOptions) -> Price:
    """Return what a call costs: nothing on board, else what the tables say of the model at its server."""
    if provider.onboard:
        return FREE
    server = server_of(options.base_url) if provider.name == "openai" else provider.name
    facts = find_model(server, options.model, settings.prices)
    return facts.price if facts else UNKNOWN
