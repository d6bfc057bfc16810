"""Plugins that watch a session: what happens is put before each of them, and nobody waits for what it does with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from pluggy import HookImpl

from workbench.handle import SessionHandle
from workbench.model.events import Entry, PluginFailed, SessionEnded, SessionStarted, TurnDecided, TurnEnded
from workbench.plugin.foreign_calls import HookError, WrongValueError, describe_value
from workbench.plugin.loading import Plugin
from workbench.plugin.manager import PluginRegistry, call_of
from workbench.plugin.values import Read
from workbench.views.trace import OpenTrace

TOLD = (
    "workbench_session_started",
    "workbench_turn_started",
    "workbench_after_llm",
    "workbench_turn_ended",
    "workbench_session_ended",
)
READERS = "workbench_readers"
END_S = 2.0
"""How long the end of a session waits for those who watch it, s."""


class Limits(Protocol):
    """Of the settings; read at each call."""

    hook_ms: float
    """For what a reply waits for."""
    observer_ms: float
    """For what nobody waits for."""


class Observers:
    """Tells plugins what happens. Each has its own queue and task, so that a slow one keeps nobody else."""

    def __init__(self, plugins: PluginRegistry, trace: OpenTrace, ask: Ask, limits: Limits) -> None:
        self._plugins = plugins
        self._trace = trace
        self._ask = ask
        self._limits = limits
        self._watchers: dict[Plugin, _Watcher] = {}
        for hook in TOLD:
            for plugin, impl in plugins.implementations(hook):
                self._watcher(plugin).hooks[hook] = impl
        self._reading = [plugin for plugin, _ in plugins.implementations(READERS)]
        for plugin in self._reading:
            self._watcher(plugin)
        ends = any("workbench_turn_ended" in one.hooks for one in self._watchers.values())
        self._ends = ends
        self._session: SessionHandle | None = None

    def tell(self, hook: str, given: dict[str, Any]) -> None:
        """Put a call before everybody who implements the hook; returns at once."""
        for one in self._watchers.values():
            if hook in one.hooks:
                one.put((hook, given))

    async def run(self, session: SessionHandle) -> None:
        """Until the trace is closed or this is cancelled; then until all was told, or `END_S` have passed."""
        if not self._watchers:
            return
        self._session = session
        async with asyncio.TaskGroup() as tasks:
            serving = {tasks.create_task(self._serve(one)): one for one in self._watchers.values()}
            index = 0
            try:
                async for entry in self._trace.follow():
                    index = entry.i + 1
                    self._hand(entry)
            finally:
                for entry in self._trace.since(index):
                    self._hand(entry)
                for one in serving.values():
                    one.put(None)
                _, late = await asyncio.wait(serving, timeout=END_S)
                for task in late:
                    self._leave(serving[task])
                    task.cancel()

    def _watcher(self, plugin: Plugin) -> _Watcher:
        return self._watchers.setdefault(plugin, _Watcher(plugin))

    # --- what happens ------------------------------------------------------------------------------------------------

    def _hand(self, entry: Entry) -> None:
        if self._ends:
            self._trace.fold(entry)
        session = self._session
        match entry.event:
            case SessionStarted():
                self.tell("workbench_session_started", {"session": session})
            case TurnDecided(turn=turn):
                self.tell("workbench_turn_started", {"session": session, "turn": turn})
            case TurnEnded(turn=number) if self._ends:
                ended = self._trace.turn(number)
                self.tell("workbench_turn_ended", {"session": session, "turn": ended})
            case SessionEnded():
                self.tell("workbench_session_ended", {"session": session})
            case _:
                pass
        for plugin in self._reading:
            self._watchers[plugin].put(entry)

    # --- telling -----------------------------------------------------------------------------------------------------

    async def _serve(self, one: _Watcher) -> None:
        """One plugin, until its session is over: first its readers, then its hooks."""
        if one.plugin in self._reading:
            await self._make_readers(one)
        while not one.over:
            calls, entries = await one.taken()
            for hook, given in calls:
                if hook in one.hooks:
                    await self._call(one, hook, given)
            for read in list(one.readers) if entries else ():
                await self._read(one, read, entries)

    async def _make_readers(self, one: _Watcher) -> None:
        # the first time it asks the plugin, and waits for it
        loop = asyncio.get_running_loop()
        factories = await loop.run_in_executor(None, self._plugins.contributions, READERS, one.plugin)
        for _, factory in factories:
            try:
                one.readers.append(await self._asked(one, READERS, factory, _callable))
            except HookError:
                pass  # it is in the trace
        if not one.readers:
            self._reading.remove(one.plugin)

    async def _call(self, one: _Watcher, hook: str, given: dict[str, Any]) -> None:
        try:
            await self._asked(one, hook, call_of(one.hooks[hook], given), lambda _: None)
        except HookError:
            del one.hooks[hook]

    async def _read(self, one: _Watcher, read: Read, entries: list[Entry]) -> None:
        def job() -> None:
            for entry in entries:
                read(entry)

        try:
            await self._asked(one, READERS, job, lambda _: None)
        except HookError:
            one.readers.remove(read)
            if not one.readers:
                self._reading.remove(one.plugin)

    async def _asked(
        self, one: _Watcher, hook: str, call: Callable[[], Any], fits: Callable[[Any], Any]
    ) -> Any:
        one.busy_with = hook
        return await self._ask(one.plugin, hook, call, self._limits.observer_ms, fits)

    def _leave(self, one: _Watcher) -> None:
        reason = f"had not returned {END_S * 1000:.0f} ms after the session's end"
        self._trace.emit(PluginFailed(one.plugin.name, one.busy_with, reason, END_S * 1000))


class Ask(Protocol):
    """Calls a plugin; see `Lifecycle`."""

    async def __call__(
        self, plugin: Plugin, hook: str, call: Callable[[], Any], limit_ms: float, fits: Callable[[Any], Any]
    ) -> Any: ...


class _Watcher:
    """One plugin that watches, and what it has not been told yet."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.hooks: dict[str, HookImpl] = {}
        self.readers: list[Read] = []
        self.busy_with = ""
        self.over = False
        self._inbox: deque[Entry | tuple[str, dict[str, Any]] | None] = deque()
        self._grown = asyncio.Event()

    def put(self, item: Entry | tuple[str, dict[str, Any]] | None) -> None:
        """An entry for its readers, a call for its hooks, or None: there is no more."""
        self._inbox.append(item)
        self._grown.set()

    async def taken(self) -> tuple[list[tuple[str, dict[str, Any]]], list[Entry]]:
        """All that has come by now, once there is something."""
        await self._grown.wait()
        self._grown.clear()
        calls: list[tuple[str, dict[str, Any]]] = []
        entries: list[Entry] = []
        while self._inbox:
            item = self._inbox.popleft()
            if item is None:
                self.over = True
            elif isinstance(item, Entry):
                entries.append(item)
            else:
                calls.append(item)
        return calls, entries


def _callable(made: Any) -> Any:
    if not callable(made):
        raise WrongValueError(f"made {describe_value(made)} and no reader")
    return made
