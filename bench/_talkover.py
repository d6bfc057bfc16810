"""Who talked over whom: from when the user was voiced and when the agent was audible, and nothing else.

Times are in ms on one clock, so that what is measured may be two tracks of ours, what another framework played, or a
capture of a sound card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench._figures import percentile, spread
from workbench.model.audio import BLOCK_MS, Samples, audible_blocks

Span = tuple[float, float]
ONE_SOUND_MS = 60.0
"""Sounds closer together than this are one: a stop consonant is no silence."""
ONE_REPLY_MS = 700.0
"""The agent's sounds closer together than this are one reply: it may pause and go on."""
SPEAKING_MS = 200.0
"""Who has been voiced for this long is speaking: a reply that begins then begins into speech."""

QUIET_MS = 150.0
"""Who speaks after so long a silence begins anew."""


@dataclass
class Conversation:
    """A user's turns from first to last sample, when the user was voiced, and when the agent was audible."""

    turns: Sequence[Span]
    voiced: Sequence[Span]
    audible: Sequence[Span]
    name: str = ""


@dataclass
class Talkover:
    """What the agent did to the user in some conversations."""

    turns: int = 0
    cut_ins: int = 0
    """Replies that began before the user's turn was over."""
    into_speech: int = 0
    """Those of them that began while the user had been voiced for 200 ms."""
    unanswered: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    """From the end of a turn to the first sound of the answer, of turns without a cut-in."""
    overlaps_ms: list[float] = field(default_factory=list)
    """Both audible, for each turn."""
    after_cut_in_ms: list[float] = field(default_factory=list)
    """How long both were audible, for each reply that was running when the user went on."""
    onset_to_silence_ms: list[float] = field(default_factory=list)
    """From the user's going on into a reply to the end of its sound."""
    places: list[str] = field(default_factory=list)
    """Each cut-in, in words."""

    def figures(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "turns": self.turns,
            "cut_ins": self.cut_ins,
            "replies_begun_into_speech": self.into_speech,
            "unanswered": self.unanswered,
            "latency_ms": spread(self.latencies_ms, 0),
            "overlap_a_turn_ms": round(float(np.mean(self.overlaps_ms)), 1) if self.overlaps_ms else None,
            "overlap_when_the_user_went_on_p95_ms": percentile(self.after_cut_in_ms, 95, 0),
            "onset_to_silence_ms": spread(self.onset_to_silence_ms, 0),
            "places": self.places,
        }

    def add(self, conversation: Conversation) -> None:
        """Count what happened in a conversation."""
        replies = joined(conversation.audible, ONE_REPLY_MS)
        for number, (onset, end) in enumerate(conversation.turns):
            self.turns += 1
            later = [begin for begin, _ in conversation.turns[number + 1 :]]
            until = later[0] if later else np.inf
            inside = [begin for begin, _ in replies if onset <= begin < end]
            self.cut_ins += len(inside)
            for begin in inside:
                self._place(conversation, number, begin)
            self._answer(inside, [begin for begin, _ in replies if end <= begin < until], end)
            self._overlap(conversation, (onset, end), replies)
        for onset, _ in joined(conversation.voiced, QUIET_MS):
            running = [stop for start, stop in conversation.audible if start < onset < stop]
            self.onset_to_silence_ms += [stop - onset for stop in running]

    def _answer(self, inside: list[float], after: list[float], end: float) -> None:
        if after and not inside:
            self.latencies_ms.append(after[0] - end)
        elif not after and not inside:
            self.unanswered += 1

    def _overlap(self, conversation: Conversation, turn: Span, replies: list[Span]) -> None:
        voiced = [span for span in conversation.voiced if turn[0] <= span[0] < turn[1]]
        self.overlaps_ms.append(common_ms(voiced, conversation.audible))
        for reply in replies:
            sounds = [span for span in conversation.audible if reply[0] <= span[0] < reply[1]]
            overlap = common_ms(voiced, sounds)
            if overlap:
                self.after_cut_in_ms.append(overlap)

    def _place(self, conversation: Conversation, number: int, begin: float) -> None:
        runs = joined(conversation.voiced, ONE_SOUND_MS)
        run = next((run for run in runs if run[0] <= begin < run[1]), None)
        if run is not None:
            self.into_speech += begin - run[0] >= SPEAKING_MS
            where = f"into speech, {begin - run[0]:.0f} ms after it had begun"
        else:
            last = max((end for _, end in runs if end <= begin), default=0.0)
            following = min((start for start, _ in runs if start > begin), default=np.inf)
            where = f"in a pause of {following - last:.0f} ms, {begin - last:.0f} ms after it had begun"
        self.places.append(f"{conversation.name} turn {number}, at {begin / 1000:.2f} s: {where}")


def sounds(samples: Samples, rate: int, offset_ms: float = 0.0) -> list[Span]:
    """Return when a sound is audible, ms: blocks of 5 ms above −50 dBFS, joined over 60 ms."""
    blocks = audible_blocks(samples, rate, -np.inf) * float(BLOCK_MS) + offset_ms
    return joined([(at, at + BLOCK_MS) for at in blocks.tolist()], ONE_SOUND_MS)


def joined(spans: Sequence[Span], gap_ms: float) -> list[Span]:
    """Return spans of which those closer together than this are one."""
    result: list[Span] = []
    for start, stop in spans:
        if result and start - result[-1][1] < gap_ms:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result


def common_ms(some: Sequence[Span], others: Sequence[Span]) -> float:
    """Return for how long spans of both run, ms."""
    return sum(max(0.0, min(b, d) - max(a, c)) for a, b in some for c, d in others)
