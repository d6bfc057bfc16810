"""The floor: one reply at a time is on the sink; who speaks into it pauses it first, and is judged then."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from workbench.engine.barge_in import Evidence, Verdict, content_words, judge, overdue
from workbench.engine.listening import PER_MS, Listening
from workbench.engine.playout import Playout
from workbench.engine.reply import Reply
from workbench.engine.settings import BargeInSettings
from workbench.engine.tasks import CancelScope
from workbench.engine.utterance import Utterance
from workbench.model.events import BargeInJudged, DuplexChanged, ReplyPaused, ReplyResumed
from workbench.trace.trace import Trace

TAIL_MS = 250
"""After a reply its echo may still be in the room for this long."""
ECHO_EVERY_MS = 100
"""The correlation with what we play costs about 1 ms, so it is not computed for each frame."""
ECHO_FROM_MS = 200
"""Less sound than this may correlate with anything, …"""
ECHO_AT_LEAST_MS = 120
"""… but so much must do when the first words come: whose are they?"""

EchoOf = Callable[[int, int], float]
"""Correlation (0…1) of the samples `start` to `stop` of `user` with what we played."""


@dataclass(slots=True)
class Challenge:
    """An utterance that paused the reply and is not judged yet."""

    utterance: Utterance
    since: int
    """Position on `user` from which on it is judged."""
    timer: asyncio.TimerHandle
    """The verdict is due even if no frame comes any more."""
    echo: float = 0.0
    echo_at: int = 0


@dataclass(slots=True)
class FalseAlarm:
    """An utterance that was judged to be no interruption."""

    reason: str
    counted_at: int
    """Position on `user` at which it counted as a false pause, if there was something to pause."""


@dataclass(slots=True)
class Unfinished:
    """An answer in the making; `utterance` is None where the agent speaks of itself."""

    scope: CancelScope
    utterance: Utterance | None

    @property
    def asked(self) -> bool:
        """All that it answers has been said: a newer one may take its place."""
        return self.utterance is None or self.utterance.over


class Floor:
    """Who may be heard. `wake` tells the sink that there is something to play; `partials`, whether the STT writes
    transcripts while the user speaks."""

    def __init__(
        self,
        playout: Playout,
        listening: Listening,
        settings: BargeInSettings,
        trace: Trace,
        *,
        wake: Callable[[], None],
        partials: Callable[[], bool],
        echo_of: EchoOf | None,
    ) -> None:
        self.playout = playout
        self._listening = listening
        self._settings = settings
        self._trace = trace
        self._wake = wake
        self._partials = partials
        self._echo_of = echo_of
        self._loop = asyncio.get_running_loop()
        self.holder: Reply | None = None
        self.released_ms = 0.0
        """When a pause was last over, on the session's clock."""
        self._unfinished: dict[int, Unfinished] = {}
        self._challenge: Challenge | None = None
        self._false: dict[int, FalseAlarm] = {}
        self._false_at: deque[int] = deque(maxlen=100)
        self._changed = asyncio.Event()
        self._asked_at = 0

    @property
    def busy(self) -> bool:
        """Somebody is answering, or about to."""
        return bool(self._unfinished)

    @contextmanager
    def unfinished(self, order: int, utterance: Utterance | None = None) -> Iterator[CancelScope]:
        """An answer in the making, from its number on; what runs in the scope can be cut at any await."""
        scope = CancelScope()
        self._unfinished[order] = Unfinished(scope, utterance)
        try:
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
        speaking = self._listening.utterance
        if speaking is not None and self._challenge is None and speaking.id not in self._false:
            self._challenged_by(speaking, self._listening.position)
        self._wake()
        reply.audio.wake = self._wake
        self.playout.begin(reply.audio, playing)
        try:
            yield
        finally:
            self.playout.end(reply.audio)
            self.holder = None
            self._changed.set()

    async def cleared_for(self, utterance: Utterance) -> None:
        """Its turn has come: cut every answer to what was said before it, and wait until they are gone."""
        self._its_words_count(utterance)
        self._cut(lambda other: other < utterance.id)
        await self._until(
            lambda: all(
                other >= utterance.id or not answer.asked for other, answer in self._unfinished.items()
            )
        )

    def interrupt(self) -> None:
        """Cut whatever is being answered; what is being said goes on."""
        self._drop_challenge()
        self._cut(lambda other: True)
        if self.holder is not None:
            self.playout.end(self.holder.audio)
        self._release()

    def close(self) -> None:
        """Nothing will happen any more."""
        self._drop_challenge()

    def _cut(self, which: Callable[[int], bool]) -> None:
        for order, answer in list(self._unfinished.items()):
            if answer.asked and which(order):
                answer.scope.cut()

    async def _until(self, free: Callable[[], bool]) -> None:
        while not free():
            self._changed.clear()
            await self._changed.wait()

    # --- barge-in ----------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """At every frame, before it is heard: half duplex is deaf while we speak."""
        self._listening.deaf = self._settings.mode == "half" and (
            self.holder is not None or self.playout.sounding(TAIL_MS)
        )

    def hear(self, utterance: Utterance) -> None:
        """Speech sets in: pause first, decide then."""
        if self.busy:
            self._challenged_by(utterance, utterance.onset)

    def judge(self) -> None:
        """At every frame: the verdict on who paused the reply, as soon as there is one."""
        now = self._listening.position
        next_ms, self._asked_at = (now - self._asked_at) / PER_MS, now
        challenge = self._challenge
        if challenge is None:
            self._late_words()
        elif (verdict := judge(self._signs(challenge, next_ms), self._settings)) is not None:
            self._conclude(challenge, verdict)

    def objection(self, utterance: Utterance) -> str | None:
        """Why this utterance may not become a turn, None if it may: one that was spoken into a reply must have words
        that are neither a backchannel nor our own echo."""
        challenged = self._challenge is not None and self._challenge.utterance is utterance
        alarm = self._false.get(utterance.id)
        if not challenged and alarm is None:
            return None
        if alarm is not None and alarm.reason.startswith("echo"):
            return "echo"
        enough = content_words(utterance.transcript, self._settings) >= self._settings.min_words
        return None if enough else "backchannel"

    def forget(self, utterance: Utterance) -> None:
        """The utterance is done with."""
        self._false.pop(utterance.id, None)

    def half_duplex(self, reason: str) -> None:
        """Do not listen while the agent speaks, from now on."""
        if self._settings.mode != "half":
            self._settings.mode = "half"
            self._trace.emit(DuplexChanged("half", reason))

    def _challenged_by(self, utterance: Utterance, since: int) -> None:
        if self._challenge is not None:
            self._conclude(self._challenge, overdue(self._settings))
        left_ms = self._settings.verdict_ms - (self._listening.position - since) / PER_MS
        timer = self._loop.call_later(max(0.0, left_ms / 1000), self._overdue)
        self._challenge = Challenge(utterance, since, timer)
        position = self.playout.hold()
        reply = self.holder
        if reply is not None and reply.audio.began_at is not None:
            self._trace.emit(ReplyPaused(reply.id, reply.turn, position))

    def _overdue(self) -> None:
        """The frames do not come as they should, but the reply must go on."""
        if self._challenge is not None:
            self._conclude(self._challenge, overdue(self._settings))

    def _conclude(self, challenge: Challenge, verdict: Verdict) -> None:
        self._drop_challenge()
        self._tell(challenge.utterance, verdict, self._listening.position - challenge.since)
        if verdict.kind == "interruption":
            self._interrupt(challenge.utterance)
        else:
            self._resume(challenge.utterance, verdict)

    def _drop_challenge(self) -> None:
        if self._challenge is not None:
            self._challenge.timer.cancel()
            self._challenge = None

    def _tell(self, utterance: Utterance, verdict: Verdict, after: int) -> None:
        reply = self.holder.id if self.holder else 0
        self._trace.emit(
            BargeInJudged(reply, utterance.id, verdict.kind, verdict.reason, round(after / PER_MS, 1))
        )

    def _signs(self, challenge: Challenge, next_ms: float) -> Evidence:
        utterance, now = challenge.utterance, self._listening.position
        since_ms = (now - challenge.since) / PER_MS
        due = since_ms >= ECHO_FROM_MS and (now - challenge.echo_at) / PER_MS >= ECHO_EVERY_MS
        first_words = (
            challenge.echo_at == 0 and utterance.transcript is not None and since_ms >= ECHO_AT_LEAST_MS
        )
        if self._echo_of and (due or first_words):
            challenge.echo, challenge.echo_at = self._echo_of(challenge.since, now), now
        open_ = utterance is self._listening.utterance
        return Evidence(
            since_onset_ms=since_ms,
            next_ms=next_ms,
            voiced_ms=self._listening.voiced_ms() if open_ else 0.0,
            silent=utterance.state != "speaking",
            transcript=utterance.transcript,
            covered=utterance.covered or utterance.state == "dismissed",
            partials=self._partials(),
            echo=challenge.echo,
        )

    def _late_words(self) -> None:
        """After a false alarm the words may still come."""
        utterance = self._listening.utterance
        if utterance is not None and utterance.id in self._false and self.objection(utterance) is None:
            self._its_words_count(utterance)

    def _its_words_count(self, utterance: Utterance) -> None:
        """Whatever was thought of an utterance that was spoken into a reply: it has words."""
        if self._challenge is not None and self._challenge.utterance is utterance:
            self._conclude(self._challenge, Verdict("interruption", "words"))
        elif (alarm := self._false.pop(utterance.id, None)) is not None:
            with suppress(ValueError):
                self._false_at.remove(alarm.counted_at)
            if any(answer.asked and order < utterance.id for order, answer in self._unfinished.items()):
                late = Verdict("interruption", "words, late")
                self._tell(utterance, late, self._listening.position - utterance.onset)
                self._interrupt(utterance)

    def _interrupt(self, utterance: Utterance) -> None:
        self._cut(lambda other: other != utterance.id)
        if self.holder is not None:
            self.playout.end(self.holder.audio)
        self._release()

    def _release(self) -> int:
        self.released_ms = self._trace.now()
        return self.playout.release()

    def _resume(self, utterance: Utterance, verdict: Verdict) -> None:
        reply, now = self.holder, self._listening.position
        if utterance.state != "dismissed":
            self._false[utterance.id] = FalseAlarm(verdict.reason, now)
        self._wake()
        position = self._release()
        if reply is None:
            return
        if reply.audio.began_at is not None:
            self._trace.emit(ReplyResumed(reply.id, reply.turn, position))
        self._listening.raise_threshold()
        self._false_at.append(now)
        recent = [at for at in self._false_at if (now - at) / PER_MS < self._settings.false_window_ms]
        if len(recent) >= self._settings.false_limit:
            self.half_duplex(
                f"{len(recent)} false pauses within {self._settings.false_window_ms / 1000:.0f} s"
            )
