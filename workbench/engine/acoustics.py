"""Heard latency: from the last sample of the user's speech to the first audible one of the reply, by the tracks.

Pure functions of the tracks, the same live and from a recording. A block of 5 ms is audible when it stands above
max(noise floor + 12 dB, −50 dBFS); results are exact to a block.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.engine.reply import Reply
from workbench.engine.stages import Stages, Tracks, session_ms
from workbench.model.audio import (
    BLOCK_MS,
    INPUT_RATE,
    OUTPUT_RATE,
    Samples,
    block_levels,
    first_audible,
    last_audible,
    noise_floor_db,
)
from workbench.model.events import Heard
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


def end_of_speech(track: Track, vad_end: int) -> int | None:
    """Return the position on `track` after the last audible block between 800 ms before and 250 ms after `vad_end`;
    None if all of it is silent.

    The noise floor is the lower of two: that of the five seconds before (in which speech without a pause leaves no gap)
    and that after the speech.
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
    """Return the position of the first audible block of `track` between `first` and `stop` (its end); None if all is
    silent.

    What we play has no noise of its own, so −50 dBFS decides. Blocks count from `first`; an incomplete one is left for
    the next call.
    """
    stop = track.end if stop is None else min(stop, track.end)
    for start in range(first, stop, track.rate):
        offset = first_audible(track.read(start, min(stop, start + track.rate)), track.rate)
        if offset is not None:
            return start + offset
    return None


def _noise_db(samples: Samples, rate: int) -> float:
    """Return the noise floor; 0 dBFS, which is no bound, of a stretch without samples."""
    levels = block_levels(samples, rate)
    return noise_floor_db(levels) if len(levels) else 0.0


def _count(track: Track, ms: int) -> int:
    return track.rate * ms // 1000


def overlap_ms(reply: Reply, voiced: Iterable[tuple[int, int]], stages: Stages, tracks: Tracks) -> float:
    """Return for how long the user spoke (`voiced` stretches of `user`) while the reply was audible, ms."""
    first, last = reply.first_sample, reply.audio.ended_at
    if first is None or last is None:
        return 0.0
    starts_s, total = stages.sink.time_of(first), 0
    for start, stop in voiced:
        at = first + round((stages.source.time_of(start) - starts_s) * OUTPUT_RATE)
        end = min(last, at + (stop - start) * OUTPUT_RATE // INPUT_RATE)
        if at >= first and end > at and first_audible(tracks.agent.read(at, end), OUTPUT_RATE) is not None:
            total += end - at
    return round(total * 1000 / OUTPUT_RATE, 1)


@dataclass(slots=True)
class _Pending:
    """A turn whose `Heard` is not emitted yet."""

    reply: Reply
    vad_end: int | None
    """None: typed."""
    user_end: int | None = None
    user_known: bool = False
    searched: int | None = None
    """The reply is silent before this position on `agent`."""


class HeardLatency:
    """Emits one `Heard` a turn, as soon as both of its ends can be known, at the latest when the reply ends.

    How far `agent` may be looked at is what was played, so that live and on a recording the same is found.
    """

    def __init__(self, stages: Stages, tracks: Tracks, trace: Trace) -> None:
        self._stages = stages
        self._tracks = tracks
        self._trace = trace
        self._pending: dict[int, _Pending] = {}

    def follow(self, reply: Reply, vad_end: int | None) -> None:
        """Measure the turn that `reply` answers; speech ended at `vad_end` of `user`, None where it was typed."""
        self._pending[reply.id] = _Pending(reply, vad_end)

    def overlap_ms(self, reply: Reply, voiced: Iterable[tuple[int, int]]) -> float:
        """Return for how long both voices were audible, ms."""
        return overlap_ms(reply, voiced, self._stages, self._tracks)

    def drop(self, reply: Reply) -> None:
        """The reply is discarded."""
        self._pending.pop(reply.id, None)

    def played(self, upto: int, now_ms: float) -> None:
        """Look for both ends of each turn; `agent` was played up to there at `now_ms` of the session's clock."""
        for pending in list(self._pending.values()):
            self._find_user_end(pending, now_ms)
            if pending.user_known and pending.reply.first_sample is not None:
                start = self._find_start(pending, pending.reply.first_sample, upto)
                if start is not None:
                    self._emit(pending, start)

    def conclude(self, reply: Reply) -> None:
        """The reply has ended: what is not on the tracks by now counts as silence."""
        pending = self._pending.get(reply.id)
        if pending is not None and reply.first_sample is not None:
            self._find_user_end(pending, None)
            self._emit(pending, self._find_start(pending, reply.first_sample, reply.audio.ended_at))
        self._pending.pop(reply.id, None)

    def _find_user_end(self, pending: _Pending, now_ms: float | None) -> None:
        """`now_ms` None: what has not come by now will not come."""
        if pending.user_known:
            return
        track, vad_end = self._tracks.user, pending.vad_end
        if vad_end is None:
            pending.user_known = True
            return
        needed = vad_end + _count(track, AFTER_MS)
        if now_ms is None or track.end >= needed or now_ms > self._user_ms(needed) + LATE_MS:
            pending.user_end, pending.user_known = end_of_speech(track, vad_end), True

    def _find_start(self, pending: _Pending, first: int, played: int | None) -> int | None:
        """Go on from where the last search ended, on the grid of blocks that begins with the reply."""
        track = self._tracks.agent
        stop = track.end if played is None else min(played, track.end)
        searched = first if pending.searched is None else pending.searched
        start = start_of_reply(track, searched, stop)
        block = _count(track, BLOCK_MS)
        pending.searched = searched + max(0, stop - searched) // block * block
        return start

    def _emit(self, pending: _Pending, start: int | None) -> None:
        del self._pending[pending.reply.id]
        end, turn = pending.user_end, pending.reply.turn
        assert turn is not None
        end_ms = None if end is None else round(self._user_ms(end), 3)
        start_ms = None
        if start is not None:
            start_ms = round(session_ms(self._trace, self._stages.sink.time_of(start)), 3)
        self._trace.emit(Heard(turn, end, end_ms, start, start_ms))

    def _user_ms(self, sample: int) -> float:
        return session_ms(self._trace, self._stages.source.time_of(sample))
