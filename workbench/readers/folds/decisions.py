"""Why the agent did or did not speak: who decided what about each utterance, with the values that it went by.

An account is kept of everything that may have become a turn: what was said or typed, what was taken for speech and
dismissed, and speech that nobody listened to. It lists in order what the VAD, end of turn, barge-in, floor, replies and
circuit breakers made of it; what concerns a reply that is spoken into is in the accounts of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers import FREQUENT

KEPT = 300
"""Accounts kept of a live session."""
MOST = 200
"""Decisions kept of one account: a provider may be retried for hours."""

Judge = Literal["VAD", "end of turn", "barge-in", "floor", "reply", "breaker"]
Outcome = Literal["open", "spoke", "cut", "failed", "silent", "dismissed"]
"""What became of an utterance; `silent`: answered, with nothing that can be heard."""
Values = dict[str, float | str | None]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided at `t_ms`, by the entry `i` of the trace: `values` are what it went by, `…_ms` in ms."""

    i: int
    t_ms: float
    judge: Judge
    verdict: str
    reason: str = ""
    values: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """All that was decided about an utterance. `reason` says what the outcome is owed to, where it is not plain.

    `utterance` is None where nobody listened, `turn` where it became none; `latency_ms` is the turn's heard latency.
    """

    key: str
    start_ms: float
    utterance: int | None = None
    turn: int | None = None
    typed: bool = False
    text: str = ""
    outcome: Outcome = "open"
    reason: str = ""
    latency_ms: float | None = None
    decisions: tuple[Decision, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)


