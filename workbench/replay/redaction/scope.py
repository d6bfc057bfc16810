"""What a redaction reaches: which utterances and replies, and when they were to be heard."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from workbench.model.events import (
    Entry,
    ReplyEnded,
    ReplyPlaying,
    ReplyProgress,
    ReplyStarted,
    ReplyText,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    ToolCalled,
    TrackName,
    Transcribed,
    TurnDecided,
    TurnEnded,
    TurnReopened,
)
from workbench.readers.moments import MomentsFold
from workbench.replay.redaction.matching import Matcher

BEFORE_MS, AFTER_MS = 400.0, 300.0
"""Sound around the speech that a VAD saw: onsets are noticed late, and words die away."""
ECHO_MS = 500.0
"""So long after it was played the agent's voice may still be in the microphone."""

Stretch = tuple[float, float]


@dataclass(slots=True)
class Part:
    """An utterance or a reply: its texts in their order, when it was heard, and the turn that it belongs to."""

    texts: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    start_ms: float = math.inf
    end_ms: float = -math.inf
    turn: int | None = None
    utterance: int | None = None
    """What a reply answers."""
    sounds: bool = False
    """It can be heard on a track."""
    first_ms: float = math.inf
    last_ms: float = -math.inf
    """When the first and the last event spoke of it."""

    def note(self, t_ms: float, turn: int | None = None) -> None:
        self.first_ms, self.last_ms = min(self.first_ms, t_ms), max(self.last_ms, t_ms)
        self.turn = self.turn if turn is None else turn

    def sound(self, ms: float) -> None:
        self.sounds = True
        self.start_ms, self.end_ms = min(self.start_ms, ms), max(self.end_ms, ms)

    def touches(self, stretch: Stretch) -> bool:
        """Decide whether it was heard, or spoken of, in that stretch."""
        return min(self.start_ms, self.first_ms) < stretch[1] and max(self.end_ms, self.last_ms) > stretch[0]


class RecordedTexts:
    """A fold: the utterances and replies of a session, and what was said in each."""

    def __init__(self, moments: MomentsFold) -> None:
        self.utterances = defaultdict[int, Part](Part)
        self.replies = defaultdict[int, Part](Part)
        self.turns = defaultdict[int, Part](Part)
        self._moments = moments

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        self._moments.feed(entry)
        event = entry.event
        turn = getattr(event, "turn", None)
        for parts, number in (
            (self.utterances, getattr(event, "utterance", None)),
            (self.replies, getattr(event, "reply", None)),
            (self.turns, turn),
        ):
            if number is not None:
                parts[number].note(entry.t_ms, turn)
        self._note_sound(entry)
        self._note_text(event)

    def turn_of(self, part: Part) -> int | None:
        """Return the turn that an utterance or a reply, also one that was thrown away, belongs to."""
        if part.turn is None and part.utterance is not None:
            return self.utterances[part.utterance].turn
        return part.turn

    def _note_sound(self, entry: Entry) -> None:
        time_ms = self._moments.time_ms
        match entry.event:
            case SpeechStarted(utterance=utterance, at_sample=sample):
                self.utterances[utterance].sound(time_ms("user", sample))
            case SpeechResumed(utterance=utterance, at_sample=sample):
                self.utterances[utterance].sound(time_ms("user", sample))
            case SpeechPaused(utterance=utterance, end_sample=sample):
                self.utterances[utterance].sound(time_ms("user", sample))
            case TurnDecided(utterance=utterance, end_sample=int(sample)):
                self.utterances[utterance].sound(time_ms("user", sample))
            case TurnReopened(utterance=utterance, at_sample=int(sample)):
                self.utterances[utterance].sound(time_ms("user", sample))
            case Transcribed(utterance=utterance, upto_sample=sample) if self.utterances[utterance].sounds:
                self.utterances[utterance].sound(time_ms("user", sample))
            case ReplyPlaying(reply=reply, at_sample=sample):
                self.replies[reply].sound(time_ms("agent", sample))
            case ReplyEnded(reply=reply, end_sample=sample) if self.replies[reply].sounds:
                self.replies[reply].sound(entry.t_ms if sample is None else time_ms("agent", sample))
            case _:
                pass

    def _note_text(self, event: Any) -> None:
        match event:
            case Transcribed(utterance=utterance, text=text):
                self.utterances[utterance].texts[f"{text}"].append(text)
            case ReplyStarted(reply=reply, utterance=int(utterance), said=said):
                self.replies[reply].utterance = utterance
                self.utterances[utterance].texts["said"].append(f"{said}\n")
            case ReplyText(reply=reply, text=text, spoken=spoken):
                self._add(reply, "text", text)
                self._add(reply, "spoken", spoken)
            case ReplyProgress(reply=reply, text=text):
                self._add(reply, "thinking", text)
            case ReplyEnded(reply=reply, heard=heard, unheard=unheard):
                self.replies[reply].texts["ended"] = [heard, " ", unheard]
            case TurnEnded(turn=turn, user_text=user, agent_text=agent):
                self.turns[turn].texts["user"].append(user)
                self.turns[turn].texts["agent"].append(agent)
            case ToolCalled(reply=int(reply), arguments=arguments):
                self.replies[reply].texts["arguments"].append(f"{arguments}\n")
            case _:
                pass

    def _add(self, reply: int, name: str, piece: str) -> None:
        if piece:
            self.replies[reply].texts[name].append(piece)


