"""The one door for production and tests, and the one handle that front ends hold.

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
import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from workbench.agent import Agent
from workbench.config import Settings, load_settings
from workbench.config.check import change
from workbench.config.room import SECRET
from workbench.config.settings import MODEL_STAGES
from workbench.engine.pipeline import Pipeline, Tracks
from workbench.engine.tasks import beside, single
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.conversation import Conversation
from workbench.model.errors import InternalError, UsageError, WorkbenchError
from workbench.model.events import (
    Bookmarked,
    EchoState,
    Entry,
    HostLag,
    ListeningStarted,
    Muted,
    Notice,
    SessionEnded,
    SessionStarted,
    SettingChanged,
    Swapped,
    TurnDecided,
    TurnEnded,
)
from workbench.model.text import plain
from workbench.plugin.lifecycle import Lifecycle
from workbench.plugin.manager import load_files, manager, notes
from workbench.readers import Readers
from workbench.readers.acoustics import Ear
from workbench.readers.opened import OpenTrace, Turns
from workbench.readers.recorder import Recorder
from workbench.readers.timeline import Turn
from workbench.session.build import Assembly, echo_of, must_be_there
from workbench.tools.invocation import ToolEnvironment
from workbench.tools.registry import Toolbox
from workbench.tools.toolset import Toolset, open_toolset, tools_of
from workbench.trace.store import About, SessionFolder
from workbench.trace.track import LiveTrack
from workbench.transports.base import TransportFactory
from workbench.views.html import session_html

INSTRUCTIONS = "You are a friendly assistant. Keep answers short."
"""Of the agent that answers where no agent file is given."""
NATURAL_END = "source ended"
KEEP_S = 8.0
"""Sound of each track kept in memory for the recorder, which may lag behind, s."""
HEARD_S, PLAYED_S = 6.0, 2.0
"""Sound of `user` and of `agent` kept without a recorder: what readers look back, s."""
ECHOING = 4
"""Looks at the echo canceller (one each second in which we speak) that must find it wanting: it needs 2 s to settle."""
FIXED = ("profile", "models_path", "script", "plugins", "mcp", "audio", "record", "room")
"""Settings that are read when a session opens."""
TICK_S = 0.25
"""How often the loop's delay is measured, s."""
SWITCH_S = 0.001
"""How long a busy Python thread may keep the interpreter from the loop, s; Python's own default is 0.005."""
FULL_COLLECTION = 200
"""Collections of the middle generation between two of everything, which stop the loop for 100 ms where many sessions
run. A conversation leaves no cycles behind, so they find nothing; Python's own default is 10."""


def open_session(
    settings: Settings | None = None, *, agent: Agent | None = None, transport: TransportFactory | None = None
) -> Session:
    """A session, to be entered with `with` or `async with`; settings default to `workbench.config.load_settings()`.

    `transport` makes a transport of the caller's own, in place of what `audio.source` and `audio.sink` name.

    Nothing is opened before it is entered, but plugins of the settings are loaded. UsageError for one that is broken,
    and for a provider, file or setting that cannot be; what is missing (a device, weights, a key) ends the session:
    `session.error` says so, and `ended` and `wait` raise it.
    """
    settings = settings or load_settings({}, agent=agent)
    manager()  # the first time in a process, plugins are imported: before anything runs that they could hold up
    load_files(settings.plugins)
    return Session(settings, agent or Agent(instructions=INSTRUCTIONS, name="default"), transport)


