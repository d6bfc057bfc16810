"""The floor: one reply at a time is on the sink; who speaks into it pauses it first, and is judged then."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from workbench.engine.bargein import Signs, Verdict, content_words, judge
from workbench.engine.flow import Scope
from workbench.engine.knobs import BargeInKnobs
from workbench.engine.listen import PER_MS, Listening
from workbench.engine.playout import Playout
from workbench.engine.reply import Reply
from workbench.engine.utterance import Utterance
from workbench.model.events import BargeInJudged, DuplexChanged, ReplyPaused, ReplyResumed
from workbench.trace.bus import Trace

TAIL_MS = 250
"""After a reply its echo may still be in the room for this long."""
ECHO_EVERY_MS = 100
"""The correlation with what we play costs about 1 ms, so it is not computed for each frame."""
ECHO_FROM_MS = 200
"""Less sound than this correlates with anything."""

EchoOf = Callable[[int, int], float]
"""Correlation (0…1) of the samples `start` to `stop` of `user` with what we played."""


@dataclass(slots=True)
class Challenge:
    """An utterance that paused the reply and is not judged yet."""

    utterance: Utterance
    onset: int
    reply: Reply | None
    echo: float = 0.0
    echo_at: int = 0


class Floor:
    """Who may be heard. `wake` tells the sink that there is something to play."""

    def __init__(
        self,
        playout: Playout,
        listening: Listening,
        knobs: BargeInKnobs,
        trace: Trace,
        *,
        wake: Callable[[], None],
        echo_of: EchoOf | None,
    ) -> None:
        self.playout = playout
        self._listening = listening
        self._knobs = knobs
        self._trace = trace
        self._wake = wake
        self._echo_of = echo_of
        self.holder: Reply | None = None
        self._unfinished: dict[int, Scope] = {}
        self._challenge: Challenge | None = None
        self._judged_false: dict[int, str] = {}
        self._false_at: deque[int] = deque(maxlen=100)
        self._changed = asyncio.Event()
        self.partials = False
        """Whether the STT writes transcripts while the user speaks."""

    @property
    def busy(self) -> bool:
        """Somebody is answering, or about to."""
        return bool(self._unfinished)

    @contextmanager
    def unfinished(self, order: int) -> Iterator[Scope]:
        """An answer in the making, from its utterance's number on: it can be cut at any await."""
        scope = Scope()
        self._unfinished[order] = scope
        try:
            with scope.entered():
                yield scope
        finally:
            del self._unfinished[order]
            self._changed.set()

    @asynccontextmanager
    async def taken_by(self, reply: Reply, playing: Callable[[], None]) -> AsyncIterator[None]:
        """Wait until the floor is free, and have the reply on the sink for the body; `playing` is called at its first
        sample."""
        await self._until(lambda: self.holder is None)
        self.holder = reply
        self._wake()
        self.playout.begin(reply.audio, playing)
        try:
            yield
        finally:
            self.playout.end(reply.audio)
            self.holder = None
            self._changed.set()

    async def cleared_for(self, order: int) -> None:
        """Cut every answer that is older than utterance `order`, and wait until they are gone."""
        self.cut_before(order)
        await self._until(lambda: all(other >= order for other in self._unfinished))

    def cut_before(self, order: int) -> None:
        """Cut every unfinished answer to what was said before utterance `order`."""
        for other, scope in list(self._unfinished.items()):
            if other < order:
                scope.cut()

    async def _until(self, free: Callable[[], bool]) -> None:
        while not free():
            self._changed.clear()
            await self._changed.wait()

    # --- barge-in ----------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """At every frame, before it is heard: half duplex is deaf while we speak."""
        self._listening.deaf = self._knobs.mode == "half" and (
            self.holder is not None or self.playout.sounding(TAIL_MS)
        )

    def hear(self, utterance: Utterance) -> None:
        """Speech sets in: pause first, decide then."""
        if not self.busy:
            return
        onset = self._listening.position - self._listening.vad.window
        self._challenge = Challenge(utterance, onset, self.holder)
        position = self.playout.hold()
        reply = self.holder
        if reply is not None and reply.audio.began_at is not None:
            self._trace.emit(ReplyPaused(reply.id, reply.turn, position))

    def judge(self) -> None:
        """At every frame: the verdict on who paused the reply, as soon as there is one."""
        challenge = self._challenge
        if challenge is None:
            self._late_words()
            return
        verdict = judge(self._signs(challenge), self._knobs)
        if verdict is None:
            return
        self._challenge = None
        after_ms = (self._listening.position - challenge.onset) / PER_MS
        reply = challenge.reply
        self._trace.emit(
            BargeInJudged(
                reply.id if reply else 0,
                challenge.utterance.id,
                verdict.kind,
                verdict.reason,
                round(after_ms, 1),
            )
        )
        if verdict.kind == "interruption":
            self._interrupt(challenge.utterance)
        else:
            self._resume(challenge, verdict)

    def open_to(self, utterance: Utterance) -> bool:
        """Whether this utterance may become a turn: one that was spoken into a reply only with words that are neither a
        backchannel nor our own echo."""
        challenged = self._challenge is not None and self._challenge.utterance is utterance
        if not challenged and utterance.id not in self._judged_false:
            return True
        if self._judged_false.get(utterance.id, "").startswith("echo"):
            return False
        return content_words(utterance.transcript, self._knobs) >= self._knobs.min_words

    def forget(self, utterance: Utterance) -> None:
        """The utterance is done with."""
        self._judged_false.pop(utterance.id, None)

    def half_duplex(self, reason: str) -> None:
        """Do not listen while the agent speaks, from now on."""
        if self._knobs.mode != "half":
            self._knobs.mode = "half"
            self._trace.emit(DuplexChanged("half", reason))

    def _signs(self, challenge: Challenge) -> Signs:
        utterance, now = challenge.utterance, self._listening.position
        since_ms = (now - challenge.onset) / PER_MS
        if self._echo_of and since_ms >= ECHO_FROM_MS and (now - challenge.echo_at) / PER_MS >= ECHO_EVERY_MS:
            challenge.echo, challenge.echo_at = self._echo_of(challenge.onset, now), now
        open_ = utterance is self._listening.utterance
        return Signs(
            since_onset_ms=since_ms,
            voiced_ms=self._listening.voiced_ms() if open_ else 0.0,
            silent=utterance.state != "speaking",
            transcript=utterance.transcript,
            covered=utterance.covered or utterance.state == "dismissed",
            partials=self.partials,
            echo=challenge.echo,
        )

    def _late_words(self) -> None:
        """After a false alarm the words may still come."""
        utterance = self._listening.utterance
        if utterance is None or utterance.id not in self._judged_false or not self.open_to(utterance):
            return
        if any(other < utterance.id for other in self._unfinished):
            reply = self.holder.id if self.holder else 0
            after_ms = (self._listening.position - utterance.start_sample) / PER_MS
            self._trace.emit(
                BargeInJudged(reply, utterance.id, "interruption", "words, late", round(after_ms, 1))
            )
            self.forget(utterance)
            self._interrupt(utterance)

    def _interrupt(self, utterance: Utterance) -> None:
        self.cut_before(utterance.id)
        if self.holder is not None:
            self.playout.end(self.holder.audio)
        self.playout.release()

    def _resume(self, challenge: Challenge, verdict: Verdict) -> None:
        self._judged_false[challenge.utterance.id] = verdict.reason
        self._wake()
        position = self.playout.release()
        reply = self.holder
        if reply is not None and reply.audio.began_at is not None:
            self._trace.emit(ReplyResumed(reply.id, reply.turn, position))
        self._listening.raise_threshold()
        now = self._listening.position
        self._false_at.append(now)
        recent = [at for at in self._false_at if (now - at) / PER_MS < self._knobs.false_window_ms]
        if len(recent) >= self._knobs.false_limit:
            self.half_duplex(f"{len(recent)} false pauses within {self._knobs.false_window_ms / 1000:.0f} s")
