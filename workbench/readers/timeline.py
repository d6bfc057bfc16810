"""Turns, with where the time went.

Start and end of a turn's waterfall are what the tracks say (`Heard`), not what a stage says. Between them each part
counts only where it lies on the critical path: endpointing first, then the answer's spans in the order in which they
ended, each from where the one before it ended. What ran hidden beside that is a lane and counts 0. What no part
explains is `unexplained`: signed, never clamped. Words that were spoken before the session listened (its models were
loading) waited for the `startup` first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal

from workbench.model.events import (
    PARTS,
    BargeInJudged,
    Entry,
    Event,
    Heard,
    ListeningStarted,
    Part,
    ReplyDiscarded,
    ReplyEnded,
    ReplyPaused,
    ReplyPlaying,
    ReplyResumed,
    Span,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    Transcribed,
    TurnDecided,
    TurnEnded,
    TurnReopened,
    TurnStatus,
    UtteranceDismissed,
)
from workbench.readers import FREQUENT

CHAIN = (
    "startup",
    "network_in",
    "jitter_buffer",
    "endpointing",
    "cpu_wait",
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
STAGE_OF: dict[str, str] = {"stt": "stt", "llm_first_token": "llm", "tts_first_byte": "tts"}
"""The parts that a provider answers for."""
KEPT_TURNS = 1000
"""Turns that a timeline keeps: 2 MB."""
KEPT_SPANS = 1000
"""Spans that may still find their turn; an answer has ten, one with many tool calls fifty."""


@dataclass(frozen=True, slots=True)
class TurnError:
    """Why a turn failed, and what to do."""

    stage: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that has ended, or is `running` while its answer is heard.

    `heard_latency_ms`: from the last sample of the user's speech to the first audible one of the answer; None if typed
    or never heard. `parts_ms`: every part, 0 where absent, and `unexplained`; they sum to `heard_latency_ms`; `startup`
    is there only where the user spoke before the session listened. `lanes_ms`: [start, end] of each part relative to
    the end of speech (typed: to when it was typed), from first start to last end where it ran several times.
    `agent_text`: what was heard of the answer. `reopened`: how often the user went on after it was decided, before
    anything of the answer was heard. `overlap_ms`: for how long both were audible at the same time.
    """

    turn: int
    status: TurnStatus | Literal["running"]
    user_text: str
    agent_text: str
    heard_latency_ms: float | None = None
    parts_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*PARTS, "unexplained"), 0.0))
    lanes_ms: dict[str, tuple[float, float]] = field(default_factory=dict)
    discarded_replies: int = 0
    reopened: int = 0
    overlap_ms: float = 0.0
    usage: dict[str, float | None] = field(default_factory=dict)
    cold: bool = False
    error: TurnError | None = None
    providers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Who answered in each stage; several where one took over from another."""
    html: ClassVar[Callable[[Turn], str]] = repr
    """How a notebook shows a turn; the views put theirs here, which this module may not import."""

    def _repr_html_(self) -> str:
        return type(self).html(self)

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints, ready for `json.dumps`."""
        lists = {
            name: {key: list(values) for key, values in getattr(self, name).items()}
            for name in ("lanes_ms", "providers")
        }
        return {**asdict(self), **lists}


@dataclass(slots=True)
class LiveState:
    """Who speaks right now; the agent is `thinking` from the end of a turn until its answer plays, `paused` until it is
    known what the user says into it, and `waiting` where that takes long, as the words are late."""

    user: Literal["silent", "speaking", "paused"] = "silent"
    agent: Literal["idle", "thinking", "speaking", "paused", "waiting"] = "idle"


@dataclass(slots=True)
class _OpenTurn:
    """A turn that was decided and has not ended."""

    utterance: int | None = None
    decided_ms: float | None = None
    reopened: int = 0
    reply: int | None = None
    user_end_ms: float | None = None
    agent_start_ms: float | None = None

    def owns(self, span: Span, turn: int) -> bool:
        """Decide by the reply where both have one, else by the utterance or the turn."""
        if span.reply is not None and self.reply is not None:
            return span.reply == self.reply
        return self.answers(span.utterance) or span.turn == turn

    def answers(self, utterance: int | None) -> bool:
        """Return whether it answers this utterance."""
        return utterance is not None and utterance == self.utterance


