"""A session and its verbs: one way in for production and tests.

    with open_session(settings, agent=agent) as session:         # runs in a thread of its own
        session.type("Hello")
        session.wait()

    async with open_session(settings, agent=agent) as session:   # runs on this loop
        await session.ended()

Front ends read `session.trace` and call the verbs; verbs may be called from any thread and return at once. When the
session is over they raise UsageError, but `stop` and `interrupt`: there is nothing left to end or cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.agent import Agent
from workbench.config import Settings, load_settings
from workbench.config.settings import MODEL_STAGES, SECRET, chain_of
from workbench.config.validation import change
from workbench.engine.pipeline import Pipeline
from workbench.engine.stages import Tracks
from workbench.engine.tasks import beside
from workbench.model.clock import running_loop
from workbench.model.conversation import Conversation
from workbench.model.errors import UsageError, WorkbenchError
from workbench.model.events import (
    Bookmarked,
    Entry,
    ListeningStarted,
    Muted,
    Notice,
    SettingChanged,
    Swapped,
    TurnDecided,
    TurnEnded,
)
from workbench.model.text import plain
from workbench.plugin.manager import load_files, manager, plugin_notices
from workbench.plugin.session_hooks import SessionHooks
from workbench.readers import Readers
from workbench.readers.recorder import Recorder
from workbench.readers.timeline import Turn
from workbench.session.boundary import Boundary
from workbench.session.build import StageBuilder
from workbench.session.chain import check_chain
from workbench.session.monitors import EchoMonitor, measure_host_lag
from workbench.session.recording import begin_trace, discard_folder, open_tracks
from workbench.session.recording_boundary import RecordingBoundary
from workbench.session.runtime import Runtime
from workbench.tools.invocation import ToolEnvironment
from workbench.tools.registry import Toolbox
from workbench.tools.toolset import Toolset, open_toolset, tools_of
from workbench.trace.cassette import CassetteLog
from workbench.trace.store import SessionFolder
from workbench.transports.base import TransportFactory
from workbench.transports.echo import echo_detector
from workbench.views.html import session_html
from workbench.views.trace import Turns

if TYPE_CHECKING:
    from workbench.transports.livekit.transport import RoomTransport

INSTRUCTIONS = "You are a friendly assistant. Keep answers short."
"""Of the agent that answers where no agent file is given."""
FIXED = ("profile", "models_path", "script", "plugins", "mcp", "audio", "record", "room")
"""Settings that are read when a session opens."""


def open_session(
    settings: Settings | None = None, *, agent: Agent | None = None, transport: TransportFactory | None = None
) -> Session:
    """Return a session, to be entered with `with` or `async with`; `settings` default to `load_settings()`.

    `transport` makes a transport of the caller's own, in place of what `audio.source` and `audio.sink` name.

    Nothing is opened before it is entered, but plugins of the settings are loaded: UsageError for one that is broken.
    What is wrong or missing later (a provider, a file, a device, weights, a key) ends the session: `session.error` says
    so, and `ended` and `wait` raise it.
    """
    settings = settings or load_settings({}, agent=agent)
    manager()  # the first time in a process, plugins are imported: before anything runs that this could hold up
    load_files(settings.plugins)
    return Session(settings, agent or Agent(instructions=INSTRUCTIONS, name="default"), transport)


class Session(Runtime):
    """One running conversation: a transport, an agent, a trace."""

    def __init__(
        self,
        settings: Settings,
        agent: Agent,
        transport: TransportFactory | None = None,
        boundary: Boundary | None = None,
    ) -> None:
        """`boundary` is what lies between it and the world: by default nothing, or what records it."""
        self._boundary = boundary or Boundary()
        super().__init__(self._boundary.trace)
        self._own_transport = transport
        self.settings = settings.model_copy(deep=True)
        """This session's own; change them with `set`."""
        self.agent = agent
        self.recording: Path | None = None
        """The session folder."""
        self.conversation = Conversation(agent.instructions)
        self._first_tools = tools_of(agent)
        self.tools = Toolbox(self.trace, self._call_tool, self._first_tools)
        """Add, remove, mock and call tools."""
        self._toolset: Toolset | None = None
        self._builder: StageBuilder | None = None
        self._pipeline: Pipeline | None = None
        self._waiting: list[Callable[[Pipeline], object]] = []
        """Verbs that were called before there was a pipeline."""

    # --- verbs -------------------------------------------------------------------------------------------------------

    def mute(self, on: bool = True) -> None:
        """Take in nothing from the microphone, and record nothing of it."""
        self._check_running()

        self._boundary.verb("mute", on=on)

        def mute(pipeline: Pipeline) -> None:
            pipeline.muted = on
            self.trace.emit(Muted(on))

        self._do(mute)

    def say(self, text: str) -> None:
        """Let the agent speak."""
        _check_text(text, "say")
        self._check_running()
        self._boundary.verb("say", text=text)
        self._do(lambda pipeline: pipeline.say(text))

    def type(self, text: str) -> None:
        """Let the user type: a turn like a spoken one."""
        _check_text(text, "type")
        self._check_running()
        if text.strip():
            self._boundary.verb("type", text=text)
            self._do(lambda pipeline: pipeline.type(text))

    def ask(self, text: str) -> Turn:
        """Let the user type `text`, and return the turn when it has ended.

        That takes as long as the answer is spoken, or written without TTS (`tts.provider` = `none`). UsageError where
        the session does not run, and on the thread that it runs on (`await aask` there).
        """
        if self._loop is not None and running_loop() is self._loop:
            raise UsageError(
                "this thread runs the session and cannot wait for it", "write `await session.aask(…)`"
            )
        answer = self._ask(text)
        while not wait([answer], timeout=1.0).done:
            if self._loop is None or self._loop.is_closed():
                raise _unanswered()
        return answer.result()

    async def aask(self, text: str) -> Turn:
        """Do the same as `ask` for coroutines, on any loop. A cancellation ends the wait; the turn goes on."""
        return await asyncio.wrap_future(self._ask(text))

    @property
    def turns(self) -> Turns:
        """The turns that have ended until now, the last 1,000."""
        return self.trace.turns

    def interrupt(self) -> None:
        """Cut the reply."""
        self._boundary.verb("interrupt")
        self._do(lambda pipeline: pipeline.interrupt())

    def spoken(self) -> tuple[int, str] | None:
        """Return the number of the reply that plays, and the text played so far; None while none plays."""
        return self._pipeline.spoken() if self._pipeline is not None else None

    @property
    def room(self) -> RoomTransport | None:
        """The LiveKit room that the session is in, to call its participants and send to them; None outside of one."""
        room: RoomTransport | None = self._builder.transport.room if self._builder is not None else None
        return room

    def bookmark(self, label: str = "") -> None:
        """Mark this moment in the trace."""
        _check_text(label, "bookmark")
        self._check_running()
        self._boundary.verb("bookmark", label=label)
        self.trace.emit(Bookmarked(plain(label, limit=200)))

    def set(self, name: str = "", value: Any = None, **named: Any) -> None:
        """Change settings while running: `set("turn.silence_ms", 300)` or `set(turn_silence_ms=300)`.

        UsageError for a name or value that cannot be, and for what is fixed when a session opens.
        """
        _check_text(name, "set")
        self._check_running()
        changes = {name: value} if name else {}
        changes |= {key.replace("_", ".", 1): item for key, item in named.items()}
        for key, item in changes.items():
            if key.split(".")[0] in FIXED or key.endswith(".provider"):
                raise UsageError(f"{key} is fixed while a session runs", "`swap` replaces a provider")
            change(self.settings, key, item)
            shown = "set" if key.endswith(SECRET) else item
            self._boundary.verb("set", name=key, value=shown)
            self.trace.emit(SettingChanged(key, shown))
            if key == "bargein.mode":
                self._do(lambda pipeline: pipeline.barge_in.choose_duplex())

    def swap(self, **replacements: Any) -> None:
        """Replace a provider (`swap(llm="openai/…")`, or a list of them) or the agent (`swap(agent=…)`) from the next
        reply on.

        UsageError for anything else, and then nothing is replaced. A provider that does not start, or lacks its key or
        weights, is a `notice` in the trace, and the one before goes on.
        """
        self._check_running()
        for stage, choice in replacements.items():
            if stage not in ("agent", *MODEL_STAGES):
                raise UsageError(f"{stage} cannot be swapped", f"these can: {', '.join(MODEL_STAGES)}, agent")
            if stage == "agent" and not isinstance(choice, Agent):
                raise UsageError(f"no Agent but {type(choice).__name__}", "write swap(agent=Agent(…))")
            items = chain_of(choice) if stage != "agent" else ()
            if stage != "agent" and not (items and all(self._boundary.knows(stage, item) for item in items)):
                check_chain(stage, choice, self.settings)
        if replacements:
            self._boundary.verb("swap", **replacements)
            self._do(lambda pipeline: self._spawn(self._swap_all(replacements)))

    # --- lifetime ----------------------------------------------------------------------------------------------------

    def _open(self) -> Coroutine[Any, Any, None]:
        folder = begin_trace(self.settings, self.agent.name or "agent", self.trace)
        self.recording = folder.path if folder else None
        log = None
        if folder is not None:
            log = CassetteLog(self._now_s, lambda: self.trace.end, self._origin)
            self._boundary = RecordingBoundary(self._boundary, log, self.settings)
        return self._live(folder, log)

    async def _live(self, folder: SessionFolder | None, log: CassetteLog | None) -> None:
        """Run from the first event to the last, with the recorder and the plugins beside."""
        hooks = SessionHooks(manager(), self.trace, self.settings.limits)
        tracks = open_tracks(
            self.settings,
            self.trace,
            recorded=folder is not None,
            own_transport=self._own_transport is not None,
            hears_raw=self._boundary.hears_raw,
        )
        recorder = Recorder(self.trace, folder, log).run() if folder else _nothing()
        observers = _nothing() if self._boundary.plays else hooks.run(self)
        try:
            async with beside(recorder), beside(observers):
                await self._until_over(self._talk(tracks, hooks))
        finally:
            if folder and self._pipeline is None and isinstance(self.error, UsageError):
                self.recording = None  # bad input was all there was
                discard_folder(folder.path)
            self._complete.set()

    def _note_stop(self, reason: str) -> None:
        self._boundary.verb("stop", reason=reason)

    async def _talk(self, tracks: Tracks, hooks: SessionHooks) -> None:
        """Put the parts together, and talk until the source has ended."""
        settings, boundary = self.settings, self._boundary
        outside = boundary.begin(self.trace, self._origin)
        boundary.use_agent(self.agent)
        notices = await asyncio.get_running_loop().run_in_executor(None, plugin_notices)
        for level, reason, hint in () if boundary.plays else notices:
            outside.emit(Notice(level, "plugins", reason, hint))
        async with AsyncExitStack() as stack:
            self._toolset = toolset = await stack.enter_async_context(self._open_tools())
            await toolset.use_agent(self.agent)
            self._builder = builder = StageBuilder(
                settings,
                self.agent,
                self.trace,
                toolset.runner,
                boundary.hooks(hooks),
                stack,
                self._own_transport,
                boundary,
                outside,
            )
            stages = await builder.build()
            transport = builder.transport
            for tool, origin in transport.tools:
                self.tools.add(tool, origin=origin)
            echo = EchoMonitor(settings.bargein, self._go_half_duplex)
            readers = Readers(self.trace, [echo, self._note_turn, transport.note])
            self._pipeline = pipeline = Pipeline(
                stages,
                settings,
                self.trace,
                tracks,
                self.conversation,
                on_silence=self.agent.on_silence,
                echo_of=echo_detector(tracks, stages),
            )
            host = _nothing() if boundary.plays else measure_host_lag(outside)
            own_work = transport.run(self)
            async with beside(readers.run()), beside(host), beside(own_work):
                await builder.warm()
                self.trace.emit(ListeningStarted())
                async with beside(builder.warm_fallbacks()):
                    await pipeline.run(greeting=self.agent.greeting, first=self._waiting)

    def _open_tools(self) -> AbstractAsyncContextManager[Toolset]:
        """Return the tools, to be entered; in a rerun there are none but those of the recording."""
        boundary = self._boundary
        boundary.open_tools(self.tools)
        environment = ToolEnvironment(
            self, lambda: self.agent.data, lambda: self.conversation.messages, self.say, boundary=boundary
        )
        parts = self.tools, self.trace, self.settings, environment, self._first_tools
        return open_toolset(*parts, shared=not boundary.plays)

    def _go_half_duplex(self, reason: str) -> None:
        assert self._pipeline is not None
        self._pipeline.barge_in.half_duplex(reason)

    def _note_turn(self, entry: Entry) -> None:
        """Read each turn while its events are in memory, so that `turns` has it for good."""
        if isinstance(entry.event, TurnEnded):
            self.trace.catch_up()

    def _call_tool(self, name: str, arguments: str) -> None:
        """Run a tool for the developer, on the session's loop."""
        self._check_running()
        self._boundary.verb("call_tool", name=name, arguments=arguments)

        async def call() -> None:
            if self._toolset is not None:
                await self._toolset.runner.perform(name, arguments)

        self._do(lambda pipeline: self._spawn(call()))

    # --- what the verbs do -------------------------------------------------------------------------------------------

    async def _swap_all(self, replacements: dict[str, Any]) -> None:
        """Swap the agent first: a model that it names and that then does not start is taken back from it."""
        before = self.agent
        if "agent" in replacements:
            await self._swap("agent", replacements.pop("agent"), before)
        for stage, choice in replacements.items():
            self._spawn(self._swap(stage, choice, before))

    async def _swap(self, stage: str, choice: Any, before: Agent) -> None:
        assert self._builder is not None
        assert self._toolset is not None
        assert self._pipeline is not None
        try:
            name = await replace_part(stage, choice, self._builder, self._toolset, self._pipeline)
        except WorkbenchError as error:
            self.trace.emit(Notice("error", stage, error.reason, error.hint))
            if stage != "agent" and getattr(self.agent, stage) == choice:
                self.agent = replace(self.agent, **{stage: getattr(before, stage)})
        else:
            self.trace.emit(Swapped(stage, name))
            if stage == "agent":
                self.agent = choice  # last: a thread that sees the new agent finds its event in the trace

    def _ask(self, text: str) -> Future[Turn]:
        _check_text(text, "ask")
        if not text.strip():
            raise UsageError("nothing was asked", "give the words that the user types")
        if self._loop is None:
            raise UsageError("the session has not been entered", "write `with session:` around it")
        if self.over:
            raise self.error or _unanswered()
        answer: Future[Turn] = Future()
        answer.set_running_or_notify_cancel()  # a wait that is cancelled does not take back the question
        self._boundary.verb("type", text=text)
        self._call(lambda: self._spawn(self._answer(text, answer)))
        return answer

    async def _answer(self, text: str, answer: Future[Turn]) -> None:
        """Type `text`, and set the turn that it becomes."""
        utterances, number = list[int](), None
        index = self.trace.end
        self._do(lambda pipeline: utterances.append(pipeline.type(text)))
        async for entry in self.trace.follow(index):
            match entry.event:
                case TurnDecided(turn=turn, utterance=utterance) if utterance in utterances:
                    number = turn
                case TurnEnded(turn=turn) if turn == number:
                    return answer.set_result(self.trace.turn(turn))
                case _:
                    pass
        answer.set_exception(self.error or _unanswered())

    def _check_running(self) -> None:
        if self.over:
            raise UsageError("the session is over", "open another one with open_session")

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return session_html(self.trace.title(), self.over, self.turns._repr_html_())

    def _do(self, verb: Callable[[Pipeline], object]) -> None:
        """Call a verb with the pipeline, on the loop, as soon as it talks."""

        def now() -> None:
            if self._pipeline is None or not self._pipeline.talking:
                self._waiting.append(verb)
            else:
                verb(self._pipeline)

        if self._loop is None:
            self._waiting.append(verb)
        self._call(now)


async def replace_part(
    stage: str, choice: Any, builder: StageBuilder, toolset: Toolset, pipeline: Pipeline
) -> str:
    """Replace a provider or the agent from the next reply on; return what the trace calls the new one."""
    if stage != "agent":
        await builder.swap(stage, choice, pipeline.stages)
        return ", ".join(chain_of(choice))
    await toolset.use_agent(choice)
    pipeline.conversation.instruct(choice.instructions)
    pipeline.on_silence = choice.on_silence
    builder.use_agent(choice, pipeline.stages)
    return choice.name or "agent"


def _check_text(text: object, verb: str) -> None:
    if not isinstance(text, str):
        raise UsageError(f"{type(text).__name__} is no text", f'write {verb}("…")')


def _unanswered() -> UsageError:
    return UsageError("the session ended before there was an answer", "open another one with open_session")


async def _nothing() -> None:
    """Stand in for a recorder."""
