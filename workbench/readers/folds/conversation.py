"""The conversation as lines: what was said, what was heard of it, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers.folds.calls import MARKS, CallRecord, outcome, signature
from workbench.readers.folds.status import LOST_VOICE
from workbench.readers.timeline import Turn
from workbench.text.languages import name_of

Speaker = Literal["user", "agent", "tool", "note"]
LineState = Literal["partial", "prepared", "speaking", "done", "cut", "failed", "info", "warning", "error"]

ERROR_CHARS = 200
THINKS = "thinks:"
"""What a line with the model's thinking begins with."""
LONG = 200
"""Characters of a call's arguments from which on it is said that they are written."""
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
    """A fold: `lines` is the conversation so far, oldest first."""

    def __init__(self, keep: int | None = KEPT) -> None:
        self._keep = keep
        self._lines: dict[str, ConversationLine] = {}
        self._utterances: dict[int, int] = {}
        self._fallbacks: set[tuple[str, str]] = set()
        """Who was replaced by whom, and has not answered since."""

    @property
    def lines(self) -> tuple[ConversationLine, ...]:
        """The lines that are worth showing: a reply without a word yet is not."""
        return tuple(line for line in self._lines.values() if line.text or line.unheard or line.hint)

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        event = entry.event
        match event:
            case ev.Resumed(messages=messages):
                self._resume(messages)
            case ev.Transcribed(utterance=utterance, text=text, final=True, provider=provider):
                self._answered(provider)
                self._change(f"u{utterance}", "user", text=text, state="done")
            case ev.Transcribed(utterance=utterance, text=text):
                self._change(f"u{utterance}", "user", text=text)
            case ev.UtteranceDismissed(utterance=utterance):
                self._lines.pop(f"u{utterance}", None)
            case ev.TurnDecided(turn=turn, utterance=utterance):
                self._utterances[turn] = utterance
                self._change(f"u{utterance}", "user", turn=turn)
            case ev.TurnReopened(utterance=utterance):
                self._change(f"u{utterance}", "user", state="partial")
            case ev.ReplyDiscarded(reply=reply):
                self._lines.pop(f"r{reply}", None)
                self._lines.pop(f"p{reply}", None)
            case ev.ReplyStarted() | ev.ReplyText() | ev.ReplyPlaying() | ev.ReplyEnded():
                self._feed_reply(event)
            case ev.ReplyProgress():
                self._show_progress(event)
            case ev.TurnEnded():
                self._end_turn(event)
            case ev.ModelLoading(stage=stage, provider=provider, waited_ms=waited_ms):
                began_s = round((entry.t_ms - waited_ms) / 1000)  # one line, that is written anew
                text = f"{stage}: {provider} loads its model: {waited_ms / 1000:.0f} s"
                self._put(ConversationLine(f"l{stage}{began_s}", "note", "info", text, hint=event.reason))
            case ev.Span(provider=provider):
                self._answered(provider)
            case ev.FallbackStarted(provider=provider, fallback=fallback):
                if (provider, fallback) not in self._fallbacks:  # once, until the first one answers again
                    self._add_note(entry.i, event)
                self._fallbacks.add((provider, fallback))
            case _:
                self._add_note(entry.i, event)

    def _answered(self, provider: str) -> None:
        self._fallbacks = {pair for pair in self._fallbacks if pair[0] != provider}

    def show_latency(self, turn: Turn) -> None:
        """Put the latency of a turn that has ended to its answer."""
        for key, line in reversed(self._lines.items()):
            if line.who == "agent" and line.turn == turn.turn:
                self._lines[key] = replace(line, heard_ms=turn.heard_latency_ms)
                return

    def show_call(self, call: CallRecord) -> None:
        """Show a call of a tool from when it runs, before the answer that was made with it."""
        key = f"c{call.key}"
        if call.started_ms is None or call.state == "discarded":
            self._lines.pop(key, None)
            return
        if call.open:
            result = "…"
        elif call.state == "done":
            result = outcome(call, 0.0)
        else:
            result = f"{MARKS[call.state]} {outcome(call, call.started_ms)}"
            if call.state == "failed" and call.error:
                result += f": {call.error[:ERROR_CHARS]}"
        text = f"{signature(call)} → {result}{' (mocked)' if call.mocked else ''}"
        self._put(ConversationLine(key, "tool", "info", text, turn=call.turn))
        answer = f"r{call.reply}"
        if answer in self._lines and not self._lines[answer].text:  # nothing of it can be seen yet
            self._lines[answer] = self._lines.pop(answer)

    def _show_progress(self, event: ev.ReplyProgress) -> None:
        """Show that the model works on what nobody hears: its thinking, if that is wanted, or how much there is."""
        key = f"p{event.reply}"
        if event.kind == "arguments" and event.chars < LONG:
            return
        before = self._lines.pop(key, None)
        thinking = before.text if before is not None and before.text.startswith(THINKS) else ""
        if event.text or thinking:
            text = (thinking or f"{THINKS} ") + event.text
        elif event.kind == "thinking":
            text = f"thinks ({event.chars:,} characters)"
        else:
            text = f"writes what a tool is called with ({event.chars:,} characters)"
        self._put(ConversationLine(key, "note", "info", text, turn=event.turn))
        self._put(
            self._lines.pop(f"r{event.reply}", ConversationLine(f"r{event.reply}", "agent", "prepared"))
        )

    def _end_progress(self, reply: int) -> None:
        line = self._lines.get(f"p{reply}")
        if line is not None and not line.text.startswith(THINKS):
            del self._lines[line.key]

    def _resume(self, messages: Sequence[Mapping[str, Any]]) -> None:
        for number, message in enumerate(messages):
            speaker: Speaker = "user" if message.get("role") == "user" else "agent"
            state: LineState = "cut" if message.get("cut") else "done"
            self._put(ConversationLine(f"b{number}", speaker, state, str(message.get("text", ""))))

    def _feed_reply(self, event: ev.ReplyStarted | ev.ReplyText | ev.ReplyPlaying | ev.ReplyEnded) -> None:
        key = f"r{event.reply}"
        if not isinstance(event, ev.ReplyStarted):
            self._end_progress(event.reply)
        before = self._lines.get(key)
        turn = event.turn if before is None or event.turn is not None else before.turn
        match event:
            case ev.ReplyStarted(utterance=utterance, said=text):
                if utterance is not None:
                    user = self._lines.get(f"u{utterance}")
                    typed = user is None or not user.text  # no transcript came before
                    self._change(
                        f"u{utterance}", "user", **({"text": text, "state": "done"} if typed else {})
                    )
                self._put(ConversationLine(key, "agent", "prepared", turn=event.turn))
            case ev.ReplyText(text=text):
                text = _joined(before.text if before else "", text)
                self._change(key, "agent", text=text, turn=before.turn if before and before.turn else turn)
            case ev.ReplyPlaying():
                self._change(key, "agent", state="speaking", turn=event.turn)
            case ev.ReplyEnded(status=state, heard=text, unheard=unheard, estimated=estimated):
                self._change(
                    key, "agent", state=state, text=text, unheard=unheard, turn=turn, estimated=estimated
                )

    def _end_turn(self, event: ev.TurnEnded) -> None:
        key = f"u{self._utterances.pop(event.turn, None)}"
        if (user := self._lines.get(key)) is not None:
            self._put(replace(user, text=event.user_text or user.text, state="done"))
        if event.status == "failed":
            text = f"{event.stage or 'turn'} failed: {event.reason or 'no reason given'}"
            key = f"t{event.turn}"
            self._put(ConversationLine(key, "note", "failed", text, hint=event.hint or "", turn=event.turn))

    def _add_note(self, index: int, event: ev.Event) -> None:
        if (note := note_of(event)) is None:
            return
        state, text, hint = note
        last = next(reversed(self._lines.values()), None)
        if last is None or (last.who, last.text) != ("note", text):  # the same trouble again: said once
            self._put(ConversationLine(f"n{index}", "note", state, text, hint=hint))

    def _change(self, key: str, speaker: Speaker, **changes: Any) -> None:
        """Change a line, which begins here where it is not there yet."""
        state: LineState = "partial" if speaker == "user" else "prepared"
        self._put(replace(self._lines.get(key) or ConversationLine(key, speaker, state), **changes))

    def _put(self, line: ConversationLine) -> None:
        self._lines[line.key] = line
        while self._keep is not None and len(self._lines) > self._keep:
            del self._lines[next(iter(self._lines))]


