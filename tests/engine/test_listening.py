"""The listening half: frames in, utterances out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.endpointing import SilenceTurn
from workbench.engine.interfaces import TurnDetector, Vad
from workbench.engine.listening import EndOfUtterance, Listening, ListeningEvent, Onset
from workbench.engine.settings import EngineSettings
from workbench.engine.utterance import Utterance
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence
from workbench.model.conversation import Transcript
from workbench.model.events import (
    Event,
    Levels,
    Notice,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    UtteranceDismissed,
    VadBatch,
)
from workbench.providers.energy import Energy
from workbench.simulation.synthesis import Score, speech
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack

MS = INPUT_RATE // 1000
FRAME = 20 * MS


@dataclass
class Listener:
    """Listening on a track of its own, and the utterances that it opened."""

    listening: Listening
    track: LiveTrack
    trace: Trace
    commits: bool = True
    """The reply to each utterance is heard at once."""
    utterances: list[Utterance] = field(default_factory=list)

    def feed(self, frame: Frame) -> list[ListeningEvent]:
        events = self.listening.feed(frame)
        for event in events:
            if isinstance(event, EndOfUtterance):
                event.utterance.committed = self.commits
                event.utterance.segments[-1].write(Transcript("words", event.utterance.end, final=True))
        self.utterances += [event.utterance for event in events if isinstance(event, Onset)]
        return events

    def all(self, kind: type[Event]) -> list[Event]:
        return [entry.event for entry in self.trace.since(0, 100_000) if isinstance(entry.event, kind)]

    @property
    def states(self) -> list[str]:
        return [utterance.state for utterance in self.utterances]


def listener(
    *, vad: Vad | None = None, turn: TurnDetector | None = None, settings: EngineSettings | None = None
) -> Listener:
    trace, track = Trace(lambda: 0.0, keep=100_000), LiveTrack("user", INPUT_RATE, 30)
    listening = Listening(vad or Energy(), turn or SilenceTurn(), settings or EngineSettings(), trace, track)
    return Listener(listening, track, trace)


def frames(samples: Samples, size: int = FRAME, start: int = 0) -> Iterator[Frame]:
    for at in range(0, len(samples), size):
        yield Frame(samples[at : at + size], INPUT_RATE, start + at)


def hear(ear: Listener, *sounds: Samples, size: int = FRAME) -> Listener:
    """Feed sounds, one after the other."""
    for frame in frames(np.concatenate(sounds), size, ear.track.end):
        ear.feed(frame)
    return ear


def quiet(ms: int) -> Samples:
    return silence(ms * MS)


def voice(ms: int, db: float = -26.0) -> Samples:
    return speech(ms / 1000, db=db)


# --- utterances ------------------------------------------------------------------------------------------------------


def test_an_utterance_ends_after_silence_ms() -> None:
    ear = hear(listener(), quiet(500), voice(1000), quiet(1000))
    (utterance,) = ear.utterances
    assert utterance.state == "ended"
    assert utterance.speech_end == pytest.approx(1500 * MS, abs=5 * MS)
    assert 350 * MS <= utterance.end - utterance.speech_end <= 350 * MS + 2 * FRAME
    started, paused = ear.all(SpeechStarted), ear.all(SpeechPaused)
    assert [event.at_sample for event in started if isinstance(event, SpeechStarted)] == [utterance.onset]
    assert utterance.onset == pytest.approx(500 * MS, abs=2 * FRAME)
    assert [event.end_sample for event in paused if isinstance(event, SpeechPaused)] == [utterance.speech_end]


def test_an_utterance_includes_the_sound_before_its_onset() -> None:
    ear = hear(listener(), quiet(500), voice(600), quiet(1000))
    (utterance,) = ear.utterances
    assert utterance.start_sample == utterance.onset - 300 * MS
    assert np.array_equal(utterance.audio(), ear.track.read(utterance.start_sample, utterance.end))


def test_speech_at_the_very_start_has_no_sound_before_it() -> None:
    (utterance,) = hear(listener(), voice(600), quiet(1000)).utterances
    assert utterance.start_sample == 0


def test_a_short_pause_is_part_of_the_utterance() -> None:
    ear = hear(listener(), quiet(400), voice(600), quiet(240), voice(600), quiet(1000))
    (utterance,) = ear.utterances
    assert utterance.speech_end == pytest.approx(1840 * MS, abs=5 * MS)
    (resumed,) = ear.all(SpeechResumed)
    assert isinstance(resumed, SpeechResumed)
    assert resumed.pause_ms == pytest.approx(240, abs=25)


def test_a_click_is_dismissed() -> None:
    ear = hear(listener(), quiet(400), voice(40), quiet(600))
    assert ear.states == ["dismissed"]
    assert [it.reason for it in ear.all(UtteranceDismissed) if isinstance(it, UtteranceDismissed)] == [
        "too short"
    ]
    assert ear.listening.utterance is None


def test_the_preroll_never_reaches_into_the_utterance_before() -> None:
    settings = EngineSettings()
    settings.turn.adapt, settings.turn.silence_ms = False, 100
    ear = hear(listener(settings=settings), quiet(400), voice(600), quiet(160), voice(600), quiet(600))
    first, second = ear.utterances
    assert second.start_sample >= first.speech_end


def test_long_speech_is_one_utterance_which_the_stt_reads_in_parts() -> None:
    settings = EngineSettings()
    settings.turn.max_utterance_s = 2
    ear = hear(listener(settings=settings), quiet(400), voice(5000), quiet(1000))
    (utterance,) = ear.utterances
    assert utterance.state == "ended"
    assert [part.seconds for part in utterance.segments[:2]] == pytest.approx([2, 2], abs=0.02)
    assert all(part.state == "ended" for part in utterance.segments)
    assert [part.end for part in utterance.segments[:-1]] == [
        part.start_sample for part in utterance.segments[1:]
    ], "nothing is lost between them"


def test_long_speech_is_divided_at_a_pause_where_there_is_one() -> None:
    settings = EngineSettings()
    settings.turn.max_utterance_s = 2
    ear = hear(listener(settings=settings), quiet(400), *[voice(850), quiet(200)] * 5, quiet(1000))
    (utterance,) = ear.utterances
    assert len(utterance.segments) == 3
    for before, after in itertools.pairwise(utterance.segments):
        assert before.speech_end <= after.start_sample <= after.onset
    assert max(part.seconds for part in utterance.segments) < 2.5


def test_of_speech_for_an_hour_the_sound_of_two_parts_is_kept() -> None:
    settings = EngineSettings()
    settings.turn.max_utterance_s = 2
    ear = hear(listener(settings=settings), quiet(400), *[voice(850), quiet(200)] * 20)
    (utterance,) = ear.utterances
    assert len(utterance.audio()) <= 5 * INPUT_RATE
    last = utterance.segments[-1]
    assert np.array_equal(utterance.audio(last.start_sample), last.audio())


def test_a_noise_without_an_end_is_dismissed_once_it_has_no_words() -> None:
    settings = EngineSettings()
    settings.turn.max_utterance_s = 2
    ear = hear(listener(settings=settings), quiet(400), voice(1000))
    ear.utterances[0].segments[0].write(Transcript("", ear.utterances[0].end))
    hear(ear, voice(3000))
    assert ear.states == ["dismissed", "speaking"]


def test_silence_opens_no_utterance() -> None:
    ear = hear(listener(), quiet(5000))
    assert ear.utterances == []
    assert ear.listening.quiet_ms == 5000


def test_while_deaf_nothing_is_an_onset_but_an_open_utterance_goes_on() -> None:
    ear = listener()
    ear.listening.deaf = True
    assert hear(ear, quiet(400), voice(600), quiet(600)).utterances == []
    ear.listening.deaf = False
    hear(ear, voice(300))
    ear.listening.deaf = True
    hear(ear, voice(300), quiet(600))
    assert ear.states == ["ended"]


@pytest.mark.parametrize("size", [160, 320, 441, 512, 1600])
def test_the_size_of_frames_changes_little(size: int) -> None:
    ear = hear(listener(), quiet(500), voice(1000), quiet(1500), size=size)
    (utterance,) = ear.utterances
    assert utterance.state == "ended"
    assert utterance.speech_end == pytest.approx(1500 * MS, abs=5 * MS)


# --- adapting --------------------------------------------------------------------------------------------------------


class Noting(SilenceTurn):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []

    def paused(self, ms: float, *, went_on: bool) -> None:
        super().paused(ms, went_on=went_on)
        self.told.append(round(ms))


def test_the_detector_learns_from_pauses_and_from_false_cutoffs() -> None:
    turn = Noting()
    ear = listener(turn=turn)
    ear.commits = False
    hear(ear, quiet(400), voice(600), quiet(200), voice(600), quiet(700), voice(600), quiet(900))
    assert len(ear.utterances) == 1
    assert turn.told == [pytest.approx(200, abs=25), pytest.approx(700, abs=25)]


def test_the_detector_learns_nothing_from_speech_into_a_reply() -> None:
    turn = Noting()
    ear = hear(listener(turn=turn), quiet(400), *[voice(600), quiet(600)] * 6)
    assert len(ear.utterances) == 6
    assert turn.told == []


def test_the_detector_learns_nothing_from_what_a_slow_reply_leaves_time_for() -> None:
    turn = Noting()
    ear = listener(turn=turn)
    ear.commits = False
    hear(ear, quiet(400), voice(600), quiet(1900), voice(600), quiet(900))
    assert len(ear.utterances) == 1
    assert turn.told == []


def test_a_user_with_long_pauses_is_waited_for() -> None:
    ear, reopened = listener(), []
    ear.commits = False
    for _ in range(5):
        hear(ear, voice(600), quiet(500), voice(600), quiet(500), voice(600), quiet(2000))
        reopened.append(sum(len(utterance.segments) - 1 for utterance in ear.utterances))
        ear.utterances[-1].committed = True
    assert reopened[0] > 0
    assert reopened[1:] == [reopened[1]] * 4


# --- reopened --------------------------------------------------------------------------------------------------------


def test_speech_before_the_reply_is_heard_goes_on_with_the_utterance() -> None:
    ear = listener()
    ear.commits = False
    hear(ear, quiet(400), voice(600), quiet(800), voice(600), quiet(800))
    (utterance,) = ear.utterances
    assert utterance.state == "ended"
    assert np.array_equal(utterance.audio(), ear.track.read(utterance.start_sample, utterance.end))
    first, second = utterance.segments
    assert first.state == second.state == "ended", "the STT reads each to its end"
    assert second.start_sample >= first.speech_end
    assert second.speech_end == utterance.speech_end
    (resumed,) = ear.all(SpeechResumed)
    assert isinstance(resumed, SpeechResumed)
    assert resumed.pause_ms == pytest.approx(800, abs=25)


def test_a_click_after_the_end_leaves_the_utterance_as_it_was() -> None:
    ear = listener()
    ear.commits = False
    hear(ear, quiet(400), voice(600), quiet(800))
    (utterance,) = ear.utterances
    hear(ear, voice(60, db=-20), quiet(800))
    assert len(ear.all(SpeechResumed)) == 1
    assert utterance.state == "ended"
    assert utterance.transcribed
    assert utterance.content == "words"


def test_the_longest_utterance_is_reopened_too() -> None:
    settings = EngineSettings()
    settings.turn.max_utterance_s = 1.5
    ear = listener(settings=settings)
    ear.commits = False
    hear(ear, quiet(400), voice(3000), quiet(800), voice(600), quiet(800))
    assert len(ear.utterances) == 1


# --- thresholds ------------------------------------------------------------------------------------------------------


class Levelled:
    """A VAD that says what the samples say: their value is the probability in percent."""

    def __init__(self, window: int = FRAME) -> None:
        self.window = window
        self.resets = 0

    def __call__(self, samples: Samples) -> float:
        return float(samples[-1]) / 100

    def reset(self) -> None:
        self.resets += 1


def likely(percent: int, ms: int) -> Samples:
    return np.full(ms * MS, percent, dtype=np.int16)


def test_speech_goes_on_at_a_lower_probability_than_its_onset() -> None:
    ear = listener(vad=Levelled())
    hear(ear, likely(49, 400))
    assert ear.utterances == []
    hear(ear, likely(50, 20), likely(36, 400))
    assert ear.listening.voiced_ms() == 420
    hear(ear, likely(34, 200))
    assert ear.states == ["paused"]
    hear(ear, likely(49, 100))
    assert ear.states == ["paused"], "to go on it takes the whole threshold again"
    hear(ear, likely(50, 20))
    assert ear.states == ["speaking"]


def test_after_a_false_pause_speech_must_be_surer_for_two_seconds() -> None:
    ear = hear(listener(vad=Levelled()), likely(0, 1000))
    ear.listening.raise_threshold()
    hear(ear, likely(69, 1980))
    assert ear.utterances == []
    hear(ear, likely(69, 40))
    assert len(ear.utterances) == 1
    other = hear(listener(vad=Levelled()), likely(0, 100))
    other.listening.raise_threshold()
    assert len(hear(other, likely(70, 100)).utterances) == 1


# --- sound that is lost, doubled, or wrong ---------------------------------------------------------------------------


def test_lost_sound_is_silence_in_its_place() -> None:
    vad = Levelled()
    ear = hear(listener(vad=vad), likely(0, 100), likely(90, 200))
    lost = 37 * MS
    for frame in frames(likely(90, 200), start=ear.track.end + lost):
        ear.feed(frame)
    (utterance,) = ear.utterances
    assert ear.track.end == 500 * MS + lost
    assert utterance.end == ear.track.end
    assert len(utterance.audio()) == utterance.end - utterance.start_sample
    assert not utterance.audio(300 * MS, 300 * MS + lost).any()
    assert (utterance.audio(300 * MS + lost) == 90).all()
    assert vad.resets == 1


def test_positions_of_probabilities_stay_true_when_sound_is_lost() -> None:
    ear = hear(listener(vad=Levelled()), likely(10, 60))
    for frame in frames(likely(70, 400), start=1000 * MS):
        ear.feed(frame)
    first, second, *_ = ear.all(VadBatch)
    assert isinstance(first, VadBatch)
    assert isinstance(second, VadBatch)
    assert (first.start_sample, set(first.probabilities)) == (0, {0.1})
    assert (second.start_sample, set(second.probabilities)) == (1000 * MS, {0.7})


def test_a_long_gap_ends_the_utterance() -> None:
    ear = hear(listener(), quiet(400), voice(600))
    for frame in frames(quiet(200), start=ear.track.end + 60_000 * MS):
        ear.feed(frame)
    assert ear.states == ["ended"]


def test_overlapping_frames_are_taken_once() -> None:
    ear = hear(listener(), quiet(100))
    sound = np.arange(1, 641, dtype=np.int16)
    for start in (0, 160, 320, 0):
        ear.feed(Frame(sound[start : start + 320], INPUT_RATE, 100 * MS + start))
    assert np.array_equal(ear.track.read(100 * MS, 100 * MS + 640), sound)
    assert ear.track.end == 100 * MS + 640


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-700, 700), st.integers(0, 700)), max_size=60))
def test_positions_stay_true_for_any_frames(pieces: list[tuple[int, int]]) -> None:
    """Whatever overlaps and gaps there are, an utterance holds what the track holds."""
    ear, truth = listener(vad=Levelled()), np.zeros(200_000, dtype=np.int16)
    end = 0
    for shift, count in pieces:
        start = max(0, end + shift)
        sound = np.full(count, 80, dtype=np.int16)
        new = max(end, start)
        truth[new : start + count] = 80
        ear.feed(Frame(sound, INPUT_RATE, start))
        end = max(end, start + count, new if start > end else 0)
        assert ear.track.end == end
    assert np.array_equal(ear.track.read(0, end), truth[:end])
    for utterance in ear.utterances:
        assert np.array_equal(utterance.audio(), truth[utterance.start_sample : utterance.end])


# --- detectors that fail ---------------------------------------------------------------------------------------------


class Broken(Levelled):
    """Works `well` times and then does something else."""

    def __init__(self, answer: Callable[[], object], well: int = 0, *, resets: bool = True) -> None:
        super().__init__()
        self._answer = answer
        self._well = well
        self._resets = resets

    def __call__(self, samples: Samples) -> float:
        self._well -= 1
        return super().__call__(samples) if self._well >= 0 else self._answer()  # type: ignore[return-value]

    def reset(self) -> None:
        if not self._resets:
            raise RuntimeError("no reset")


def fails() -> object:
    raise RuntimeError("out of memory")


ANSWERS: list[Callable[[], object]] = [
    fails,
    lambda: None,
    lambda: "loud",
    lambda: float("nan"),
    lambda: 17.0,
    lambda: -1,
    lambda: np.zeros(3),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_vad_that_fails_is_replaced_with_a_notice(answer: Callable[[], object]) -> None:
    ear = hear(listener(vad=Broken(answer, 10)), quiet(400), voice(600), quiet(1000))
    assert ear.states == ["ended"]
    (notice,) = ear.all(Notice)
    assert isinstance(notice, Notice)
    assert (notice.level, notice.owner) == ("error", "vad")
    assert notice.hint == "speech is found by its level from now on"


def test_a_vad_that_cannot_start_anew_is_replaced_too() -> None:
    ear = hear(listener(vad=Broken(fails, 1000, resets=False)), quiet(100))
    ear.feed(Frame(quiet(20), INPUT_RATE, 5000 * MS))
    assert hear(ear, voice(600), quiet(1000)).states == ["ended"]
    assert len(ear.all(Notice)) == 1


class Moody(TurnDetector):
    """A turn detector that answers with something, and fails when it is told of a pause."""

    def __init__(self, answer: Callable[[], object], *, learns: bool = True) -> None:
        self._answer = answer
        self._learns = learns

    def wait_ms(self, utterance: Utterance, settings: object) -> float:
        return self._answer()  # type: ignore[return-value]

    def paused(self, ms: float, *, went_on: bool) -> None:
        if not self._learns:
            raise RuntimeError("cannot learn")


@pytest.mark.parametrize("answer", [*ANSWERS[:4], ANSWERS[5]])
def test_a_turn_detector_that_fails_is_replaced_with_a_notice(answer: Callable[[], object]) -> None:
    ear = hear(listener(turn=Moody(answer)), quiet(400), voice(600), quiet(1000))
    (utterance,) = ear.utterances
    assert utterance.state == "ended"
    assert utterance.end - utterance.speech_end == pytest.approx(350 * MS, abs=2 * FRAME)
    assert len(ear.all(Notice)) == 1
    assert hear(ear, voice(600), quiet(1000)).states == ["ended", "ended"]
    assert len(ear.all(Notice)) == 1


def test_a_turn_detector_that_cannot_learn_is_replaced_too() -> None:
    turn = Moody(lambda: 300, learns=False)
    ear = hear(listener(turn=turn), quiet(400), voice(600), quiet(200), voice(600), quiet(1000))
    assert ear.states == ["ended"]
    assert len(ear.all(Notice)) == 1


def test_a_turn_detector_may_wait_until_the_silence_is_too_long() -> None:
    settings = EngineSettings()
    settings.turn.max_utterance_s = 3
    ear = hear(listener(turn=Moody(lambda: float("inf")), settings=settings), voice(600), quiet(5000))
    assert ear.states == ["ended"]
    utterance = ear.utterances[0]
    assert (utterance.end - utterance.speech_end) / INPUT_RATE == pytest.approx(3, abs=0.03)
    assert ear.all(Notice) == []


# --- levels ----------------------------------------------------------------------------------------------------------


def test_levels_are_emitted_ten_times_a_second() -> None:
    ear = hear(listener(), Score().say("hello", seconds=1).samples())
    levels = [event for event in ear.all(Levels) if isinstance(event, Levels)]
    assert len(levels) == 10
    assert all(-40 < event.rms_db <= event.peak_db < 0 for event in levels)