class DecisionsFold:
    """A fold: `accounts` in the order in which they began, and `of` a turn."""

    def __init__(self, keep: int | None = KEPT) -> None:
        self._keep = keep
        self._accounts: dict[str, Account] = {}
        self._turns: dict[int, str] = {}
        self._replies: dict[int, str] = {}
        """Key of the account that a reply answers."""
        self._last = ""

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that are kept."""
        return tuple(self._accounts.values())

    def of(self, turn: int) -> Account | None:
        """Return the account of a turn; None where it is not kept."""
        return self._accounts.get(self._turns.get(turn, ""))

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        if type(entry.event) not in FREQUENT:
            self._hear(entry)
            self._answer(entry)
            self._fail(entry)

    # --- what is kept ------------------------------------------------------------------------------------------------

    def _open(self, key: str, entry: Entry, utterance: int | None) -> None:
        """Begin an account, unless it is open: an utterance goes on after its turn was decided."""
        if key not in self._accounts:
            self._accounts[key] = Account(key, entry.t_ms, utterance)
            while self._keep is not None and len(self._accounts) > self._keep:
                self._drop(next(iter(self._accounts)))
        self._last = key

    def _drop(self, key: str) -> None:
        del self._accounts[key]
        self._turns = {turn: other for turn, other in self._turns.items() if other != key}
        self._replies = {reply: other for reply, other in self._replies.items() if other != key}

    def _change(self, key: str, **changes: Any) -> None:
        if key in self._accounts:
            self._accounts[key] = replace(self._accounts[key], **changes)

    def _note(
        self, keys: Iterable[str], entry: Entry, judge: Judge, verdict: str, reason: str = "", **values: Any
    ) -> None:
        decision = Decision(entry.i, entry.t_ms, judge, verdict, reason, _known(values))
        for key in dict.fromkeys(keys):
            account = self._accounts.get(key)
            if account is not None and len(account.decisions) < MOST:
                self._change(key, decisions=(*account.decisions, decision))

    # --- the user ----------------------------------------------------------------------------------------------------

    def _hear(self, entry: Entry) -> None:
        match entry.event:
            case ev.SpeechStarted(utterance=number, probability=probability, threshold=threshold):
                self._open(_key(number), entry, number)
                self._note(
                    [_key(number)], entry, "VAD", "speech", probability=probability, threshold=threshold
                )
            case ev.SpeechIgnored() as ignored:
                self._ignore(entry, ignored)
            case ev.SpeechPaused(utterance=number):
                self._note([_key(number)], entry, "VAD", "pause")
            case ev.SpeechResumed(utterance=number, pause_ms=pause):
                self._last = _key(number)
                self._note([_key(number)], entry, "VAD", "speech again", pause_ms=pause)
            case ev.EndOfTurnEstimated(utterance=number, probability=probability, took_ms=took):
                self._note(
                    [_key(number)], entry, "end of turn", "estimate", probability=probability, took_ms=took
                )
            case ev.EndOfTurnJudged(utterance=number) as judged:
                self._end(entry, judged)
            case ev.Transcribed(utterance=number, text=text):
                self._change(_key(number), text=text)
            case ev.UtteranceDismissed(utterance=number, reason=reason, voiced_ms=voiced):
                self._change(_key(number), outcome="dismissed", reason=reason)
                self._note([_key(number)], entry, "end of turn", "no turn", reason, voiced_ms=voiced)
            case ev.BargeInJudged() as judged:
                self._judge(entry, judged)
            case ev.DuplexChanged(mode=mode, reason=reason):
                self._note([self._last], entry, "barge-in", f"{mode} duplex", reason)
            case _:
                pass

    def _end(self, entry: Entry, judged: ev.EndOfTurnJudged) -> None:
        verdict = "over" if judged.cause == "silence" else f"over, {judged.cause}"
        self._note(
            [_key(judged.utterance)], entry, "end of turn", verdict, silence_ms=judged.silence_ms,
            wait_ms=judged.wait_ms, words=judged.words, probability=judged.probability,
        )  # fmt: skip

    def _judge(self, entry: Entry, judged: ev.BargeInJudged) -> None:
        if judged.verdict == "interruption":
            self._change(self._replies.get(judged.reply, ""), reason=f"interrupted: {judged.reason}")
        verdict = {"false": "no interruption", "waiting": "not known yet"}.get(judged.verdict, judged.verdict)
        self._note(
            [_key(judged.utterance), self._replies.get(judged.reply, "")], entry, "barge-in", verdict, judged.reason,
            after_ms=judged.after_ms, voiced_ms=judged.voiced_ms, certainty=judged.certainty, echo=judged.echo,
        )  # fmt: skip

    def _ignore(self, entry: Entry, ignored: ev.SpeechIgnored) -> None:
        key, last = f"i{entry.i}", self._last
        self._open(key, entry, None)
        self._last = last
        self._change(key, outcome="dismissed", reason="half duplex: not listening while the agent speaks")
        self._note(
            [key],
            entry,
            "VAD",
            "speech, ignored",
            probability=ignored.probability,
            threshold=ignored.threshold,
        )

    # --- the agent ---------------------------------------------------------------------------------------------------

    def _answer(self, entry: Entry) -> None:
        match entry.event:
            case ev.TurnDecided(turn=turn, utterance=number, typed=typed, waited_ms=waited):
                self._decide(entry, turn, number, typed, waited)
            case ev.TurnReopened(utterance=number, gap_ms=gap):
                reason = "the user went on before anything was heard"
                self._note([_key(number)], entry, "end of turn", "open again", reason, gap_ms=gap)
            case ev.ReplyStarted(reply=reply, utterance=number, speculative=early):
                key = _key(number) if number is not None else f"r{reply}"
                if number is not None:
                    self._open(key, entry, number)  # typed text has no onset
                    self._replies[reply] = key
                self._note([key], entry, "reply", "begun early" if early else "begun", reply=reply)
            case ev.ReplyDiscarded(reply=reply, reason=reason, seconds=seconds, tokens=tokens):
                self._note(
                    self._of(reply),
                    entry,
                    "reply",
                    "discarded",
                    reason,
                    after_ms=seconds * 1000,
                    tokens=tokens,
                )
            case ev.Span(part="floor", reply=int(reply), start_ms=start, end_ms=end) if end - start >= 1:
                self._note(self._of(reply), entry, "floor", "waited for", waited_ms=end - start)
            case ev.ReplyPlaying(reply=reply):
                self._note(self._of(reply), entry, "floor", "taken", reply=reply)
            case ev.ReplyPaused(reply=reply):
                self._note([*self._of(reply), self._last], entry, "floor", "paused", "speech in the reply")
            case ev.ReplyResumed(reply=reply):
                self._note([*self._of(reply), self._last], entry, "floor", "goes on", reply=reply)
            case ev.ReplyEnded(reply=reply, status=status):
                self._note(self._of(reply), entry, "floor", f"given back, {status}", reply=reply)
            case ev.Heard(turn=turn, user_end_ms=float(end), agent_start_ms=float(start)):
                self._change(self._turns.get(turn, ""), latency_ms=round(start - end, 3))
            case ev.TurnEnded() as ended:
                self._conclude(ended)
            case _:
                pass

    def _of(self, reply: int) -> list[str]:
        return [self._replies[reply]] if reply in self._replies else []

    def _decide(self, entry: Entry, turn: int, utterance: int, typed: bool, waited_ms: float) -> None:
        key = _key(utterance)
        self._open(key, entry, utterance)
        self._turns[turn] = key
        self._change(key, turn=turn, typed=typed)
        values: Values = {} if typed else {"waited_ms": waited_ms}
        self._note([key], entry, "end of turn", f"turn {turn}", "typed" if typed else "", **values)

    def _conclude(self, ended: ev.TurnEnded) -> None:
        outcome: Outcome = "spoke" if ended.status == "done" else ended.status
        if outcome == "spoke" and not ended.agent_text.strip():
            outcome = "silent"
        trouble = f"{ended.stage}: {ended.reason}" if ended.stage else ended.reason or ""
        account = self.of(ended.turn)
        if account is not None:
            reason = trouble or (account.reason if outcome == "cut" else "")
            self._change(account.key, outcome=outcome, reason=reason, text=ended.user_text)

    # --- trouble -----------------------------------------------------------------------------------------------------

    def _fail(self, entry: Entry) -> None:
        note: Callable[..., None] = lambda *words, **values: self._note(  # noqa: E731
            [self._last], entry, "breaker", *words, **values
        )
        match entry.event:
            case ev.ProviderRetried(stage=stage, provider=name, attempt=attempt, wait_ms=wait, reason=reason):
                note(f"{stage} asked again", f"{name}: {reason}", attempt=attempt, wait_ms=wait)
            case ev.BreakerChanged(stage=stage, provider=name, state=state, wait_ms=wait):
                values = {"wait_ms": wait} if state == "open" else {}
                note(f"{stage} {state.replace('_', ' ')}", name, **values)
            case ev.FallbackStarted(stage=stage, provider=name, fallback=fallback, reason=reason):
                note(f"{stage} taken over", f"{fallback} for {name}: {reason}")
            case ev.VoiceChanged(stage=stage, state=state, reason=reason):
                note(f"{stage} {state}", reason)
            case _:
                pass


def _key(utterance: int) -> str:
    return f"u{utterance}"


def _known(values: Values) -> Values:
    """Return what is known of the values; figures to 0.001."""
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in values.items()
        if value is not None
    }