class Timeline:
    """A fold: `turns` that have ended (the last `keep`, None: all), the `running` one from its first audible sample on,
    and `live`. Calls `on_turn` with each turn that has ended."""

    def __init__(
        self, on_turn: Callable[[Turn], None] | None = None, *, keep: int | None = KEPT_TURNS
    ) -> None:
        self.turns: deque[Turn] = deque(maxlen=keep)
        self.running: Turn | None = None
        self.live = LiveState()
        self._on_turn = on_turn
        self._listening_ms = 0.0
        self._open: dict[int, _OpenTurn] = {}
        self._spans: deque[Span] = deque(maxlen=KEPT_SPANS)
        self._discarded: deque[int | None] = deque(maxlen=KEPT_SPANS)
        self._transcribed: deque[tuple[int, str]] = deque(maxlen=KEPT_SPANS)
        self._last_turn = 0
        self._playing: int | None = None

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        if type(entry.event) in FREQUENT:  # passed over in 0.1 µs instead of 2
            return
        self._watch(entry.event)
        match entry.event:
            case ListeningStarted():
                self._listening_ms = entry.t_ms
            case TurnDecided(turn=turn, utterance=utterance):
                reopened = self._open[turn].reopened if turn in self._open else 0
                self._open[turn] = _OpenTurn(utterance, entry.t_ms, reopened)
            case TurnReopened(turn=turn) if turn in self._open:
                self._open[turn].reopened += 1
            case ReplyPlaying(reply=reply, turn=int(turn)) if turn in self._open:
                self._open[turn].reply = reply
            case Transcribed(utterance=utterance, final=True, provider=provider) if provider:
                self._transcribed.append((utterance, provider))
            case ReplyDiscarded(reply=reply, utterance=utterance):
                self._discarded.append(utterance)
                self._spans = deque((span for span in self._spans if span.reply != reply), KEPT_SPANS)
            case Span() as span:
                self._spans.append(span)
                if self.running is not None:
                    self.running = self._run(self.running.turn)
            case Heard(turn=turn, user_end_ms=user_end, agent_start_ms=agent_start) if turn in self._open:
                self._open[turn].user_end_ms, self._open[turn].agent_start_ms = user_end, agent_start
                self.running = self._run(turn) if agent_start is not None else self.running
            case TurnEnded() as ended:
                self._end(ended)
            case _:
                pass

    def _run(self, turn: int) -> Turn:
        return replace(self._turn(TurnEnded(turn, "done", "", ""), self._open[turn]), status="running")

    def _end(self, ended: TurnEnded) -> None:
        turn = self._turn(ended, self._open.pop(ended.turn, _OpenTurn()))
        if self.running is not None and self.running.turn == ended.turn:
            self.running = None
        self.turns.append(turn)
        if self._on_turn is not None:
            self._on_turn(turn)

    def _turn(self, ended: TurnEnded, open_turn: _OpenTurn) -> Turn:
        start_ms, decided_ms, end_ms = open_turn.user_end_ms, open_turn.decided_ms, open_turn.agent_start_ms
        spans = [span for span in self._spans if open_turn.owns(span, ended.turn)]
        latency: dict[str, Any] = {}
        if start_ms is not None and end_ms is not None:
            latency["heard_latency_ms"] = round(end_ms - start_ms, 3)
            latency["parts_ms"] = critical_path(start_ms, decided_ms, end_ms, spans, self._listening_ms)
        failed = ended.status == "failed"
        return Turn(
            ended.turn,
            ended.status,
            ended.user_text,
            ended.agent_text,
            lanes_ms=_lanes(start_ms, decided_ms, spans, self._listening_ms),
            discarded_replies=sum(map(open_turn.answers, self._discarded)),
            reopened=open_turn.reopened,
            overlap_ms=ended.overlap_ms,
            usage=dict(ended.usage),
            cold=ended.cold,
            providers=_providers([it for it in self._transcribed if open_turn.answers(it[0])], spans),
            error=TurnError(ended.stage or "", ended.reason or "", ended.hint or "") if failed else None,
            **latency,
        )

    def _watch(self, event: Event) -> None:
        live = self.live
        match event:
            case SpeechStarted() | SpeechResumed():
                live.user = "speaking"
            case SpeechPaused():
                live.user = "paused"
            case UtteranceDismissed():
                live.user = "silent"
            case TurnReopened() if live.agent == "thinking":
                live.agent = "idle"
            case TurnDecided(turn=turn):
                live.user, self._last_turn = "silent", turn
                live.agent = "thinking" if live.agent == "idle" else live.agent
            case TurnEnded(turn=turn) if turn == self._last_turn and live.agent == "thinking":
                live.agent = "idle"
            case ReplyPlaying(reply=reply):
                live.agent, self._playing = "speaking", reply
            case ReplyPaused():
                live.agent = "paused"
            case ReplyResumed():
                live.agent = "speaking"
            case BargeInJudged(verdict="waiting"):
                live.agent = "waiting"
            case ReplyEnded(reply=reply) if reply == self._playing:
                self._playing = None
                last = self._open.get(self._last_turn)
                live.agent = "thinking" if last is not None and last.reply is None else "idle"
            case _:
                pass


