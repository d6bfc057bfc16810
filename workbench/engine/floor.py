"""The floor: who may use the sink. One reply at a time holds it, is paused, resumed and cut; the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from workbench.engine.playout import Playout
from workbench.engine.reply import Reply
from workbench.engine.stages import Stages, session_ms
from workbench.engine.tasks import CancelScope
from workbench.engine.utterance import Utterance
from workbench.model.audio import OUTPUT_RATE
from workbench.model.events import ReplyPaused, ReplyPlaying, ReplyResumed
from workbench.trace.trace import Trace


@dataclass(slots=True)
class Claim:
    """An answer in the making: to `utterance`, or (None) a text that the agent says of its own accord."""

    scope: CancelScope
    utterance: Utterance | None

    @property
    def complete(self) -> bool:
        """Whether all that it answers has been said, so that a newer answer may take its place."""
        return self.utterance is None or self.utterance.over


class Floor:
    """Gives the sink to one reply after the other. Claims are ordered by the number of what they answer."""

    def __init__(self, playout: Playout, stages: Stages, trace: Trace) -> None:
        self._playout = playout
        self._stages = stages
        self._trace = trace
        self.holder: Reply | None = None
        self._free_since_ms = 0.0
        """When the last pause was over, on the session's clock."""
        self._claims: dict[int, Claim] = {}
        self._changed = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether anything is being answered or said."""
        return bool(self._claims)

    def busy_beside(self, order: int) -> bool:
        """Whether anything but that is being answered or said."""
        return any(other != order for other in self._claims)

    def answers_before(self, order: int) -> bool:
        """Whether something said earlier than `order` is still being answered."""
        return any(claim.complete and other < order for other, claim in self._claims.items())

    @contextmanager
    def claim(self, order: int, utterance: Utterance | None = None) -> Iterator[CancelScope]:
        """Be in line for the body; what runs in the scope is cancelled when the claim is cut."""
        scope = CancelScope()
        self._claims[order] = Claim(scope, utterance)
        try:
            yield scope
        finally:
            del self._claims[order]
            self._changed.set()

    async def free(self) -> None:
        """Wait until no reply holds the floor."""
        await self._until(lambda: self.holder is None)

    async def cleared_for(self, order: int) -> None:
        """Cut every answer to what was said before `order`, and wait until all that were cut are gone: their words are
        in the conversation then."""
        self._cut(lambda other: other < order)
        await self._until(lambda: not self.answers_before(order) and not self._leaving(order))

    def _leaving(self, order: int) -> bool:
        """Whether another answer was cut and has not ended."""
        return any(claim.scope.was_cut for other, claim in self._claims.items() if other != order)

    @contextmanager
    def taken_by(self, reply: Reply) -> Iterator[None]:
        """Have the reply on the sink for the body; the floor must be free."""
        self.holder = reply
        reply.granted_ms = self._trace.now()
        self._wake_sink()
        reply.audio.wake = self._wake_sink
        self._playout.begin(reply.audio, lambda: self._started(reply))
        try:
            yield
        finally:
            self._playout.end(reply.audio)
            self.holder = None
            self._changed.set()

    def pause(self) -> None:
        """Fade the sound out and hold it, for the reply that has the floor or is next."""
        position = self._playout.hold()
        if (reply := self.holder) is not None and reply.audio.audible:
            self._trace.emit(ReplyPaused(reply.id, reply.turn, position))

    def resume(self) -> None:
        """Go on from the very sample after the faded ones."""
        self._wake_sink()
        position = self._release()
        if (reply := self.holder) is not None and reply.audio.audible:
            self._trace.emit(ReplyResumed(reply.id, reply.turn, position))

    def cut(self, *, keep: int | None = None) -> None:
        """Take the reply off the sink, and cancel every answer but the one of order `keep`."""
        self._cut(lambda other: other != keep)
        if self.holder is not None:
            self._playout.end(self.holder.audio)
        self._release()

    def _cut(self, applies: Callable[[int], bool]) -> None:
        for order, claim in list(self._claims.items()):
            if claim.complete and applies(order):
                claim.scope.cut()
                if claim.utterance is not None:
                    claim.utterance.abandoned = True

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _release(self) -> int:
        self._free_since_ms = self._trace.now()
        return self._playout.release()

    def _wake_sink(self) -> None:
        self._stages.sink.wake()

    def _started(self, reply: Reply) -> None:
        """An audible sample was handed to the sink: emit where the reply began, and its way to the listener."""
        reply.first_sample = first = reply.audio.began_at
        assert first is not None
        reply.on_audible()
        self._trace.emit(ReplyPlaying(reply.id, reply.turn, first))
        free_ms = max(reply.granted_ms, self._free_since_ms)
        self._trace.emit(reply.span("floor", reply.ready_ms, free_ms))
        leaves_ms = free_ms
        for part, until in self._stages.sink.transit(first):
            leaves_ms = session_ms(self._trace, until)
            self._trace.emit(reply.span(part, free_ms, leaves_ms))
            free_ms = max(free_ms, leaves_ms)
        if reply.leading is not None:
            audible_ms = leaves_ms + reply.leading * 1000 / OUTPUT_RATE
            self._trace.emit(reply.span("leading_silence", leaves_ms, audible_ms))
