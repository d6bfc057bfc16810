"""A recorded session as a conversation to be measured, and its turns as turns for the detectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench._talkover import ONE_SOUND_MS, Conversation, Span, joined, sounds
from bench._user_turns import TAIL_S, UserTurn
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import UsageError
from workbench.model.events import Transcribed, VadBatch
from workbench.simulation.synthesis import Score, Spoken
from workbench.trace.store import open_trace
from workbench.trace.trace import Trace

THRESHOLD = 0.5
"""Probability from which a window of the recorded VAD counts as voiced."""
ONE_TURN_MS = 1_500.0
"""A user who goes on within this had not finished."""
PER_MS = INPUT_RATE / 1000


class Recording:
    """A session folder with its tracks `user` and `agent`. UsageError without them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trace: Trace = open_trace(folder)
        if absent := {"user", "agent"} - set(self.trace.tracks):
            raise UsageError(
                f"{folder} has no {' and no '.join(sorted(absent))}.wav", "record a session with --record"
            )

    def conversation(self) -> Conversation:
        """Return who was audible when: the user as the recorded VAD heard it, the agent as it was played."""
        agent = self.trace.tracks["agent"]
        voiced = self._voiced()
        return Conversation(
            joined(voiced, ONE_TURN_MS),
            joined(voiced, ONE_SOUND_MS),
            sounds(agent.read(0, agent.end), agent.rate),
            self.folder.name,
        )

    def turns(self, language: str) -> Iterator[UserTurn]:
        """Yield the user's turns, with the words as they were transcribed."""
        user, voiced = self.trace.tracks["user"], self._voiced()
        for number, (onset, end) in enumerate(joined(voiced, ONE_TURN_MS)):
            first, last = round(onset * PER_MS), round(end * PER_MS)
            start = max(0, first - INPUT_RATE // 2)
            phrases = [
                (round(a * PER_MS) - start, round(b * PER_MS) - start)
                for a, b in joined(voiced, ONE_SOUND_MS * 2)
                if onset <= a < end
            ]
            words = self._words(first, last)
            score = Score(seed=number, noise_db=-70).add(user.read(start, last)).silence(TAIL_S)
            bounds = np.round(np.linspace(0, len(words), len(phrases) + 1)).astype(int)
            score.spoken = [
                Spoken(" ".join(words[bounds[index] : bounds[index + 1]]), a, b)
                for index, (a, b) in enumerate(phrases)
            ]
            yield UserTurn(f"{self.folder.name}-{number:03d}", language, "recorded", score)

    def _voiced(self) -> list[Span]:
        spans: list[Span] = []
        for entry in self.trace.since(0, 1 << 30):
            if isinstance(entry.event, VadBatch):
                batch, ms = entry.event, entry.event.window / PER_MS
                at = batch.start_sample / PER_MS
                spans += [
                    (at + index * ms, at + (index + 1) * ms)
                    for index, probability in enumerate(batch.probabilities)
                    if probability >= THRESHOLD
                ]
        return joined(spans, 1.0)

    def _words(self, start: int, stop: int) -> list[str]:
        final = {
            entry.event.utterance: entry.event
            for entry in self.trace.since(0, 1 << 30)
            if isinstance(entry.event, Transcribed) and entry.event.final
        }
        texts = [event.text for event in final.values() if start < event.upto_sample <= stop + 2 * INPUT_RATE]
        return " ".join(texts).split()
