"""What a session watches of itself while it runs: the echo that comes back, and how late its loop is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from workbench.engine.settings import BargeInSettings
from workbench.model.events import EchoState, Entry, HostLag
from workbench.trace.trace import Trace

POOR_ECHO_READINGS = 4
"""Readings of the echo canceller (one each second in which we speak) that must be poor: it needs 2 s to settle."""
TICK_S = 0.25
"""How often the loop's delay is measured, s."""


class EchoMonitor:
    """A reader: echo that stays out of control means half duplex."""

    def __init__(self, settings: BargeInSettings, go_half_duplex: Callable[[str], None]) -> None:
        self._settings = settings
        self._go_half_duplex = go_half_duplex
        self._poor = 0

    def __call__(self, entry: Entry) -> None:
        """Count poor readings in a row."""
        if not isinstance(entry.event, EchoState):
            return
        erle_db, least_db = entry.event.erle_db, self._settings.min_erle_db
        self._poor = self._poor + 1 if erle_db is not None and erle_db < least_db else 0
        if self._poor >= POOR_ECHO_READINGS:
            self._go_half_duplex(f"echo is not under control: {erle_db:.0f} dB are removed")


async def measure_host_lag(trace: Trace) -> None:
    """Emit once a second how late the loop wakes: what a busy process does to the conversation."""
    loop = asyncio.get_running_loop()
    late_ms: list[float] = []
    while True:
        due = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        late_ms.append((loop.time() - due) * 1000)
        if len(late_ms) * TICK_S >= 1:
            late_ms.sort()
            trace.emit(HostLag(round(late_ms[len(late_ms) // 2], 2), round(late_ms[-1], 2)))
            late_ms.clear()