class Session:
    """One running conversation: a source, a sink, an agent, a trace."""

    def __init__(self, settings: Settings, agent: Agent, transport: TransportFactory | None = None) -> None:
        self._own_transport = transport
        self.settings = settings.model_copy(deep=True)
        """This session's own; change them with `set`."""
        self.agent = agent
        self.error: WorkbenchError | None = None
        """Why it failed, if it did."""
        self.recording: Path | None = None
        """The session folder."""
        self.conversation = Conversation(agent.instructions)
        self._origin = 0.0
        self._now: Callable[[], float] = lambda: 0.0
        self.trace = OpenTrace(lambda: self._now())
        self._first_tools = tools_of(agent)
        self.tools = Toolbox(self.trace, self._call_tool, self._first_tools)
        """Add, remove, mock and call tools."""
        self._toolset: Toolset | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pipeline: Pipeline | None = None
        self._assembly: Assembly | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._main: asyncio.Task[None] | None = None
        self._waiting: list[Callable[[Pipeline], object]] = []
        self._over = threading.Event()
        self._whole = threading.Event()
        """Over, and its recording is closed."""
        self._reason = NATURAL_END
        self._echoing = 0
        self._thread: threading.Thread | None = None

    # --- verbs -------------------------------------------------------------------------------------------------------

    def stop(self, reason: str = "stopped") -> None:
        """End the session; what is being said is cut."""
        self._reason = reason
        self._call(lambda: self._main.cancel() if self._main else None)

    def mute(self, on: bool = True) -> None:
        """Hear nothing from the microphone, and record nothing of it."""
        self._must_go_on()

        def muted(pipeline: Pipeline) -> None:
            pipeline.muted = on
            self.trace.emit(Muted(on))

        self._do(muted)

    def say(self, text: str) -> None:
        """The agent speaks."""
        _must_be_text(text, "say")
        self._must_go_on()
        self._do(lambda pipeline: pipeline.say(text))

    def type(self, text: str) -> None:
        """The user types: a turn like a spoken one."""
        _must_be_text(text, "type")
        self._must_go_on()
        if text.strip():
            self._do(lambda pipeline: pipeline.type(text))

    def ask(self, text: str) -> Turn:
        """The user types `text`: the turn, when it has ended. It takes as long as the answer is spoken; without TTS
        (`tts.provider` = `none`) as long as it is written.

        UsageError where the session is not there to answer, and on the thread that it runs on (`await aask`).
        """
        if self._loop is not None and asyncio._get_running_loop() is self._loop:
            raise UsageError(
                "this thread runs the session and cannot wait for it", "write `await session.aask(…)`"
            )
        answer = self._asked(text)
        while not wait([answer], timeout=1.0).done:
            if self._loop is None or self._loop.is_closed():
                raise _unanswered()
        return answer.result()

    async def aask(self, text: str) -> Turn:
        """The same for coroutines, on any loop. Who is cancelled here waits no more; the turn goes on."""
        return await asyncio.wrap_future(self._asked(text))

    @property
    def turns(self) -> Turns:
        """The turns that have ended until now, the last 1,000."""
        return self.trace.turns

    def interrupt(self) -> None:
        """Cut the reply."""
        self._do(lambda pipeline: pipeline.interrupt())

    def spoken(self) -> tuple[int, str] | None:
        """Number of the reply that is on the sink, and what was heard of its text; None while there is none."""
        return self._pipeline.spoken() if self._pipeline is not None else None

    @property
    def room(self) -> Any:
        """The LiveKit room that it is in: to call and send to those who are there; None outside of one."""
        return self._assembly.transport.room if self._assembly is not None else None

    def bookmark(self, label: str = "") -> None:
        """Mark this moment in the trace."""
        _must_be_text(label, "bookmark")
        self._must_go_on()
        self.trace.emit(Bookmarked(plain(label, limit=200)))

    def set(self, name: str = "", value: Any = None, **named: Any) -> None:
        """Change settings while running: `set("turn.silence_ms", 300)` or `set(turn_silence_ms=300)`.

        UsageError for a name or value that cannot be, and for what is fixed when a session opens.
        """
        _must_be_text(name, "set")
        self._must_go_on()
        wanted = {name: value} if name else {}
        wanted |= {key.replace("_", ".", 1): item for key, item in named.items()}
        for key, item in wanted.items():
            if key.split(".")[0] in FIXED or key.endswith(".provider"):
                raise UsageError(f"{key} is fixed while a session runs", "`swap` replaces a provider")
            change(self.settings, key, item)
            self.trace.emit(SettingChanged(key, "set" if key.endswith(SECRET) else item))

    def swap(self, **what: Any) -> None:
        """Replace a provider (`swap(llm="openai/…")`) or the agent (`swap(agent=…)`) from the next reply on.

        UsageError for anything else, and then nothing is replaced. A provider that does not start, or lacks its key or
        weights, is a `notice` in the trace, and the one before goes on.
        """
        self._must_go_on()
        for stage, choice in what.items():
            if stage not in ("agent", *MODEL_STAGES):
                raise UsageError(f"{stage} cannot be swapped", f"these can: {', '.join(MODEL_STAGES)}, agent")
            if stage == "agent" and not isinstance(choice, Agent):
                raise UsageError(f"no Agent but {type(choice).__name__}", "write swap(agent=Agent(…))")
            if stage != "agent":
                must_be_there(stage, str(choice))
        if what:
            self._do(lambda pipeline: self._spawn(self._swap_all(what)))

    # --- entering and leaving ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise UsageError("a session is entered once", "open another one with open_session")
        self._loop = loop = asyncio.get_running_loop()
        self._origin = loop.time()
        self._now = lambda: (loop.time() - self._origin) * 1000
        folder = self._folder()
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self._main = self._tasks.create_task(self._live(folder))
        await asyncio.sleep(0)  # it has begun: whoever stops it at once still has its end in the trace
        return self

    async def __aexit__(self, *error: Any) -> None:
        assert self._tasks is not None
        assert self._main is not None
        if not self._over.is_set():
            self._reason = "stopped" if self._reason == NATURAL_END else self._reason
            self._main.cancel()
        try:
            await self._tasks.__aexit__(*error)
        except BaseExceptionGroup as group:
            raise single(group) from None
        finally:
            self._over.set()
            self._whole.set()

    def __enter__(self) -> Self:
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run_thread, args=(opened,), name="session", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self._thread.join()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()

    async def ended(self) -> None:
        """Wait until the session has ended by itself or was stopped; raises what it failed of."""
        assert self._main is not None
        await asyncio.wait([self._main])
        if self.error:
            raise self.error

    def wait(self, timeout_s: float | None = None) -> bool:
        """The same from another thread; False if it goes on after `timeout_s`. The recording is whole then."""
        done = self._whole.wait(timeout_s)
        if done and self.error:
            raise self.error
        return done

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    def _run_thread(self, opened: Future[None]) -> None:
        async def main() -> None:
            async with self:
                opened.set_result(None)
                assert self._main is not None
                await asyncio.wait([self._main])

        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  # the thread's last line: whoever waits for it is told
            if not opened.done():
                opened.set_exception(error)
            else:
                self.error = self.error or InternalError(plain(f"{type(error).__name__}: {error}", limit=300))
            self._over.set()
            self._whole.set()

    # --- living ------------------------------------------------------------------------------------------------------

    async def _live(self, folder: SessionFolder | None) -> None:
        """The session from its first event to its last."""
        hooks = Lifecycle(manager(), self.trace, self.settings.limits)
        sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
        young, middle, old = gc.get_threshold()
        gc.set_threshold(young, middle, max(old, FULL_COLLECTION))
        tracks = self._tracks(recorded=folder is not None)
        recorder = Recorder(self.trace, folder).run() if folder else _nothing()
        try:
            await self._recorded(recorder, tracks, hooks)
        finally:
            if folder and self._pipeline is None and isinstance(self.error, UsageError):
                self._discard(folder.path)
            self._whole.set()

    async def _recorded(self, recorder: Coroutine[Any, Any, None], tracks: Tracks, hooks: Lifecycle) -> None:
        async with beside(recorder), beside(hooks.run(self)):
            try:
                for level, reason, hint in await asyncio.get_running_loop().run_in_executor(None, notes):
                    self.trace.emit(Notice(level, "plugins", reason, hint))
                await self._talk(tracks, hooks)
                reason = NATURAL_END
            except WorkbenchError as error:
                self.error = error
                reason = f"failed: {plain(error.reason, limit=300)}"
                self.trace.emit(Notice("error", "session", error.reason, error.hint))
            except asyncio.CancelledError:
                reason = self._reason
                raise
            except BaseException:
                reason = "failed: our own fault"
                raise
            finally:
                self.trace.emit(SessionEnded(reason))
                self.trace.close()
                self._over.set()

    def _discard(self, folder: Path) -> None:
        """Bad input was all there was: the next try may record into the same folder."""
        self.recording = None
        with contextlib.suppress(OSError):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()

    async def _talk(self, tracks: Tracks, hooks: Lifecycle) -> None:
        settings = self.settings
        async with AsyncExitStack() as stack:
            around = ToolEnvironment(
                self, lambda: self.agent.data, lambda: self.conversation.messages, self.say
            )
            self._toolset = toolset = await stack.enter_async_context(
                open_toolset(self.tools, self.trace, settings, around, self._first_tools)
            )
            await toolset.use_agent(self.agent)
            self._assembly = assembly = Assembly(
                settings, self.agent, self.trace, toolset.runner, hooks, stack, self._own_transport
            )
            stages = await assembly.build()
            transport = assembly.transport
            for tool, origin in transport.tools:
                self.tools.add(tool, origin=origin)
            ear = Ear(
                self.trace,
                lambda sample: self._ms(stages.source.time_of(sample)),
                lambda sample: self._ms(stages.sink.time_of(sample)),
            )
            readers = Readers(self.trace, [ear, self._mind_echo, self._mind_turns, transport.note])
            self._pipeline = pipeline = Pipeline(
                stages,
                settings,
                self.trace,
                tracks,
                self.conversation,
                on_silence=self.agent.on_silence,
                echo_of=echo_of(tracks, stages),
                settle=readers.catch_up,
            )
            async with beside(readers.run()), beside(self._mind_host()), beside(transport.run(self)):
                await assembly.warm()
                self.trace.emit(ListeningStarted())
                await pipeline.run(greeting=self.agent.greeting, first=self._waiting)

    def _call_tool(self, name: str, arguments: str) -> None:
        """For the developer, on the session's loop."""
        self._must_go_on()

        async def call() -> None:
            if self._toolset is not None:
                await self._toolset.runner.perform(name, arguments)

        self._do(lambda pipeline: self._spawn(call()))

    def _folder(self) -> SessionFolder | None:
        about = About(
            agent=self.agent.name or "agent",
            profile=self.settings.profile,
            settings=self.settings.public(),
        )
        folder = None
        if self.settings.record.enabled:
            folder = SessionFolder.create(about, self._record_into(about))
            self.recording = folder.path
        self.trace.emit(
            SessionStarted(
                about.session,
                about.date,
                about.profile,
                about.agent,
                {
                    stage: getattr(self.settings, stage).provider
                    for stage in ("vad", "turn", "stt", "llm", "tts")
                },
                dict(about.rates),
                str(folder.path) if folder else None,
            )
        )
        return folder

    def _record_into(self, about: About) -> Path | None:
        record = self.settings.record
        return record.folder or (record.dir / about.folder_name if record.dir else None)

    def _tracks(self, *, recorded: bool) -> Tracks:
        heard_s, played_s = (KEEP_S, KEEP_S) if recorded else (HEARD_S, PLAYED_S)
        echo = self.settings.audio.source == "mic" and self.settings.audio.echo_cancellation
        mic = LiveTrack("mic", INPUT_RATE, heard_s) if echo else None
        tracks = Tracks(
            LiveTrack("user", INPUT_RATE, heard_s), LiveTrack("agent", OUTPUT_RATE, played_s), mic
        )
        self.trace.tracks["user"], self.trace.tracks["agent"] = tracks.user, tracks.agent
        if mic is not None:
            self.trace.tracks["mic"] = mic
        return tracks

    def _mind_echo(self, entry: Entry) -> None:
        """A reader: echo that stays out of control means half duplex."""
        if not isinstance(entry.event, EchoState) or self._pipeline is None:
            return
        erle_db, least_db = entry.event.erle_db, self.settings.bargein.min_erle_db
        self._echoing = self._echoing + 1 if erle_db is not None and erle_db < least_db else 0
        if self._echoing >= ECHOING:
            self._pipeline.floor.half_duplex(f"echo is not under control: {erle_db:.0f} dB are removed")

    def _mind_turns(self, entry: Entry) -> None:
        """A reader: each turn is read while its events are in memory, so that `turns` has it for good."""
        if isinstance(entry.event, TurnEnded):
            self.trace.catch_up()

    async def _mind_host(self) -> None:
        """How late the loop wakes: what a busy process does to the conversation."""
        loop = asyncio.get_running_loop()
        late: list[float] = []
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            late.append((loop.time() - due) * 1000)
            if len(late) * TICK_S >= 1:
                late.sort()
                self.trace.emit(HostLag(round(late[len(late) // 2], 2), round(late[-1], 2)))
                late.clear()

    # --- small things ------------------------------------------------------------------------------------------------

    async def _swap_all(self, what: dict[str, Any]) -> None:
        """The agent first: what it says of a model that then does not start is taken back."""
        before = self.agent
        if "agent" in what:
            await self._swap("agent", what["agent"], before)
        for stage in [one for one in what if one != "agent"]:
            self._spawn(self._swap(stage, what[stage], before))

    async def _swap(self, stage: str, choice: Any, before: Agent) -> None:
        assert self._assembly is not None
        assert self._toolset is not None
        assert self._pipeline is not None
        try:
            if stage == "agent":
                await self._toolset.use_agent(choice)
                self.conversation.instruct(choice.instructions)
                self._pipeline.on_silence = choice.on_silence
                name = choice.name or "agent"
            else:
                await self._assembly.swap(stage, str(choice), self._pipeline.stages)
                name = str(choice)
        except WorkbenchError as error:
            self.trace.emit(Notice("error", stage, error.reason, error.hint))
            if stage != "agent" and getattr(self.agent, stage) == choice:
                self.agent = replace(self.agent, **{stage: getattr(before, stage)})
        else:
            self.trace.emit(Swapped(stage, name))
            if stage == "agent":
                self.agent = (
                    choice  # last: another thread that sees the new agent finds its event in the trace
                )

    def _asked(self, text: str) -> Future[Turn]:
        _must_be_text(text, "ask")
        if not text.strip():
            raise UsageError("nothing was asked", "give the words that the user types")
        if self._loop is None:
            raise UsageError("the session has not been entered", "write `with session:` around it")
        if self.over:
            raise self.error or _unanswered()
        answer: Future[Turn] = Future()
        answer.set_running_or_notify_cancel()  # nobody who waits can undo the question
        self._call(lambda: self._spawn(self._answer(text, answer)))
        return answer

    async def _answer(self, text: str, answer: Future[Turn]) -> None:
        """Have `text` typed, and give the turn that it becomes."""
        typed, asked = list[int](), None
        index = self.trace.end
        self._do(lambda pipeline: typed.append(pipeline.type(text)))
        async for entry in self.trace.follow(index):
            match entry.event:
                case TurnDecided(turn=turn, utterance=utterance) if utterance in typed:
                    asked = turn
                case TurnEnded(turn=turn) if turn == asked:
                    return answer.set_result(next(one for one in reversed(self.turns) if one.turn == turn))
                case _:
                    pass
        answer.set_exception(self.error or _unanswered())

    def _must_go_on(self) -> None:
        if self.over:
            raise UsageError("the session is over", "open another one with open_session")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return session_html(self.trace.title(), self.over, self.turns._repr_html_())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        self._tasks.create_task(work)

    def _ms(self, loop_time: float) -> float:
        return (loop_time - self._origin) * 1000

    def _call(self, do: Callable[[], object]) -> None:
        """On the loop's thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed() and not self._over.is_set():
            loop.call_soon_threadsafe(do)

    def _do(self, verb: Callable[[Pipeline], object]) -> None:
        """With the pipeline, as soon as it talks."""

        def now() -> None:
            if self._pipeline is None or not self._pipeline.talking:
                self._waiting.append(verb)
            else:
                verb(self._pipeline)

        if self._loop is None:
            self._waiting.append(verb)
        self._call(now)


def _must_be_text(text: object, verb: str) -> None:
    if not isinstance(text, str):
        raise UsageError(f"{type(text).__name__} is no text", f'write {verb}("…")')


def _unanswered() -> UsageError:
    return UsageError("the session ended before there was an answer", "open another one with open_session")


async def _nothing() -> None:
    """No recorder."""
