"""The conversation as lines: what was said, what was heard of it, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers.folds.calls import MARKS, CallRecord, outcome, signature
from workbench.readers.timeline import Turn

Speaker = Literal["user", "agent", "tool", "note"]
LineState = Literal["partial", "prepared", "speaking", "done", "cut", "failed", "info", "warning", "error"]

ERROR_CHARS = 200
KEPT = 400
"""Lines kept of a live conversation; older ones scroll out of memory."""


@dataclass(frozen=True, slots=True)
class ConversationLine:
    """One line of the conversation. `text` is what was heard, `unheard` what was cut off; `hint` says what to do."""

    key: str
    who: Speaker
    state: LineState
    text: str = ""
    unheard: str = ""
    hint: str = ""
    turn: int | None = None
    estimated: bool = False
    heard_ms: float | None = None
    """Heard latency of the turn, from when it has ended."""
    chosen: bool = False
    """The turn that is looked at, in a recording."""


class ConversationFold:
    """Feed it every entry in order; `lines` is the conversation so far, oldest first."""

    def __init__(self, keep: int | None = KEPT) -> None:
        self._keep = keep
        self._lines: dict[str, ConversationLine] = {}
        self._turn_of: dict[int, int] = {}

    @property
    def lines(self) -> tuple[ConversationLine, ...]:
        """The lines that are worth showing: a reply without a word yet is not."""
        return tuple(line for line in self._lines.values() if line.text or line.unheard or line.hint)

    def feed(self, entry: Entry) -> None:
        """Take one entry in."""
        event = entry.event
        if isinstance(event, ev.Resumed):
            for number, said in enumerate(event.messages):
                who: Speaker = "user" if said.get("role") == "user" else "agent"
                state: LineState = "cut" if said.get("cut") else "done"
                self._put(ConversationLine(f"b{number}", who, state, str(said.get("text", ""))))
        if not (self._user(event) or self._reply(event)):
            self._note(entry.i, event)

    def show_latency(self, turn: Turn) -> None:
        """Put the latency of a turn that has ended to its answer."""
        for key, line in reversed(self._lines.items()):
            if line.who == "agent" and line.turn == turn.turn:
                self._lines[key] = replace(line, heard_ms=turn.heard_latency_ms)
                return

    def show_call(self, call: CallRecord) -> None:
        """A call of a tool has changed: a line from when it runs, before the answer that was made with it."""
        key = f"c{call.key}"
        if call.started_ms is None or call.state == "discarded":
            self._lines.pop(key, None)
            return
        told = (
            f"{MARKS[call.state]} {outcome(call, call.started_ms)}"
            if call.state != "done"
            else outcome(call, 0.0)
        )
        if call.state == "failed" and call.error:
            told += f": {call.error[:ERROR_CHARS]}"
        told = "…" if call.open else told
        mocked = " (mocked)" if call.mocked else ""
        self._put(
            ConversationLine(key, "tool", "info", f"{signature(call)} → {told}{mocked}", turn=call.turn)
        )
        answer = f"r{call.reply}"
        if answer in self._lines and not self._lines[answer].text:  # nothing of it can be seen yet
            self._lines[answer] = self._lines.pop(answer)

    def _user(self, event: ev.Event) -> bool:
        match event:
            case ev.Transcribed(utterance=utterance, text=text, final=final):
                line = self._line(f"u{utterance}", "user", "partial")
                self._put(replace(line, text=text, state="done" if final else line.state))
            case ev.UtteranceDismissed(utterance=utterance):
                self._lines.pop(f"u{utterance}", None)
            case ev.TurnDecided(turn=turn, utterance=utterance):
                self._turn_of[turn] = utterance
                self._put(replace(self._line(f"u{utterance}", "user", "partial"), turn=turn))
            case _:
                return False
        return True

    def _reply(self, event: ev.Event) -> bool:
        match event:
            case ev.ReplyStarted():
                self._answer(event)
            case ev.ReplyDiscarded(reply=reply):
                self._lines.pop(f"r{reply}", None)
            case ev.ReplyText(reply=reply, turn=turn, text=text):
                line = self._line(f"r{reply}", "agent", "prepared")
                self._put(replace(line, text=_joined(line.text, text), turn=line.turn or turn))
            case ev.ReplyPlaying(reply=reply, turn=turn):
                self._put(replace(self._line(f"r{reply}", "agent", "prepared"), state="speaking", turn=turn))
            case ev.ReplyEnded():
                self._ended(event)
            case ev.TurnEnded():
                self._turn_over(event)
            case _:
                return False
        return True

    def _answer(self, event: ev.ReplyStarted) -> None:
        if event.utterance is not None:
            user = self._line(f"u{event.utterance}", "user", "partial")
            typed = not user.text  # no transcript came before
            self._put(replace(user, text=event.said, state="done") if typed else user)
        self._put(ConversationLine(f"r{event.reply}", "agent", "prepared", turn=event.turn))

    def _ended(self, event: ev.ReplyEnded) -> None:
        line = self._line(f"r{event.reply}", "agent", "prepared")
        self._put(
            replace(
                line,
                state=event.status,
                text=event.heard,
                unheard=event.unheard,
                turn=event.turn if event.turn is not None else line.turn,
                estimated=event.estimated,
            )
        )

    def _turn_over(self, event: ev.TurnEnded) -> None:
        utterance = self._turn_of.pop(event.turn, None)
        user = self._lines.get(f"u{utterance}")
        if user is not None:
            self._put(replace(user, text=event.user_text or user.text, state="done"))
        if event.status == "failed":
            what = f"{event.stage or 'turn'} failed: {event.reason or 'no reason given'}"
            self._put(
                ConversationLine(
                    f"t{event.turn}", "note", "failed", what, hint=event.hint or "", turn=event.turn
                )
            )

    def _note(self, index: int, event: ev.Event) -> None:
        note = _note_of(event)
        if note is None:
            return
        state, text, hint = note
        last = next(reversed(self._lines.values()), None)
        if last is not None and (last.who, last.text) == ("note", text):
            return  # the same trouble again: said once
        self._put(ConversationLine(f"n{index}", "note", state, text, hint=hint))

    def _line(self, key: str, who: Speaker, state: LineState) -> ConversationLine:
        return self._lines.get(key) or ConversationLine(key, who, state)

    def _put(self, line: ConversationLine) -> None:
        self._lines[line.key] = line
        while self._keep is not None and len(self._lines) > self._keep:
            del self._lines[next(iter(self._lines))]


def _note_of(event: ev.Event) -> tuple[LineState, str, str] | None:
    match event:
        case ev.Notice(level="warning" | "error" as level, owner=owner, reason=reason, hint=hint):
            return level, f"{owner}: {reason}", hint
        case ev.DeviceLost(name=name, reason=reason, hint=hint):
            return "error", f"{name} is gone: {reason}", hint
        case ev.DuplexChanged(mode="half", reason=reason):
            return "warning", f"half duplex: {reason}", "not listening while the agent speaks"
        case ev.BreakerChanged(state="open", stage=stage, provider=provider, wait_ms=wait):
            return "warning", f"{stage}: {provider} failed too often", f"asked again in {wait / 1000:.0f} s"
        case ev.ProviderWarmed(error=str(error), stage=stage, provider=provider):
            return "error", f"{stage}: {provider} did not warm up: {error}", "each turn tries it again"
        case ev.PluginFailed(plugin=plugin, hook=hook, reason=reason):
            return "warning", f"plugin {plugin}: {hook}: {reason}", "it is not asked again in this session"
        case ev.ToolMocked(name=name, answer=answer):
            return "info", f"{name} is {'run again' if answer is None else 'mocked from now on'}", ""
        case ev.RoomConnection(
            room=room, state="reconnecting" | "lost" as state, reason=reason, hint=hint
        ) if reason:
            return "warning" if state == "reconnecting" else "error", f"room {room} {state}: {reason}", hint
        case ev.RoomConnection(room=room, state="connected"):
            return "info", f"room {room} connected", ""
        case ev.ParticipantChanged(identity=identity, state="heard" | "muted" | "away" | "left" as state):
            return "info", f"{identity} {'is listened to' if state == 'heard' else state}", ""
        case ev.Bookmarked(label=label):
            return "info", f"bookmark {label}".rstrip(), ""
        case ev.SessionEnded(reason=reason) as ended:
            return None if ended.failed else ("info", f"session ended: {reason}", "")
        case _:
            return None


def _joined(before: str, after: str) -> str:
    glued = not before or before[-1].isspace() or (after[:1].isspace())
    return before + after if glued else f"{before} {after}"
