"""Turns, with where the time went.

Start and end of a turn's waterfall are what the tracks say (`Heard`), not what a stage says. Between them each part
counts only where it lies on the critical path: endpointing first, then the answer's spans in the order in which they
ended, each from where the one before it ended. What ran hidden beside that is a lane and counts 0. What no part
explains is `unexplained`: signed, never clamped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from workbench.model.events import (
    PARTS,
    EchoState,
    Entry,
    Heard,
    HostLag,
    Levels,
    Part,
    ReplyDiscarded,
    ReplyEnded,
    ReplyPaused,
    ReplyPlaying,
    ReplyResumed,
    ReplyText,
    Span,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    Transcribed,
    TurnDecided,
    TurnEnded,
    TurnStatus,
    UtteranceDismissed,
    VadBatch,
)

CHAIN: tuple[Part, ...] = (
    "network_in",
    "jitter_buffer",
    "endpointing",
    "stt",
    "llm_first_token",
    "first_chunk",
    "tools",
    "tts_first_byte",
    "floor",
    "network_out",
    "playback_buffer",
    "output_buffer",
    "leading_silence",
)
"""The parts in the order in which they follow each other."""
INWARD: tuple[Part, ...] = ("network_in", "jitter_buffer")
"""What comes before endpointing where the user is far away: it waits for the sound first."""
OFTEN = frozenset({EchoState, HostLag, Levels, VadBatch})
"""Most of the entries, and nothing in them for a timeline: passed over in 0.1 µs instead of 2."""
KEPT_TURNS = 1000
"""Turns that a timeline keeps: 2 MB."""
KEPT_SPANS = 1000
"""Spans that may still find their turn; an answer has ten, one with many tool calls fifty."""
KEPT_TEXTS = 16
"""Answers in the making whose text is kept: the one that plays, and what was prepared and never heard of again."""


@dataclass(frozen=True, slots=True)
class TurnError:
    """Why a turn failed, and what to do."""

    stage: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that has ended.

    `heard_latency_ms`: from the last sample of the user's speech to the first audible one of the answer; None if typed
    or never heard. `parts_ms`: every part, 0 where absent, and `unexplained`; they sum to `heard_latency_ms`.
    `lanes_ms`: [start, end] of each part relative to the end of speech (typed: to when it was typed), from first start
    to last end where it ran several times. `agent_text`: what was heard of the answer.
    """

    turn: int
    status: TurnStatus
    user_text: str
    agent_text: str
    heard_latency_ms: float | None = None
    parts_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*PARTS, "unexplained"), 0.0))
    lanes_ms: dict[str, tuple[float, float]] = field(default_factory=dict)
    discarded_replies: int = 0
    usage: dict[str, float] = field(default_factory=dict)
    cold: bool = False
    error: TurnError | None = None

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints, ready for `json.dumps`."""
        return {**asdict(self), "lanes_ms": {part: list(lane) for part, lane in self.lanes_ms.items()}}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from workbench.views.html import turn_html  # it draws turns, so it imports this module

        return turn_html(self)


@dataclass(slots=True)
class Live:
    """What is going on right now, for screens. `partial`: the user's words so far; `said`: the answer's text so far."""

    user: Literal["silent", "speaking", "paused"] = "silent"
    agent: Literal["idle", "thinking", "speaking", "paused"] = "idle"
    partial: str = ""
    said: str = ""
    turn: int | None = None
    reply: int | None = None


@dataclass(slots=True)
class _Open:
    """A turn that was decided and has not ended."""

    utterance: int | None = None
    decided_ms: float | None = None
    reply: int | None = None
    heard: Heard | None = None


class Timeline:
    """A reader: folds entries into `turns` (the last `keep`, None: all) and `live`; calls `on_turn` with each turn that
    ended."""

    def __init__(
        self, on_turn: Callable[[Turn], None] | None = None, *, keep: int | None = KEPT_TURNS
    ) -> None:
        self.turns: deque[Turn] = deque(maxlen=keep)
        self.live = Live()
        self._on_turn = on_turn
        self._open: dict[int, _Open] = {}
        self._spans: deque[Span] = deque(maxlen=KEPT_SPANS)
        self._discarded: deque[int | None] = deque(maxlen=KEPT_SPANS)
        self._texts: dict[int, str] = {}

    def __call__(self, entry: Entry) -> None:
        """Take the next entry."""
        if type(entry.event) in OFTEN:
            return
        self._watch_user(entry)
        self._watch_agent(entry)
        match entry.event:
            case TurnDecided(turn=turn, utterance=utterance):
                self._open[turn] = _Open(utterance, entry.t_ms)
            case ReplyPlaying(reply=reply, turn=int(turn)) if turn in self._open:
                self._open[turn].reply = reply
            case ReplyDiscarded(reply=reply, utterance=utterance):
                self._discarded.append(utterance)
                self._spans = deque((span for span in self._spans if span.reply != reply), KEPT_SPANS)
            case Span() as span:
                self._spans.append(span)
            case Heard(turn=turn) as heard if turn in self._open:
                self._open[turn].heard = heard
            case TurnEnded() as ended:
                self._ended(ended)
            case _:
                pass

    def _ended(self, ended: TurnEnded) -> None:
        found = self._open.pop(ended.turn, _Open())
        spans = [span for span in self._spans if _belongs(span, ended.turn, found)]
        turn = _turn(
            ended, found, spans, sum(_same(utterance, found.utterance) for utterance in self._discarded)
        )
        self.turns.append(turn)
        if self._on_turn is not None:
            self._on_turn(turn)

    def _watch_user(self, entry: Entry) -> None:
        live = self.live
        match entry.event:
            case SpeechStarted():
                live.user, live.partial = "speaking", ""
            case SpeechPaused():
                live.user = "paused"
            case SpeechResumed():
                live.user = "speaking"
            case Transcribed(text=text):
                live.partial = text
            case UtteranceDismissed():
                live.user, live.partial = "silent", ""
            case TurnDecided(turn=turn):
                live.user, live.turn = "silent", turn
                live.agent = "thinking" if live.agent == "idle" else live.agent
            case TurnEnded(turn=turn) if turn == live.turn and live.agent == "thinking":
                live.agent = "idle"
            case _:
                pass

    def _watch_agent(self, entry: Entry) -> None:
        live = self.live
        match entry.event:
            case ReplyText(reply=reply, text=text):
                self._texts[reply] = self._texts.get(reply, "") + text
                if reply == live.reply:
                    live.said = self._texts[reply]
                if len(self._texts) > KEPT_TEXTS:
                    del self._texts[next(iter(self._texts))]
            case ReplyDiscarded(reply=reply):
                self._texts.pop(reply, None)
            case ReplyPlaying(reply=reply):
                live.agent, live.reply, live.said = "speaking", reply, self._texts.get(reply, "")
            case ReplyPaused():
                live.agent = "paused"
            case ReplyResumed():
                live.agent = "speaking"
            case ReplyEnded(reply=reply):
                self._texts.pop(reply, None)
                if reply == live.reply:
                    live.reply, live.said = None, ""
                    live.agent = "thinking" if self._unanswered(live.turn) else "idle"
            case _:
                pass

    def _unanswered(self, turn: int | None) -> bool:
        return turn in self._open and self._open[turn].reply is None


def turns(entries: Iterable[Entry]) -> Iterator[Turn]:
    """The turns of a recorded trace, one after the other."""
    ready: list[Turn] = []
    timeline = Timeline(ready.append, keep=1)
    for entry in entries:
        timeline(entry)
        yield from ready
        ready.clear()


def critical_path(
    start_ms: float, decided_ms: float | None, end_ms: float, spans: Iterable[Span]
) -> dict[str, float]:
    """Share of each part in end − start, ms, and `unexplained`; their sum is end − start.

    A span that starts after the end (a tool called while the answer is already heard) is not on the way to it. One that
    reaches beyond the end is not clipped, so that an error in the clocks shows as a negative `unexplained`.
    """
    parts = dict.fromkeys((*PARTS, "unexplained"), 0.0)
    spans = list(spans)
    arrived_ms = start_ms
    for span in spans:
        if span.part in INWARD:
            parts[span.part] += span.end_ms - span.start_ms
            arrived_ms += span.end_ms - span.start_ms
    cursor = arrived_ms
    if decided_ms is not None and decided_ms > arrived_ms:
        parts["endpointing"] = decided_ms - arrived_ms
        cursor = decided_ms
    for part, first_ms, last_ms in _in_order(spans):
        if first_ms > end_ms or last_ms <= cursor or last_ms <= first_ms:
            continue  # one of no length explains nothing, and would hide what began before it
        parts[part] += last_ms - max(cursor, first_ms)
        cursor = last_ms
    parts = {part: round(ms, 3) for part, ms in parts.items()}
    parts["unexplained"] = round(end_ms - start_ms - sum(parts.values()), 3)
    return parts


def _in_order(spans: list[Span]) -> list[tuple[Part, float, float]]:
    """The spans after the decision by their ends."""
    found = [
        (span.part, span.start_ms, span.end_ms)
        for span in spans
        if span.part != "endpointing" and span.part not in INWARD
    ]
    return sorted(found, key=lambda one: (one[2], one[1]))


def _turn(ended: TurnEnded, found: _Open, spans: list[Span], discarded: int) -> Turn:
    heard = found.heard
    start_ms = heard.user_end_ms if heard else None
    end_ms = heard.agent_start_ms if heard else None
    known: dict[str, Any] = {}
    if start_ms is not None and end_ms is not None:
        known["heard_latency_ms"] = round(end_ms - start_ms, 3)
        known["parts_ms"] = critical_path(start_ms, found.decided_ms, end_ms, spans)
    error = (
        TurnError(ended.stage or "", ended.reason or "", ended.hint or "")
        if ended.status == "failed"
        else None
    )
    return Turn(
        ended.turn,
        ended.status,
        ended.user_text,
        ended.agent_text,
        lanes_ms=_lanes(start_ms, found.decided_ms, spans),
        discarded_replies=discarded,
        usage=dict(ended.usage),
        cold=ended.cold,
        error=error,
        **known,
    )


def _lanes(
    start_ms: float | None, decided_ms: float | None, spans: Iterable[Span]
) -> dict[str, tuple[float, float]]:
    """First start and last end of each part, relative to the end of speech, else to the decision, as in `CHAIN`.

    What ended before the end of speech was for words that the user then went on from.
    """
    spans = list(spans)
    zero = decided_ms if start_ms is None else start_ms
    if zero is None:
        return {}
    lanes: dict[str, tuple[float, float]] = {}
    if start_ms is not None and decided_ms is not None:
        inward_ms = sum(span.end_ms - span.start_ms for span in spans if span.part in INWARD)
        lanes["endpointing"] = (round(inward_ms, 3), round(decided_ms - start_ms, 3))
    for span in sorted(spans, key=lambda span: span.start_ms):
        if span.part == "endpointing" or span.end_ms < zero:
            continue
        start, end = round(span.start_ms - zero, 3), round(span.end_ms - zero, 3)
        before = lanes.get(span.part, (start, end))
        lanes[span.part] = (min(before[0], start), max(before[1], end))
    return {part: lanes[part] for part in CHAIN if part in lanes}


def _belongs(span: Span, turn: int, found: _Open) -> bool:
    """By the reply where both have one, else by the utterance or the turn."""
    if span.reply is not None and found.reply is not None:
        return span.reply == found.reply
    return _same(span.utterance, found.utterance) or span.turn == turn


def _same(one: int | None, other: int | None) -> bool:
    return one is not None and one == other


# --- drawing ---------------------------------------------------------------------------------------------------------

_LABEL = 16
_FIGURE = 9
_LEAST_BAR = 8


def waterfall_text(turn: Turn, width: int) -> str:
    """The waterfall of a turn as lines of plain text, none wider than `width` cells.

    `█` lies on the critical path, `░` ran hidden beside it. In a narrow place the bars are left out.
    """
    ends = [end for _, end in turn.lanes_ms.values()] + [turn.heard_latency_ms or 0.0, 1.0]
    starts = [start for start, _ in turn.lanes_ms.values()] + [0.0]
    low, high = min(starts), max(ends)
    room = width - _LABEL - _FIGURE - 1
    rows = [
        _row(part, turn.parts_ms[part], _bar(lane, turn.parts_ms[part], low, high, room), width)
        for part, lane in turn.lanes_ms.items()
    ]
    if turn.heard_latency_ms is not None:
        rows.append(_row("unexplained", turn.parts_ms["unexplained"], "", width))
        rows.append(_row("heard after", turn.heard_latency_ms, "", width))
    return "\n".join(rows)


def _row(label: str, ms: float, bar: str, width: int) -> str:
    return f"{label:<{_LABEL}}{round(ms):>{_FIGURE - 3}} ms {bar}".rstrip()[: max(0, width)]


def _bar(lane: tuple[float, float], counted_ms: float, low: float, high: float, room: int) -> str:
    """What was counted of a lane is its end: up to there an earlier part was still running."""
    if room < _LEAST_BAR:
        return ""
    scale = room / (high - low)
    first, last = min(round((lane[0] - low) * scale), room - 1), round((lane[1] - low) * scale)
    last = max(last, min(first + 1, room))
    solid = min(last, max(first, round((lane[1] - counted_ms - low) * scale)))
    if counted_ms and solid == last:
        solid = max(first, last - 1)
    return " " * first + "░" * (solid - first) + "█" * (last - solid)
