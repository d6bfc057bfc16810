"""What plugins cost a conversation: a hook that nobody has, one that a plugin has, and a bare job in a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench._figures import Promise, run, spread, tell
from workbench import hookimpl
from workbench.engine.settings import LimitSettings
from workbench.plugin.manager import PluginRegistry
from workbench.plugin.session_hooks import SessionHooks
from workbench.plugin.threads import DaemonThreads
from workbench.views.trace import OpenTrace

CALLS = 3000


class Quick:
    """Does nothing, at once."""

    @hookimpl
    def workbench_before_tts(self, text: str) -> str:
        """As it is."""
        return text


async def call_us(call: Callable[[], Awaitable[Any]]) -> dict[str, float | None]:
    """How long an await of it takes, µs."""
    took = []
    for number in range(CALLS + 100):
        began = time.perf_counter()
        await call()
        if number >= 100:
            took.append((time.perf_counter() - began) * 1e6)
    return spread(took, 1)


async def measure() -> dict[str, dict[str, float | None]]:
    """Each in turn, on one loop."""
    plugins, threads = PluginRegistry(), DaemonThreads("bench")
    plugins.register(Quick(), "quick")
    hooks = SessionHooks(plugins, OpenTrace(lambda: 0.0), LimitSettings())
    return {
        "nobody_us": await call_us(lambda: hooks.agent_text("Hello.")),
        "hook_us": await call_us(lambda: hooks.before_tts(1, "Hello.")),
        "job_us": await call_us(lambda: threads.run(len, "Hello.")),
        "to_thread_us": await call_us(lambda: asyncio.to_thread(len, "Hello.")),
    }


def main() -> None:
    """Measure and tell."""
    figures = asyncio.run(measure())
    job, hook, nobody, threads = (
        figures[name]["p50"] or 0.0 for name in ("job_us", "hook_us", "nobody_us", "to_thread_us")
    )
    tell(
        "hooks",
        [
            Promise("a hook that nobody has", nobody, 5, "µs p50"),
            Promise("a job in a daemon thread", job, 100, "µs p50"),
            Promise("the same, against asyncio.to_thread", round(job / threads, 2), 1.5, "of it"),
            Promise("a hook that a plugin has", hook, 300, "µs p50"),
        ],
        {"calls": CALLS, "loop": "a real one, with nothing else on it"},
        figures,
    )


if __name__ == "__main__":
    run(main)
