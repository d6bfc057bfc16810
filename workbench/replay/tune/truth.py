"""What each silence of the user was: a pause within a turn, or the end of one. What the user did next tells it.

    went on within 1.5 s                            pause     whoever answered had cut them off
    went on later, within 3 s, not answered yet     pause
    went on after an answer                         end
    silent for longer, answered or not              end
    the recording ends before that can be known     unclear   not counted

Speech that became no turn (a click, an echo, a backchannel) is no going on. Silences of less than 200 ms are not
counted, as in livekit/eot-bench. Labels by hand go before all this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workbench.engine.settings import VadSettings
from workbench.model.audio import INPUT_RATE
from workbench.readers.pairs import GOES_ON_SAMPLES
from workbench.replay.tune.recording import AgentSpeech, TuneRecording
from workbench.replay.tune.silences import Silence, find_silences
from workbench.trace.track import Track

Label = Literal["pause", "end", "unclear"]
PER_MS = INPUT_RATE // 1000
SHORTEST = INPUT_RATE // 5
"""Samples of a silence that counts."""
UNANSWERED = INPUT_RATE * 3
"""A user who is not answered and goes on within so many samples had not finished."""
ENDS_MS = 1_000.0
"""Silence after which an utterance that is known to have ended is closed, ms."""
AT_ONCE_MS = 40.0
"""It is closed so long before the next one begins at the latest, ms."""
SLACK = INPUT_RATE // 4
"""The end of speech may be so much earlier with other settings of the VAD, samples."""


@dataclass(frozen=True, slots=True)
class TrueSilence:
    """A silence of the user from `start` to `stop`, samples of `user`, and what it was."""

    start: int
    stop: int
    label: Label
    text: str = ""
    """The words that were transcribed of the speech before it."""
    corrected: bool = False
    """The label was given by hand."""

    @property
    def ms(self) -> float:
        """How long it is, ms."""
        return (self.stop - self.start) / PER_MS


def true_silences(recording: TuneRecording, track: Track) -> list[TrueSilence]:
    """Return the silences of a recording that count, in order, by what the user did next; heard with the default
    settings of the VAD, so that they do not move with what is tried."""
    listened = find_silences(
        track, recording.window, recording.probabilities, VadSettings(), lambda _: UNANSWERED / PER_MS
    )
    spoken = [silence for silence in listened if not _dismissed(silence, recording.dismissed)]
    silences = []
    for number, silence in enumerate(spoken):
        later = spoken[number + 1 :]
        stop = later[0].resumed if later else recording.samples
        if stop - silence.speech_end >= SHORTEST:
            label = _label(silence.speech_end, stop, bool(later), recording.agent)
            silences.append(TrueSilence(silence.speech_end, stop, label, _words(recording, silence)))
    return silences


def _dismissed(silence: Silence, spans: Iterable[tuple[int, int]]) -> bool:
    middle = (silence.resumed + silence.speech_end) // 2
    return any(start <= middle <= stop for start, stop in spans)


def _label(start: int, stop: int, spoke_again: bool, agent: Sequence[AgentSpeech]) -> Label:
    gap, answered = stop - start, any(start < reply.start < stop for reply in agent)
    if not spoke_again:
        return "end" if answered or gap >= GOES_ON_SAMPLES else "unclear"
    if gap < GOES_ON_SAMPLES:
        return "pause"
    return "end" if answered or gap >= UNANSWERED else "pause"


def _words(recording: TuneRecording, silence: Silence) -> str:
    """Return what is known at the end of the silence of the recorded utterance that was spoken last."""
    known = [
        words for words in recording.words if words.onset < silence.speech_end and words.at <= silence.stop
    ]
    return known[-1].text.strip() if known else ""


def correct(silences: Sequence[TrueSilence], labels: dict[int, Label], tolerance: int) -> list[TrueSilence]:
    """Return the silences with labels by hand, each by the position where the silence begins. KeyError with the
    position of a label to which no silence belongs."""
    corrected = list(silences)
    for position, label in labels.items():
        near = min(
            range(len(silences)), key=lambda index: abs(silences[index].start - position), default=None
        )
        if near is None or abs(silences[near].start - position) > tolerance:
            raise KeyError(position)
        corrected[near] = replace(silences[near], label=label, corrected=True)
    return corrected


class KnownTurns:
    """Tells how long to wait in a silence until the utterance is known to be over."""

    def __init__(self, silences: Sequence[TrueSilence]) -> None:
        self._silences = silences

    def at(self, speech_end: int) -> TrueSilence | None:
        """Return the silence in which speech that ended there was followed by nothing; None within speech."""
        return next((each for each in self._silences if each.start - SLACK <= speech_end < each.stop), None)

    def wait_ms(self, speech_end: int) -> float:
        """Return the silence that ends the utterance, ms: infinite within a turn."""
        silence = self.at(speech_end)
        if silence is None or silence.label == "pause":
            return float("inf")
        return max(0.0, min(ENDS_MS, (silence.stop - speech_end) / PER_MS - AT_ONCE_MS))