@dataclass(slots=True)
class Scope:
    """What is to be removed. Everything is erased that was said in `windows`, by an utterance or a reply of `erased_…`;
    of the others what matches goes, and their sound too."""

    erased_turns: set[int] = field(default_factory=set)
    erased_utterances: set[int] = field(default_factory=set)
    erased_replies: set[int] = field(default_factory=set)
    touched_utterances: set[int] = field(default_factory=set)
    touched_replies: set[int] = field(default_factory=set)
    windows: list[Stretch] = field(default_factory=list)
    touched_windows: list[Stretch] = field(default_factory=list)
    """When what matches was said: what the user showed meanwhile goes too."""
    silent: dict[TrackName, list[Stretch]] = field(
        default_factory=lambda: {"user": [], "mic": [], "agent": []}
    )
    """Stretches of the session's clock, ms, by track."""

    def erases(self, t_ms: Any) -> bool:
        """Decide whether everything goes that was said at that time, ms; also where it is none."""
        return _within(t_ms, self.windows)

    def reaches(self, t_ms: Any) -> bool:
        """Decide whether something goes that was said at that time, ms; also where it is none."""
        return _within(t_ms, [*self.windows, *self.touched_windows])


def _within(t_ms: Any, stretches: Iterable[Stretch]) -> bool:
    return type(t_ms) not in (int, float) or any(start <= t_ms <= end for start, end in stretches)


def find_scope(
    conversation: RecordedTexts,
    matcher: Matcher,
    turns: Iterable[int] = (),
    stretches: Iterable[Stretch] = (),
) -> Scope:
    """Return what the words of `matcher`, these turns and these stretches (ms) reach; the texts of what is erased are
    phrases of `matcher` from then on."""
    scope = Scope()
    scope.windows.extend(stretches)
    for silent in scope.silent.values():
        silent.extend(scope.windows)
    _erase(conversation, scope, set(turns))
    matcher.add_phrases(_phrases(conversation, scope))
    _touch(conversation, scope, matcher)
    return scope


def _erase(conversation: RecordedTexts, scope: Scope, turns: set[int]) -> None:
    """Erase all that was said in these turns, and in those that the windows touch; of the former the sound too."""
    sides = (
        (conversation.utterances, scope.erased_utterances),
        (conversation.replies, scope.erased_replies),
    )
    for parts, erased in sides:
        erased |= {number for number, part in parts.items() if any(map(part.touches, scope.windows))}
        overlapped = {conversation.turn_of(parts[number]) for number in erased}
        scope.erased_turns |= {turn for turn in overlapped if turn is not None}
    scope.erased_turns |= turns
    for parts, erased in sides:
        for number, part in parts.items():
            if conversation.turn_of(part) in scope.erased_turns:
                erased.add(number)
            if conversation.turn_of(part) in turns:
                _silence(scope, part, spoken_by_user=parts is conversation.utterances)
    for number in turns:
        turn = conversation.turns[number]
        scope.windows.append((min(turn.first_ms, _onset_ms(conversation, number)), turn.last_ms))


def _onset_ms(conversation: RecordedTexts, turn: int) -> float:
    return min(
        (part.start_ms for part in conversation.utterances.values() if part.turn == turn), default=math.inf
    )


def _phrases(conversation: RecordedTexts, scope: Scope) -> set[str]:
    """Return what was said in what is erased."""
    erased = [
        *(conversation.utterances[number] for number in scope.erased_utterances),
        *(conversation.replies[number] for number in scope.erased_replies),
        *(conversation.turns[number] for number in scope.erased_turns),
    ]
    pieces = (part.texts[name] for part in erased for name in list(part.texts))
    return {text for texts in pieces for text in ("".join(texts), *texts)}


def _touch(conversation: RecordedTexts, scope: Scope, matcher: Matcher) -> None:
    """Silence the utterances and replies in which something matches."""
    told = {number: part for number, part in conversation.turns.items() if number not in scope.erased_turns}
    for parts, side, touched, erased in (
        (conversation.utterances, "user", scope.touched_utterances, scope.erased_utterances),
        (conversation.replies, "agent", scope.touched_replies, scope.erased_replies),
    ):
        for number, part in parts.items():
            if number in erased:
                continue
            texts = list(part.texts.values())
            turn = conversation.turn_of(part)
            if turn in told:
                texts.append(told[turn].texts[side])
            if any(matcher.find("".join(pieces)) for pieces in texts):
                touched.add(number)
                _silence(scope, part, spoken_by_user=side == "user")
                scope.touched_windows.append(
                    (min(part.start_ms, part.first_ms), max(part.end_ms, part.last_ms))
                )


def _silence(scope: Scope, part: Part, *, spoken_by_user: bool) -> None:
    """Silence an utterance, or a reply with its echo in the microphone."""
    if not part.sounds:
        return
    if spoken_by_user:
        stretch = part.start_ms - BEFORE_MS, part.end_ms + AFTER_MS
        stretches: dict[TrackName, Stretch] = {"user": stretch, "mic": stretch}
    else:
        echo = part.start_ms, part.end_ms + ECHO_MS
        stretches = {"agent": (part.start_ms, part.end_ms), "user": echo, "mic": echo}
    for track, stretch in stretches.items():
        scope.silent[track].append(stretch)


def silent_samples(
    stretches: Iterable[Stretch], moments: MomentsFold, track: TrackName, end: int
) -> Iterator[tuple[int, int]]:
    """Yield the first and the last + 1 sample of each stretch, on a track of that length."""
    mapped: TrackName = "user" if track == "mic" else track  # both come from one device
    for start_ms, stop_ms in stretches:
        start, stop = (moments.sample(mapped, ms) for ms in (start_ms, stop_ms))
        if max(0, start) < min(stop + 1, end):
            yield max(0, start), min(stop + 1, end)
