"""What was said when: the words of both sides with the stretches of speech that they were said in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from workbench.model import events as ev
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.events import Entry
from workbench.readers.folds.stretches import StretchesFold
from workbench.readers.moments import MomentsFold


@dataclass(slots=True)
class UserUtterance:
    """What the user said or typed. `segments` are [start, end] of speech, ms; none where it was typed."""

    utterance: int
    segments: list[tuple[float, float]] = field(default_factory=list)
    text: str = ""
    partials: list[tuple[float, str]] = field(default_factory=list)
    """What the STT had understood up to a time, ms; the last of them is final."""
    turn: int | None = None
    typed_ms: float | None = None
    dismissed: str = ""
    """Why it became no turn."""


@dataclass(slots=True)
class AgentReply:
    """An answer that was on the speaker. `segments` are [start, end] of it, ms: several where it was paused."""

    reply: int
    turn: int | None
    segments: list[tuple[float, float]] = field(default_factory=list)
    heard: str = ""
    unheard: str = ""
    status: str = "done"


class VoicesFold:
    """A fold of a whole recording: `user` and `agent` hold what was said, in order of its beginning."""

    def __init__(self) -> None:
        self.moments = MomentsFold({"user": INPUT_RATE, "mic": INPUT_RATE, "agent": OUTPUT_RATE}, keep=None)
        self._stretches = StretchesFold(self.moments)
        self._user: dict[int, UserUtterance] = {}
        self._agent: dict[int, AgentReply] = {}
        self._turns: dict[int, int] = {}
        """Utterances by their turns."""

    @property
    def user(self) -> list[UserUtterance]:
        """What the user said or typed."""
        segments = self._segments()
        return [replace(speech, segments=segments[f"u{number}"]) for number, speech in self._user.items()]

    @property
    def agent(self) -> list[AgentReply]:
        """What the agent said, as far as it was heard."""
        segments = self._segments()
        return [replace(speech, segments=segments[f"r{number}"]) for number, speech in self._agent.items()]

    def _segments(self) -> defaultdict[str, list[tuple[float, float]]]:
        segments: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for stretch in self._stretches.stretches:
            if stretch.end_ms is not None and stretch.end_ms > stretch.start_ms:
                segments[stretch.key].append((stretch.start_ms, stretch.end_ms))
        return segments

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        self.moments.feed(entry)
        self._stretches.feed(entry)
        event = entry.event
        match event:
            case ev.SpeechStarted(utterance=number):
                self._of(number)
            case ev.Transcribed(utterance=number, text=text, upto_sample=sample) if number in self._user:
                speech = self._user[number]
                speech.text = text
                speech.partials.append((self.moments.time_ms("user", sample), text))
            case ev.UtteranceDismissed(utterance=number, reason=reason):
                self._of(number).dismissed = reason
            case ev.TurnDecided(turn=turn, utterance=number, typed=typed):
                speech = self._of(number)
                speech.turn, speech.typed_ms = turn, entry.t_ms if typed else None
                self._turns[turn] = number
            case ev.TurnEnded(turn=turn, user_text=text) if text and turn in self._turns:
                self._user[self._turns[turn]].text = text
            case ev.ReplyPlaying(reply=number, turn=reply_turn):
                self._agent.setdefault(number, AgentReply(number, reply_turn))
            case ev.ReplyEnded(reply=number) if number in self._agent:
                reply = self._agent[number]
                reply.heard, reply.unheard, reply.status = event.heard, event.unheard, event.status

    def _of(self, utterance: int) -> UserUtterance:
        return self._user.setdefault(utterance, UserUtterance(utterance))


def voices(entries: Iterable[Entry]) -> VoicesFold:
    """Return what was said when in a recorded trace."""
    fold = VoicesFold()
    for entry in entries:
        fold.feed(entry)
    return fold
