"""The user's turns as rows of eot-bench, the open benchmark of end-of-turn detection: to score a detector on them.

A row has `id`, `language`, `audio`, `silence_spans`, `messages` and `words`; times are seconds of the row's sound. All
silences but the last are pauses within the turn, the last one is its end, as the session decided it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from workbench.model.audio import Samples
from workbench.model.errors import UsageError
from workbench.model.events import LanguageChanged, SessionStarted
from workbench.readers import plausible_entries
from workbench.readers.folds.voices import UserUtterance, VoicesFold
from workbench.readers.moments import AROUND_MS
from workbench.readers.timeline import Timeline, Turn
from workbench.readers.waveform import track_samples
from workbench.trace.trace import Trace
from workbench.trace.wav import wav_header

AFTER_MS = 3000.0
"""Sound after the user's last word, unless the user speaks again before: what the longest timeout needs."""
BEFORE = 20
"""Messages before a turn that are given with it."""
DEFAULT_LANGUAGE = "en"
ROWS, SOUND = "rows.jsonl", "audio"


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """A turn that was spoken: its sound is from `start_ms` to `end_ms` of the session's clock."""

    turn: Turn
    utterance: UserUtterance
    start_ms: float
    end_ms: float
    language: str


class _SessionFold:
    """Who spoke when, in which language, and the turns that came of it."""

    def __init__(self, trace: Trace) -> None:
        self.session = "session"
        self.said = VoicesFold()
        self.timeline = Timeline(keep=None)
        self._languages: list[tuple[int, str]] = []
        """From which utterance on the user speaks a language."""
        for entry in plausible_entries(trace):
            self.said.feed(entry)
            self.timeline.feed(entry)
            match entry.event:
                case SessionStarted(session=session):
                    self.session = session
                case LanguageChanged(language=language, before=before, utterance=number):
                    self._languages += (
                        [(number, language)] if self._languages else [(-1, before), (number, language)]
                    )

    def spoken(self) -> Iterator[SpokenTurn]:
        """Yield the turns that were spoken, in their order."""
        turns = {turn.turn: turn for turn in self.timeline.turns}
        spoken = [utterance for utterance in self.said.user if utterance.segments]
        starts = [utterance.segments[0][0] for utterance in spoken[1:]]
        for utterance, next_ms in zip(spoken, [*starts, float("inf")], strict=True):
            if utterance.turn in turns and utterance.typed_ms is None:
                end_ms = utterance.segments[-1][1]
                yield SpokenTurn(
                    turns[utterance.turn],
                    utterance,
                    max(0.0, utterance.segments[0][0] - AROUND_MS),
                    max(end_ms, min(next_ms, end_ms + AFTER_MS)),
                    self._language(utterance.utterance),
                )

    def _language(self, utterance: int) -> str:
        spoken = [language for number, language in self._languages if number <= utterance]
        return spoken[-1] if spoken else DEFAULT_LANGUAGE


def write_eot_bench(trace: Trace, folder: Path) -> None:
    """Write `rows.jsonl`, and a wav a row into `audio/`, of each turn that was spoken.

    Raises UsageError where the user's voice was not recorded.
    """
    if "user" not in trace.tracks:
        raise UsageError("the user's voice was not recorded in this session", "choose one with sound")
    session = _SessionFold(trace)
    (folder / SOUND).mkdir()
    messages: list[dict[str, str]] = []
    with (folder / ROWS).open("w", encoding="utf-8") as file:
        for spoken in session.spoken():
            number = spoken.turn.turn
            name = f"{SOUND}/turn-{number:04}.wav"
            sound = track_samples(trace, session.said.moments, "user", spoken.start_ms, spoken.end_ms)
            _write_sound(folder / name, sound, trace.tracks["user"].rate)
            row = {"id": f"{session.session}-{number}", "language": spoken.language, "audio": name}
            file.write(json.dumps({**row, **_spans(spoken), "messages": messages}, ensure_ascii=False) + "\n")
            messages = [*messages, *_messages(spoken.turn)][-BEFORE:]


def _spans(spoken: SpokenTurn) -> dict[str, Any]:
    """Return the silences and the words; a word lies between what the STT had before and when it had the word."""

    def second(ms: float) -> float:
        return round(min(max(ms, spoken.start_ms), spoken.end_ms) - spoken.start_ms, 3) / 1000

    segments = spoken.utterance.segments
    pauses = [(before[1], after[0]) for before, after in pairwise(segments)]
    silences = [*pauses, (segments[-1][1], spoken.end_ms)]
    words: list[dict[str, Any]] = []
    end_ms = segments[0][0]
    for upto_ms, text in spoken.utterance.partials:
        new = text.split()[len(words) :]
        step_ms = (max(end_ms, upto_ms) - end_ms) / max(1, len(new))
        for word in new:
            words.append({"word": word, "start": second(end_ms), "end": second(end_ms + step_ms)})
            end_ms += step_ms
    return {
        "silence_spans": [{"start": second(start), "end": second(end)} for start, end in silences],
        "words": words,
    }


def _messages(turn: Turn) -> list[dict[str, str]]:
    messages = [
        {"role": "user", "content": turn.user_text},
        {"role": "assistant", "content": turn.agent_text},
    ]
    return [message for message in messages if message["content"]]


def _write_sound(file: Path, samples: Samples, rate: int) -> None:
    file.write_bytes(wav_header(rate, len(samples)) + samples.astype("<i2").tobytes())
