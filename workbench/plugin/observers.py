"""Plugins that watch a session: each is notified in its own time, and nobody waits for what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pluggy import HookImpl

from workbench.handle import SessionHandle
from workbench.model.events import Entry, SessionEnded, SessionStarted, TurnDecided, TurnEnded
from workbench.plugin.foreign_calls import HookError, WrongValueError, describe_value
from workbench.plugin.hook_caller import HookCaller
from workbench.plugin.loading import Plugin
from workbench.plugin.manager import PluginRegistry, bind
from workbench.plugin.values import Read
from workbench.views.trace import OpenTrace

NOTIFICATIONS = (
    "workbench_session_started",
    "workbench_turn_started",
    "workbench_after_llm",
    "workbench_turn_ended",
    "workbench_session_ended",
)
READERS = "workbench_readers"
END_S = 2.0
"""How long the end of a session waits for those who watch it, s."""

Call = tuple[str, dict[str, Any]]
"""A hook and its arguments."""


class Observers:
    """The plugins that watch one session. Each has its own queue and task, so that a slow one holds up nobody else."""

    def __init__(self, plugins: PluginRegistry, trace: OpenTrace, caller: HookCaller) -> None:
        self._trace = trace
        self._observers: dict[Plugin, _Observer] = {}
        for hook in (*NOTIFICATIONS, READERS):
            for plugin, impl in plugins.implementations(hook):
                observer = self._observers.setdefault(plugin, _Observer(plugin, plugins, caller))
                observer.hooks[hook] = impl
        self._last_turn = 0
        self._turns_wanted = any("workbench_turn_ended" in each.hooks for each in self._observers.values())

    def notify(self, hook: str, arguments: dict[str, Any]) -> None:
        """Put a call before every plugin that implements the hook; returns at once."""
        for observer in self._observers.values():
            if hook in observer.hooks:
                observer.inbox.put_nowait((hook, arguments))

    async def run(self, session: SessionHandle) -> None:
        """Watch until the trace is closed or this is cancelled; then until all is delivered, or `END_S` have passed."""
        if not self._observers:
            return
        async with asyncio.TaskGroup() as tasks:
            serving = {tasks.create_task(each.run()): each for each in self._observers.values()}
            index = 0
            try:
                async for entry in self._trace.follow():
                    index = entry.i + 1
                    self._distribute(entry, session)
            finally:
                for entry in self._trace.since(index):
                    self._distribute(entry, session)
                for observer in serving.values():
                    observer.inbox.put_nowait(None)
                _, late = await asyncio.wait(serving, timeout=END_S)
                for task in late:
                    serving[task].abandon()
                    task.cancel()

    def _distribute(self, entry: Entry, session: SessionHandle) -> None:
        if self._turns_wanted:
            self._trace.fold(entry)
        match entry.event:
            case SessionStarted():
                self.notify("workbench_session_started", {"session": session})
            case TurnDecided(turn=turn) if turn > self._last_turn:  # not again once it was reopened
                self._last_turn = turn
                self.notify("workbench_turn_started", {"session": session, "turn": turn})
            case TurnEnded(turn=turn) if self._turns_wanted:
                self.notify("workbench_turn_ended", {"session": session, "turn": self._trace.turn(turn)})
            case SessionEnded():
                self.notify("workbench_session_ended", {"session": session})
            case _:
                pass
        for observer in self._observers.values():
            if READERS in observer.hooks:
                observer.inbox.put_nowait(entry)


class _Observer:
    """One plugin that watches: its hooks, its readers, and what they have not got yet."""

    def __init__(self, plugin: Plugin, plugins: PluginRegistry, caller: HookCaller) -> None:
        self.hooks: dict[str, HookImpl] = {}
        """What it implements and has not failed in."""
        self.inbox: asyncio.Queue[Entry | Call | None] = asyncio.Queue()
        """Entries for its readers, calls of its hooks; None: that is all."""
        self._plugin = plugin
        self._plugins = plugins
        self._caller = caller
        self._readers: list[Read] = []
        self._running_hook = ""

    async def run(self) -> None:
        """Serve the plugin until its session is over: at each time first its hooks, then its readers."""
        if READERS in self.hooks:
            await self._make_readers()
        over = False
        while not over:
            batch = [await self.inbox.get()]
            while not self.inbox.empty():
                batch.append(self.inbox.get_nowait())
            over = None in batch
            for item in batch:
                if isinstance(item, tuple):
                    await self._notify(*item)
            if entries := [item for item in batch if isinstance(item, Entry)]:
                for read in list(self._readers):
                    await self._read(read, entries)

    def abandon(self) -> None:
        """Report the call that the session's end does not wait for."""
        reason = f"had not returned {END_S * 1000:.0f} ms after the session's end"
        self._caller.report(self._plugin, self._running_hook, HookError(reason, END_S * 1000))

    async def _make_readers(self) -> None:
        # the first time it asks the plugin, and waits for it
        loop = asyncio.get_running_loop()
        factories = await loop.run_in_executor(None, self._plugins.contributions, READERS, self._plugin)
        for _, factory in factories:
            try:
                self._readers.append(await self._call(READERS, factory, _reader))
            except HookError:
                pass  # it is in the trace
        if not self._readers:
            del self.hooks[READERS]

    async def _notify(self, hook: str, arguments: dict[str, Any]) -> None:
        if hook in self.hooks:
            try:
                await self._call(hook, bind(self.hooks[hook], arguments))
            except HookError:
                del self.hooks[hook]

    async def _read(self, read: Read, entries: list[Entry]) -> None:
        def job() -> None:
            for entry in entries:
                read(entry)

        try:
            await self._call(READERS, job)
        except HookError:
            self._readers.remove(read)
            if not self._readers:
                del self.hooks[READERS]

    async def _call(
        self, hook: str, job: Callable[[], Any], check: Callable[[Any], Any] = lambda _: None
    ) -> Any:
        self._running_hook = hook
        return await self._caller.call(self._plugin, hook, job, self._caller.limits.observer_ms, check)


def _reader(value: Any) -> Any:
    if not callable(value):
        raise WrongValueError(f"made {describe_value(value)} and no reader")
    return value
