"""Whether two traces tell the same: the same bytes, the same decisions, or which ones differ.

**Same bytes**: every entry is the same line, and every track the same samples. Left out is what says where and when it
was recorded, not what happened: a session's id, date and folder, names and latencies of devices, indexes of entries,
what was measured of this computer (`host_lag`) and notices on it.

**Same decisions**: the same turns with the same words, tools and cuts, and each instant within one frame (20 ms).
Decisions of a turn are how it began and ended, what was said and heard, when it was decided, reopened, heard, paused,
resumed and over, each verdict on a barge-in, and each call of a tool. Between turns: utterances that became none,
replies of the agent's own accord, fallbacks and changes of voice, language or duplex. No decision is what it cost and
what it was made of: spans, partial transcripts, replies that nobody heard, levels, probabilities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from math import isnan
from typing import Any, Literal

import numpy as np

from workbench.model import events as ev
from workbench.model.audio import INPUT_RATE
from workbench.readers import entries
from workbench.readers.pairs import pair_turns
from workbench.readers.timeline import Turn
from workbench.trace.codec import encode
from workbench.trace.trace import Trace
from workbench.trace.track import Track

Sameness = Literal["same bytes", "same decisions", "differs"]

FRAME_MS = 20.0
"""Instants may be this far apart: decisions are made frame by frame."""
BLOCK = 1 << 20
"""Samples of two tracks that are compared at a time: 2 MB each."""
_OF_THE_COMPUTER = ("host", "recorder")
"""Owners of notices that no conversation is the reason of."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that is not the same in both: None where one of them lacks it.

    `subject` names it, like `user_text`; one that ends in `_ms` is an instant, in ms of the session's clock. `turn` is
    the turn's number in the first trace (in the second one, where only that has the turn); what happens between turns
    belongs to the one before, 0 before the first.
    """

    turn: int
    subject: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class TraceVerdict:
    """Which of three it is. `differences` has all decisions that differ, in their order; `first_bytes` the first line
    or track that differs, empty for the same bytes."""

    sameness: Sameness
    differences: tuple[Difference, ...] = ()
    first_bytes: tuple[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it ready for `json.dumps`."""
        differences = [asdict(difference) for difference in self.differences]
        return {"verdict": self.sameness, "differences": differences, "first_bytes": self.first_bytes}


def compare_traces(a: Trace, b: Trace) -> TraceVerdict:
    """Compare two closed traces, entry by entry and decision by decision."""
    first_bytes = _first_bytes(a, b)
    if first_bytes is None:
        return TraceVerdict("same bytes")
    differences = (*_differences(*(Decisions.of(entries(trace)) for trace in (a, b))),)
    return TraceVerdict("differs" if differences else "same decisions", differences, first_bytes)


# --- bytes -----------------------------------------------------------------------------------------------------------


def _first_bytes(a: Trace, b: Trace) -> tuple[str, str] | None:
    """Return what is the first to differ of both; a line, or where a track differs."""
    for pair in zip_longest(_lines(a), _lines(b), fillvalue=""):
        if pair[0] != pair[1]:
            return pair
    names = sorted({*a.tracks, *b.tracks})
    return next(
        filter(None, (_first_sample(name, a.tracks.get(name), b.tracks.get(name)) for name in names)), None
    )


def _lines(trace: Trace) -> Iterator[str]:
    for entry in entries(trace):
        event = _without_place(entry.event)
        if event is not None:
            yield encode(ev.Entry(0, entry.t_ms, event))


def _without_place(event: ev.Event) -> ev.Event | None:
    """Return the event without what says where and when it was recorded; None where that is all it says."""
    match event:
        case ev.HostLag() | ev.ReaderFailed() | ev.EventsMissed():
            return None
        case ev.Notice(owner=owner) if owner in _OF_THE_COMPUTER:
            return None
        case ev.SessionStarted():
            return replace(event, session="", date="", recording=None)
        case ev.DeviceOpened():
            return replace(event, name="", latency_ms=None)
        case _:
            return event


def _first_sample(name: str, a: Track | None, b: Track | None) -> tuple[str, str] | None:
    if a is None or b is None:
        return f"{name}: {'none' if a is None else 'there'}", f"{name}: {'none' if b is None else 'there'}"
    for start in range(0, min(a.end, b.end), BLOCK):
        stop = min(a.end, b.end, start + BLOCK)
        unlike = np.flatnonzero(a.read(start, stop) != b.read(start, stop))
        if len(unlike):
            at = start + int(unlike[0])
            return (
                f"{name}: sample {at} is {a.read(at, at + 1)[0]}",
                f"{name}: sample {at} is {b.read(at, at + 1)[0]}",
            )
    return None if a.end == b.end else (f"{name}: {a.end} samples", f"{name}: {b.end} samples")


