"""How much of what is sent is taken in: so much from each sender that nobody shuts out the others."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from workbench.model.events import Notice
from workbench.model.text import plain
from workbench.trace.trace import Trace

MOST_A_SECOND = 20
"""Messages of one sender that are taken in within a second; the rest is dropped, and said."""
MOST_OF_ONE, MOST_AT_ONCE, MOST_WITH_FIRST = 3, 8, 24
"""Streams that are read at the same time: of one sender, of all, and of all with the first one of each."""
MOST_SENDERS = 64
"""That are counted each for themselves; all others share one count."""
QUIET_S = 10.0
"""Who went over the bounds is named again if that long nothing of theirs was dropped, s."""


@dataclass(slots=True)
class Sender:
    """What one sender has sent."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_A_SECOND))
    """When their latest messages came, on the loop's clock."""
    reading: int = 0
    dropped: float | None = None
    """When something of theirs was dropped last."""

    def ended(self) -> None:
        """One of their streams is read no more."""
        self.reading -= 1

    def idle(self, now: float) -> bool:
        """Whether there is nothing to be counted."""
        return not self.reading and (not self.recent or now - self.recent[-1] >= 1)


class RateLimiter:
    """Counts what each sender sends. Call it on the loop."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._senders: dict[str, Sender] = {}

    def message(self, sender: str) -> bool:
        """Whether one more is taken in."""
        one, now = self._of(sender), asyncio.get_running_loop().time()
        if len(one.recent) == MOST_A_SECOND and now - one.recent[0] < 1:
            self._drop(one, f"more than {MOST_A_SECOND} messages a second came from", sender)
            return False
        one.recent.append(now)
        return True

    def stream(self, sender: str) -> Sender | None:
        """Who is to be told when it has `ended`, if one more is read."""
        one, open_ = self._of(sender), sum(one.reading for one in self._senders.values())
        if one.reading >= MOST_OF_ONE or open_ >= (MOST_AT_ONCE if one.reading else MOST_WITH_FIRST):
            self._drop(one, "more texts and files at the same time than are read came from", sender)
        elif self.message(sender):
            one.reading += 1
            return one
        return None

    def _of(self, sender: str) -> Sender:
        if sender not in self._senders and len(self._senders) >= MOST_SENDERS:
            now = asyncio.get_running_loop().time()
            self._senders = {who: one for who, one in self._senders.items() if not one.idle(now)}
            if len(self._senders) >= MOST_SENDERS:
                sender = ""
        return self._senders.setdefault(sender, Sender())

    def _drop(self, one: Sender, what: str, sender: str) -> None:
        now = asyncio.get_running_loop().time()
        if one.dropped is None or now - one.dropped >= QUIET_S:
            who = plain(sender, 100, one_line=True) or "the room"
            self._trace.emit(Notice("warning", "room", f"{what} {who}: the rest is dropped"))
        one.dropped = now
