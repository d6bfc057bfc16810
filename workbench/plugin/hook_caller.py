"""Calls of plugins in one session: each in a thread of its plugin, under a deadline, and given up once it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from workbench.model.events import PluginFailed
from workbench.plugin.foreign_calls import HookError, call_from_loop
from workbench.plugin.loading import Plugin
from workbench.trace.trace import Trace

T = TypeVar("T")


class HookLimits(Protocol):
    """Deadlines from the settings, read at each call."""

    hook_ms: float
    """For what a reply waits for."""
    observer_ms: float
    """For what nobody waits for."""


class HookCaller:
    """Calls hooks; one that fails is named in the trace (`PluginFailed`), once."""

    def __init__(self, trace: Trace, limits: HookLimits) -> None:
        self.limits = limits
        self._trace = trace
        self._failed: set[tuple[Plugin, str]] = set()

    async def call(
        self, plugin: Plugin, hook: str, job: Callable[[], Any], limit_ms: float, check: Callable[[Any], T]
    ) -> T | None:
        """Return the answer as `check` lets it pass, None for none. Raises HookError once the failure is reported;
        whoever calls then leaves that hook out."""

        def answer() -> T | None:
            value = job()
            return None if value is None else check(value)

        try:
            return await call_from_loop(plugin.threads, answer, limit_ms)
        except HookError as error:
            self.report(plugin, hook, error)
            raise

    def report(self, plugin: Plugin, hook: str, error: HookError) -> None:
        """Write a failure into the trace, unless it is there: two replies at once may meet the same one."""
        if (plugin, hook) not in self._failed:
            self._failed.add((plugin, hook))
            self._trace.emit(PluginFailed(plugin.name, hook, error.reason, error.took_ms))