# --- decisions -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Decisions:
    """The decisions of a trace by the number of their turn; those between turns belong to the one before."""

    by_turn: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Each by its name; the second of a kind in a turn is `name.2`."""
    _counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    _turn: int = 0
    _turn_of: dict[int, int] = field(default_factory=dict)
    """The turn that became of an utterance."""
    _utterance_of: dict[int, int] = field(default_factory=dict)
    """The utterance that a reply answers."""
    _calls: dict[str, ev.ToolCalled] = field(default_factory=dict)
    _tool_ends: list[ev.ToolReturned] = field(default_factory=list)
    _onset_ms: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, trace: Iterable[ev.Entry]) -> Decisions:
        """Read a trace to its end."""
        decisions = cls()
        for entry in trace:
            decisions._feed(entry)
        for end in decisions._tool_ends:  # a call may be over before it is known to which turn it belongs
            decisions._add_tool(end)
        return decisions

    @property
    def turns(self) -> list[Turn]:
        """The turns in order, with their words; also those that never ended."""
        return [
            Turn(number, "done", values.get("user_text", ""), "")
            for number, values in sorted(self.by_turn.items())
            if number
        ]

    def _feed(self, entry: ev.Entry) -> None:
        t_ms = entry.t_ms
        match entry.event:
            case ev.TurnDecided(turn=turn, utterance=utterance, typed=typed, end_sample=end):
                self._turn, self._turn_of[utterance] = turn, turn
                speech = {} if end is None else {"speech_end_ms": end * 1000 / INPUT_RATE}
                self._add(turn, typed=typed, **speech, end_of_turn_ms=t_ms)
            case ev.TurnReopened(turn=turn):
                self._add(turn, reopened_ms=t_ms)
            case ev.Heard(turn=turn, agent_start_ms=start):
                self._add(turn, audible_ms=start)
            case ev.TurnEnded(turn=turn) as end:
                self._add(turn, user_text=end.user_text, agent_text=end.agent_text, status=end.status)
                if end.status == "failed":
                    self._add(turn, failure=f"{end.stage}: {end.reason}")
            case ev.SpeechStarted(utterance=utterance):
                self._onset_ms[utterance] = t_ms
            case ev.UtteranceDismissed(utterance=utterance, reason=reason):
                self._add(self._turn, dismissed=reason, dismissed_speech_ms=self._onset_ms.get(utterance))
            case _:
                self._feed_reply(entry.event, t_ms)

    def _feed_reply(self, event: ev.Event, t_ms: float) -> None:
        match event:
            case ev.ReplyStarted(reply=reply, utterance=int(utterance)):
                self._utterance_of[reply] = utterance
            case ev.ReplyPlaying(turn=turn):
                self._add(turn, reply_start_ms=t_ms)
            case ev.ReplyPaused(turn=turn):
                self._add(turn, paused_ms=t_ms)
            case ev.BargeInJudged(reply=reply, verdict=verdict):
                self._add(self._answered(reply), barge_in=verdict, barge_in_ms=t_ms)
            case ev.ReplyResumed(turn=turn):
                self._add(turn, resumed_ms=t_ms)
            case ev.ReplyEnded(turn=turn, status=status, heard=heard, unheard=unheard):
                said = {"said": heard, "said_status": status} if turn is None else {}
                self._add(turn, **said, unheard=unheard, reply_end_ms=t_ms)
            case ev.ToolCalled(call=call):
                self._calls[call] = event
            case ev.ToolReturned(status=status) if status != "discarded":
                self._tool_ends.append(event)
            case ev.FallbackStarted(stage=stage, fallback=fallback):
                self._add(self._turn, fallback=f"{stage}: {fallback}")
            case ev.VoiceChanged(stage=stage, state=state):
                self._add(self._turn, voice=f"{stage}: {state}")
            case ev.LanguageChanged(language=language):
                self._add(self._turn, language=language)
            case ev.DuplexChanged(mode=mode):
                self._add(self._turn, duplex=mode)

    def _add_tool(self, end: ev.ToolReturned) -> None:
        call = self._calls.pop(end.call, None)
        turn = end.turn or self._answered(end.reply)
        self._add(turn, tool=f"{end.name}({call.arguments if call else '?'})", tool_end=end.status)
        self._add(turn, tool_result=end.error or end.result)

    def _answered(self, reply: int | None) -> int | None:
        """Return the turn that a reply answers, None where it answers none that was decided."""
        utterance = None if reply is None else self._utterance_of.get(reply)
        return None if utterance is None else self._turn_of.get(utterance)

    def _add(self, turn: int | None, **values: Any) -> None:
        turn = self._turn if turn is None else turn
        for name, value in values.items():
            self._counts[turn, name] += 1
            number = self._counts[turn, name]
            self.by_turn.setdefault(turn, {})[name if number == 1 else f"{name}.{number}"] = value


def _differences(a: Decisions, b: Decisions) -> Iterator[Difference]:
    """Yield what differs, turn by turn; a turn that only one of them has is one difference."""
    yield from _differences_of_turn(0, a.by_turn.get(0, {}), b.by_turn.get(0, {}))
    for pair in pair_turns(a.turns, b.turns):
        if pair.a is not None and pair.b is not None:
            before, after = a.by_turn[pair.a.turn], b.by_turn[pair.b.turn]
            yield from _differences_of_turn(pair.a.turn, before, after)
        elif pair.a is not None:
            yield Difference(pair.a.turn, "turn", pair.a.user_text, None)
        elif pair.b is not None:
            yield Difference(pair.b.turn, "turn", None, pair.b.user_text)


def _differences_of_turn(turn: int, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    for subject in {**a, **b}:
        before, after = a.get(subject), b.get(subject)
        if before != after and not _near(subject, before, after):
            yield Difference(turn, subject, before, after)


def _near(subject: str, a: Any, b: Any) -> bool:
    """Decide whether two values are one instant; an unknown time (NaN) is one only with another."""
    if not subject.split(".")[0].endswith("_ms") or a is None or b is None:
        return False
    return abs(a - b) <= FRAME_MS + 1e-6 or (isnan(a) and isnan(b))