def note_of(event: ev.Event) -> tuple[LineState, str, str] | None:
    """Return state, text and hint of an event that a user is told about; None for the others."""
    match event:
        case ev.Notice(level="warning" | "error" as level, owner=owner, reason=reason, hint=hint):
            return level, f"{owner}: {reason}", hint
        case ev.DeviceLost(name=name, reason=reason, hint=hint):
            return "error", f"{name} is gone: {reason}", hint
        case ev.DuplexChanged(mode="half", reason=reason):
            return "warning", f"half duplex: {reason}", "not listening while the agent speaks"
        case ev.BreakerChanged(state="open", stage=stage, provider=provider, wait_ms=wait):
            return "warning", f"{stage}: {provider} failed too often", f"asked again in {wait / 1000:.0f} s"
        case ev.FallbackStarted(stage=stage, provider=provider, fallback=fallback, reason=reason):
            return "warning", f"{stage}: {fallback} takes over from {provider}", reason
        case ev.VoiceChanged(stage=stage, state="lost", reason=reason, hint=hint):
            return "error", f"{LOST_VOICE[(stage,)]}: {reason}", hint
        case ev.VoiceChanged(stage=stage):
            return "info", f"{stage}: back", ""
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
        case ev.LanguageChanged(language=language):
            return "info", f"the user speaks {name_of(language)} now", ""
        case ev.Bookmarked(label=label):
            return "info", f"bookmark {label}".rstrip(), ""
        case ev.SessionEnded(reason=reason) as ended:
            return None if ended.failed else ("info", f"session ended: {reason}", "")
        case _:
            return None


def _joined(before: str, after: str) -> str:
    glued = not before or before[-1].isspace() or (after[:1].isspace())
    return before + after if glued else f"{before} {after}"
