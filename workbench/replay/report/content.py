"""What a report is made of, read from the trace once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from workbench.model import events as ev
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.events import Entry
from workbench.readers import notable, plausible
from workbench.readers.folds.calls import CallRecord
from workbench.readers.folds.conversation import ConversationFold, ConversationLine, LineState, note_of
from workbench.readers.folds.decisions import Account, DecisionsFold
from workbench.readers.folds.tools import ToolsFold
from workbench.readers.latency import LatencySummary
from workbench.readers.moments import MomentsFold
from workbench.readers.timeline import Timeline, Turn
from workbench.trace.trace import Trace

MOST_NOTES = 500
"""Notices that are listed: one that comes every second for hours is said often enough."""


@dataclass(frozen=True, slots=True)
class TimedNote:
    """A notice, an error, a bookmark: at `t_ms` of the session's clock."""

    t_ms: float
    state: LineState
    text: str
    hint: str


@dataclass(slots=True)
class ReportContent:
    """A recording as a report shows it."""

    turns: list[Turn]
    moments: MomentsFold
    lines: tuple[ConversationLine, ...]
    calls: dict[int | None, list[CallRecord]]
    """Calls of tools by their turns; None: those that no turn has."""
    accounts: dict[int | None, list[Account]]
    """Why the agent did or did not speak, by turns; None: what became no turn."""
    notes: list[TimedNote] = field(default_factory=list)
    notes_omitted: int = 0
    discarded: dict[int | None, list[ev.ReplyDiscarded]] = field(default_factory=dict)
    """Replies that were thrown away, by the turn that they would have answered."""
    started: ev.SessionStarted | None = None
    spent: dict[str, float | None] = field(default_factory=dict)

    @property
    def latency(self) -> LatencySummary:
        """Percentiles of the turns that compare."""
        return LatencySummary(self.turns)


class _Reader:
    """The folds, fed side by side."""

    def __init__(self) -> None:
        rates: dict[ev.TrackName, int] = {"mic": INPUT_RATE, "user": INPUT_RATE, "agent": OUTPUT_RATE}
        self.moments = MomentsFold(rates, keep=None)
        self.timeline = Timeline(keep=None)
        self.conversation = ConversationFold(keep=None)
        self.tools = ToolsFold(keep=None)
        self.decisions = DecisionsFold(keep=None)
        self.notes: list[TimedNote] = []
        self.notes_omitted = 0
        self.discarded: list[ev.ReplyDiscarded] = []
        self.utterances: dict[int, int] = {}
        """Turns by their utterances."""
        self.started: ev.SessionStarted | None = None
        self.spent: dict[str, float | None] = {}

    def feed(self, entry: Entry) -> None:
        for fold in (self.moments, self.timeline, self.conversation, self.tools, self.decisions):
            fold.feed(entry)
        match entry.event:
            case ev.SessionStarted() as started:
                self.started = started
            case ev.Spent(usage=usage):
                self.spent = usage
            case ev.ReplyDiscarded() as discarded:
                self.discarded.append(discarded)
            case ev.TurnDecided(turn=turn, utterance=utterance):
                self.utterances[utterance] = turn
        if (note := note_of(entry.event)) is not None:
            if len(self.notes) < MOST_NOTES:
                self.notes.append(TimedNote(entry.t_ms, *note))
            else:
                self.notes_omitted += 1


def read_content(trace: Trace) -> ReportContent:
    """Read a recording; what is damaged in it is left out."""
    reader = _Reader()
    for entry in filter(plausible, notable(trace)):
        reader.feed(entry)
    turns = [*reader.timeline.turns]
    numbers = {turn.turn for turn in turns}
    calls: defaultdict[int | None, list[CallRecord]] = defaultdict(list)
    for call in reader.tools.now.calls:
        calls[call.turn if call.turn in numbers else None].append(call)
    accounts: defaultdict[int | None, list[Account]] = defaultdict(list)
    for account in reader.decisions.accounts:
        accounts[account.turn if account.turn in numbers else None].append(account)
    discarded: defaultdict[int | None, list[ev.ReplyDiscarded]] = defaultdict(list)
    for reply in reader.discarded:
        turn = None if reply.utterance is None else reader.utterances.get(reply.utterance)
        discarded[turn].append(reply)
    return ReportContent(
        turns,
        reader.moments,
        reader.conversation.lines,
        calls,
        accounts,
        reader.notes,
        reader.notes_omitted,
        discarded,
        reader.started,
        reader.spent,
    )
