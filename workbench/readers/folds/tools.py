"""The tools of a session: every call from when it is asked for to its end, and what may be called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers.folds.calls import CallRecord, CallSpan, CallState

KEPT = 300
"""Calls kept of a live session; older ones are in the trace."""
KEPT_CHARS = 100_000
"""Characters kept of arguments, result and error: more than anybody reads on a screen."""
RECENT = 1_000
"""Turns and answers that a call may still be put to."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ToolActivity:
    """Calls, oldest first; the `names` that the model may choose from; the answers of those that are mocked."""

    calls: tuple[CallRecord, ...] = ()
    names: tuple[str, ...] = ()
    mocks: dict[str, str] = field(default_factory=dict)

    def of(self, turn: int) -> tuple[CallRecord, ...]:
        """Return the calls of a turn in order of their start, without those of answers that were thrown away."""
        own = (call for call in self.calls if call.turn == turn and call.state != "discarded")
        placed = [(call.place.start_ms, call) for call in own if call.place]
        return tuple(call for _, call in sorted(placed, key=lambda pair: pair[0]))


@dataclass(frozen=True, slots=True)
class _Times:
    """A turn on the session's clock: `zero_ms` is the end of the user's speech, guessed until the tracks say it."""

    zero_ms: float
    heard_ms: float | None = None
    typed: bool = False


class ToolsFold:
    """A fold: `now` is what the panel shows."""

    def __init__(self, keep: int | None = KEPT) -> None:
        self._keep = keep
        self._calls: dict[str, CallRecord] = {}
        self._utterances: dict[int, int | None] = {}
        self._turns: dict[int, int] = {}
        self._times: dict[int, _Times] = {}
        self._names: tuple[str, ...] = ()
        self._mocks: dict[str, str] = {}
        self._now: ToolActivity | None = None

    @property
    def now(self) -> ToolActivity:
        """The tools as they stand; the same object while nothing changed."""
        if self._now is None:
            self._now = ToolActivity(tuple(self._calls.values()), self._names, dict(self._mocks))
        return self._now

    def feed(self, entry: Entry) -> tuple[CallRecord, ...]:
        """Take the next entry; return the calls that it changed."""
        changed = tuple(self._changed(entry))
        if changed:
            self._now = None
        for call in changed:
            self._calls[call.key] = call
        while self._keep is not None and len(self._calls) > self._keep:
            del self._calls[next(iter(self._calls))]
        return changed

    def _changed(self, entry: Entry) -> Iterable[CallRecord]:
        match entry.event:
            case ev.ToolCalled() | ev.ToolStarted() | ev.ToolProgressed() | ev.ToolReturned() as event:
                return (self._placed(self._updated(event, entry.t_ms)),)
            case ev.ToolsChanged(names=names):
                self._names, self._now = names, None
            case ev.ToolMocked(name=name, answer=answer):
                self._mocks.pop(name, None)
                self._mocks |= {} if answer is None else {name: answer}
                self._now = None
            case ev.ReplyDiscarded(reply=reply):
                return self._end("discarded", entry.t_ms, lambda call: _waits_for(call, reply))
            case ev.SessionEnded():
                return self._end("cancelled", entry.t_ms, lambda call: call.open)
            case event:
                return self._turn(event, entry.t_ms)
        return ()

    def _updated(
        self, event: ev.ToolCalled | ev.ToolStarted | ev.ToolProgressed | ev.ToolReturned, t_ms: float
    ) -> CallRecord:
        call = self._calls.get(event.call) or CallRecord(
            event.call, event.name, reply=event.reply, asked_ms=t_ms
        )
        call = replace(call, turn=call.turn if event.turn is None else event.turn)
        match event:
            case ev.ToolCalled(arguments=arguments):
                return replace(call, arguments=arguments[:KEPT_CHARS])
            case ev.ToolStarted(attempt=attempt, mocked=mocked):
                began = t_ms if call.started_ms is None else call.started_ms
                return replace(call, state="running", started_ms=began, attempt=attempt, mocked=mocked)
            case ev.ToolProgressed(text=text, fraction=fraction):
                return replace(call, progress=text[:KEPT_CHARS], fraction=fraction)
            case _:
                return _ended(call, event, t_ms)

    def _turn(self, event: ev.Event, t_ms: float) -> Iterable[CallRecord]:
        """Take what says to which turn a call belongs, and when that was; return the calls that moved."""
        match event:
            case ev.ReplyStarted(reply=reply, utterance=utterance, turn=turn):
                _put(self._utterances, reply, utterance)
                if turn is not None:
                    _put(self._turns, reply, turn)
            case ev.ReplyPlaying(reply=reply, turn=int(turn)):
                _put(self._turns, reply, turn)
            case ev.TurnDecided(turn=turn, utterance=utterance, waited_ms=waited, typed=typed):
                _put(self._times, turn, _Times(t_ms - waited, typed=typed))
                for reply, answered in self._utterances.items():
                    if answered == utterance:
                        _put(self._turns, reply, turn)
            case ev.Heard(turn=turn, user_end_ms=end, agent_start_ms=start):
                times = self._times.get(turn, _Times(t_ms))
                _put(self._times, turn, _Times(times.zero_ms if end is None else end, start, times.typed))
            case _:
                return ()
        recent = islice(reversed(self._calls.values()), KEPT)
        moved = [(call, self._placed(call)) for call in recent]
        return [after for before, after in moved if after != before]

    def _placed(self, call: CallRecord) -> CallRecord:
        turn = call.turn if call.turn is not None or call.reply is None else self._turns.get(call.reply)
        times = self._times.get(turn) if turn is not None else None
        if times is None:
            return call if turn == call.turn else replace(call, turn=turn)
        start = call.asked_ms if call.started_ms is None else call.started_ms
        return replace(
            call,
            turn=turn,
            place=CallSpan(
                start - times.zero_ms,
                None if call.ended_ms is None else call.ended_ms - times.zero_ms,
                None if times.heard_ms is None else times.heard_ms - times.zero_ms,
                times.typed,
            ),
        )

    def _end(self, state: CallState, t_ms: float, which: Callable[[CallRecord], bool]) -> list[CallRecord]:
        ended = (replace(call, state=state, ended_ms=t_ms) for call in self._calls.values() if which(call))
        return [self._placed(call) for call in ended]


def _ended(call: CallRecord, event: ev.ToolReturned, t_ms: float) -> CallRecord:
    return replace(
        call,
        state=event.status,
        ended_ms=t_ms,
        took_ms=None if call.started_ms is None else event.took_ms,
        result=event.result[:KEPT_CHARS],
        result_chars=len(event.result),
        error=(event.error or "")[:KEPT_CHARS],
        shown=event.shown,
    )


def _waits_for(call: CallRecord, reply: int) -> bool:
    return call.state == "pending" and call.reply == reply


def _put(recent: dict[int, Value], key: int, value: Value) -> None:
    recent.pop(key, None)
    recent[key] = value
    if len(recent) > RECENT:
        del recent[next(iter(recent))]