def _providers(transcribed: Iterable[tuple[int, str]], spans: Iterable[Span]) -> dict[str, tuple[str, ...]]:
    """Return who answered in each stage, in their order."""
    names: dict[str, dict[str, None]] = {"stt": {provider: None for _, provider in transcribed}}
    for span in spans:
        if span.provider and span.part in STAGE_OF and span.part != "stt":
            names.setdefault(STAGE_OF[span.part], {})[span.provider] = None
    return {stage: tuple(providers) for stage, providers in names.items() if providers}


def turns(entries: Iterable[Entry]) -> Iterator[Turn]:
    """Yield the turns of a recorded trace, one after the other."""
    ready: list[Turn] = []
    timeline = Timeline(ready.append, keep=1)
    for entry in entries:
        timeline.feed(entry)
        yield from ready
        ready.clear()


def critical_path(
    start_ms: float,
    decided_ms: float | None,
    end_ms: float,
    spans: Iterable[Span],
    listening_ms: float = 0.0,
) -> dict[str, float]:
    """Return the share of each part in end − start, ms, and `unexplained`; their sum is end − start.

    A span that starts after the end (a tool called while the answer is already heard) is not on the way to it. One that
    reaches beyond the end is not clipped, so that an error in the clocks shows as a negative `unexplained`.
    """
    parts = dict.fromkeys((*PARTS, "unexplained"), 0.0)
    inward, work = _by_place(spans, listening_ms)
    cursor = start_ms
    if listening_ms > start_ms:
        parts["startup"] = listening_ms - start_ms
        cursor = listening_ms
    for span in inward:
        parts[span.part] += span.end_ms - span.start_ms
        cursor += span.end_ms - span.start_ms
    if decided_ms is not None and decided_ms > cursor:
        parts["endpointing"] = decided_ms - cursor
        cursor = decided_ms
    for span in sorted(work, key=lambda span: (span.end_ms, span.start_ms)):
        if span.start_ms > end_ms or span.end_ms <= cursor or span.end_ms <= span.start_ms:
            continue  # one of no length explains nothing, and would hide what began before it
        parts[span.part] += span.end_ms - max(cursor, span.start_ms)
        cursor = span.end_ms
    parts = {part: round(ms, 3) for part, ms in parts.items()}
    parts["unexplained"] = round(end_ms - start_ms - sum(parts.values()), 3)
    return parts


def _by_place(spans: Iterable[Span], listening_ms: float) -> tuple[list[Span], list[Span]]:
    """Return what lies before endpointing, from when the session listened on, and what comes after the decision."""
    spans = [span for span in spans if span.part != "endpointing"]
    inward = [
        replace(span, start_ms=max(span.start_ms, listening_ms))
        for span in spans
        if span.part in INWARD and span.end_ms > listening_ms
    ]
    return inward, [span for span in spans if span.part not in INWARD]


def _lanes(
    start_ms: float | None, decided_ms: float | None, spans: Sequence[Span], listening_ms: float
) -> dict[str, tuple[float, float]]:
    """Return first start and last end of each part, relative to the end of speech, else to the decision, as in `CHAIN`.

    What ended before the end of speech was for words that the user then went on from.
    """
    zero_ms = decided_ms if start_ms is None else start_ms
    if zero_ms is None:
        return {}
    inward, work = _by_place(spans, listening_ms)
    lanes: dict[str, tuple[float, float]] = {}
    if start_ms is not None and decided_ms is not None:
        startup_ms = max(0.0, listening_ms - start_ms)
        if startup_ms:
            lanes["startup"] = (0.0, round(startup_ms, 3))
        inward_ms = startup_ms + sum(span.end_ms - span.start_ms for span in inward)
        lanes["endpointing"] = (round(inward_ms, 3), round(decided_ms - start_ms, 3))
    for span in sorted((*inward, *work), key=lambda span: span.start_ms):
        if span.end_ms < zero_ms:
            continue
        start, end = round(span.start_ms - zero_ms, 3), round(span.end_ms - zero_ms, 3)
        first, last = lanes.get(span.part, (start, end))
        lanes[span.part] = (min(first, start), max(last, end))
    return {part: lanes[part] for part in CHAIN if part in lanes}
