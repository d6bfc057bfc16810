"""What the tracks say of a turn: the last sample of the user's speech and the first audible one of the answer.

Pure functions of the tracks, the same live and from a recording. A block of 5 ms is heard when it stands above
max(noise floor + 12 dB, −50 dBFS); results are exact to a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.model.audio import (
    Samples,
    block_levels,
    first_audible,
    last_audible,
    noise_floor_db,
)
from workbench.model.events import (
    ClockMapped,
    Entry,
    Heard,
    Levels,
    ReplyEnded,
    ReplyPlaying,
    TrackName,
    TurnDecided,
    TurnEnded,
)
from workbench.trace.trace import Trace
from workbench.trace.track import Track

BEFORE_MS, AFTER_MS = 800, 250
"""Around the VAD's end of speech, where the real one is looked for."""
SETTLED_MS = 100
"""The noise after speech is measured from this long after the VAD's end on."""
NOISE_MS = 5000
"""How far back the noise before is measured."""
LATE_MS = 100.0
"""Sound that has not come this long after it was due will not come: the source has ended."""

ToMs = Callable[[int], float]
"""When a sample of a track was (will be) at the device, ms of the session's clock."""


def end_of_speech(track: Track, vad_end: int) -> int | None:
    """Position on `track` after the last audible block between 800 ms before and 250 ms after `vad_end`; None if all of
    it is silent.

    The noise floor is the lower one of what was there in the five seconds before (which somebody who spoke all the time
    leaves no gap in) and of what is there once the speech is over.
    """
    start, stop = max(0, vad_end - _count(track, BEFORE_MS)), vad_end + _count(track, AFTER_MS)
    before = track.read(max(track.start, vad_end - _count(track, NOISE_MS)), min(vad_end, track.end))
    after = track.read(vad_end + _count(track, SETTLED_MS), min(stop, track.end))
    noise_db = min(_noise_db(samples, track.rate) for samples in (before, after))
    window = track.read(start, stop)
    offset = last_audible(window, track.rate, noise_db)
    if offset is None and not len(after):  # the track ends in mid-speech, with nothing to compare it with
        offset = last_audible(window, track.rate)
    return None if offset is None else start + offset


def start_of_reply(track: Track, first: int, stop: int | None = None) -> int | None:
    """Position of the first audible block of `track` between `first` and `stop` (its end); None if all is silent.

    What we play has no noise of its own, so −50 dBFS decides. Blocks count from `first`, and a block that is not yet
    complete is left for the next look.
    """
    stop = track.end if stop is None else min(stop, track.end)
    for start in range(first, stop, track.rate):
        offset = first_audible(track.read(start, min(stop, start + track.rate)), track.rate)
        if offset is not None:
            return start + offset
    return None


def _noise_db(samples: Samples, rate: int) -> float:
    """Noise floor; 0 dBFS, which is no bound, of a stretch that is not there."""
    levels = block_levels(samples, rate)
    return noise_floor_db(levels) if len(levels) else 0.0


def _count(track: Track, ms: int) -> int:
    return track.rate * ms // 1000


class TrackClocks:
    """A reader: where each track was last on the session's clock, as a recording tells it."""

    def __init__(self) -> None:
        self._mapped: dict[TrackName, ClockMapped] = {}

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        if isinstance(entry.event, ClockMapped):
            self._mapped[entry.event.track] = entry.event

    def time_ms(self, track: TrackName, sample: int, rate: int) -> float:
        """When the sample was at the device; where nothing is known, the track began with the session at `rate`."""
        mapped = self._mapped.get(track)
        if mapped is None or not mapped.rate > 0:
            return sample / rate * 1000
        return mapped.at_ms + (sample - mapped.sample) / mapped.rate * 1000


@dataclass(slots=True)
class _Turn:
    """What is known of a turn until both ends are found."""

    vad_end: int | None
    """None: typed."""
    user_end: int | None = None
    user_known: bool = False
    reply: int | None = None
    first: int = 0
    """Of the answer on `agent`."""
    looked: int = 0
    """There is nothing to hear before this position."""


class HeardLatencyMeter:
    """A reader: emits one `Heard` a turn, as soon as both of its ends can be known, at the latest when the answer ends.

    `user_time` and `agent_time` give the session's time of a sample in ms. `emit` is the trace's own unless given.
    How far `agent` may be looked at is what `levels` say was played, so that live and on a recording the same is found.
    """

    def __init__(
        self, trace: Trace, user_time: ToMs, agent_time: ToMs, emit: Callable[[Heard], object] | None = None
    ) -> None:
        self._tracks = trace.tracks
        self._user_time = user_time
        self._agent_time = agent_time
        self._emit = trace.emit if emit is None else emit
        self._turns: dict[int, _Turn] = {}

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.event:
            case TurnDecided(turn=turn, end_sample=end_sample):
                self._turns[turn] = _Turn(end_sample)
            case ReplyPlaying(reply=reply, turn=int(turn), at_sample=first) if turn in self._turns:
                found = self._turns[turn]
                if found.reply is None:
                    found.reply, found.first, found.looked = reply, first, first
            case Levels(track="agent", upto_sample=played):
                for turn in list(self._turns):
                    self._look(turn, played, entry.t_ms)
            case ReplyEnded(reply=reply, turn=int(turn), end_sample=end_sample) if turn in self._turns:
                if self._turns[turn].reply == reply:
                    self._conclude(turn, end_sample)
            case TurnEnded(turn=turn):
                self._turns.pop(turn, None)
            case _:
                pass

    def _look(self, turn: int, played: int, now_ms: float) -> None:
        """Find what can be found by now; emit when that is both."""
        found = self._turns[turn]
        self._look_at_user(found, now_ms)
        if found.reply is None or not found.user_known:
            return
        start = self._reply_from(found, played)
        if start is not None:
            self._say(turn, found, start)

    def _look_at_user(self, found: _Turn, now_ms: float | None) -> None:
        """`now_ms` None: what is not there by now counts as silence."""
        if found.user_known:
            return
        track = self._tracks.get("user")
        if track is None or found.vad_end is None:
            found.user_known = True
            return
        needed = found.vad_end + _count(track, AFTER_MS)
        late = now_ms is None or now_ms > self._user_time(needed) + LATE_MS
        if late or track.end >= needed:
            found.user_end, found.user_known = end_of_speech(track, found.vad_end), True

    def _reply_from(self, found: _Turn, played: int | None) -> int | None:
        """Go on from where the last look ended, on the grid of blocks that begins with the answer."""
        track = self._tracks.get("agent")
        if track is None:
            return None
        stop = track.end if played is None else min(played, track.end)
        start = start_of_reply(track, found.looked, stop)
        block = _count(track, 5)
        found.looked += max(0, stop - found.looked) // block * block
        return start

    def _conclude(self, turn: int, end_sample: int | None) -> None:
        found = self._turns[turn]
        self._look_at_user(found, None)
        self._say(turn, found, self._reply_from(found, end_sample))

    def _say(self, turn: int, found: _Turn, start: int | None) -> None:
        del self._turns[turn]
        end = found.user_end
        end_ms = None if end is None else round(self._user_time(end), 3)
        start_ms = None if start is None else round(self._agent_time(start), 3)
        self._emit(Heard(turn, end, end_ms, start, start_ms))
