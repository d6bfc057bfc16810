"""The rate limit of what participants send: each has a share, so that nobody shuts out the others."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from workbench.model.events import Notice
from workbench.model.text import plain
from workbench.trace.trace import Trace

MESSAGES_A_SECOND = 20
"""Of one sender; the rest is dropped, and reported."""
STREAMS_OF_ONE, STREAMS, STREAMS_WITH_FIRST = 3, 8, 24
"""Streams that are read at the same time: of one sender, of all, and of all with the first one of each."""
MOST_SENDERS = 64
"""That are counted each for themselves; all others share one count."""
QUIET_S = 10.0
"""A sender over the limit is reported again if nothing of theirs was dropped for so long, s."""


@dataclass(slots=True)
class Sender:
    """What one sender has sent."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=MESSAGES_A_SECOND))
    """When their latest messages came, on the loop's clock."""
    streams: int = 0
    """Streams of theirs that are being read."""
    dropped_at: float | None = None
    """When something of theirs was dropped last."""

    def end_stream(self) -> None:
        """Note that one of their streams is no longer read."""
        self.streams -= 1

    def idle(self, now: float) -> bool:
        """Return whether there is nothing to be counted."""
        return not self.streams and (not self.recent or now - self.recent[-1] >= 1)


class RateLimiter:
    """Counts what each sender sends. Call it on the loop."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._senders: dict[str, Sender] = {}

    def allow_message(self, identity: str) -> bool:
        """Return whether one more message of that sender is read, and count it."""
        sender, now = self._sender(identity), asyncio.get_running_loop().time()
        if len(sender.recent) == MESSAGES_A_SECOND and now - sender.recent[0] < 1:
            self._drop(sender, f"more than {MESSAGES_A_SECOND} messages a second came from", identity)
            return False
        sender.recent.append(now)
        return True

    def allow_stream(self, identity: str) -> Sender | None:
        """Return the sender, whose `end_stream` must be called, if one more stream of theirs is read, else None."""
        sender, total = self._sender(identity), sum(sender.streams for sender in self._senders.values())
        if sender.streams >= STREAMS_OF_ONE or total >= (STREAMS if sender.streams else STREAMS_WITH_FIRST):
            self._drop(sender, "more texts and files at the same time than are read came from", identity)
        elif self.allow_message(identity):
            sender.streams += 1
            return sender
        return None

    def _sender(self, identity: str) -> Sender:
        if identity not in self._senders and len(self._senders) >= MOST_SENDERS:
            now = asyncio.get_running_loop().time()
            self._senders = {key: sender for key, sender in self._senders.items() if not sender.idle(now)}
            if len(self._senders) >= MOST_SENDERS:
                identity = ""
        return self._senders.setdefault(identity, Sender())

    def _drop(self, sender: Sender, reason: str, identity: str) -> None:
        now = asyncio.get_running_loop().time()
        if sender.dropped_at is None or now - sender.dropped_at >= QUIET_S:
            name = plain(identity, 100, one_line=True) or "the room"
            self._trace.emit(Notice("warning", "room", f"{reason} {name}: the rest is dropped"))
        sender.dropped_at = now
