"""The recorded answers of a cassette, found by the request, and what is said where there is none."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.model.errors import RefusedError, WorkbenchError
from workbench.model.events import Notice, Stage
from workbench.replay.session_clock import SessionClock
from workbench.trace.cassette import REMOVED, Cassette, RecordedCall, Row
from workbench.trace.recorded_errors import KINDS, recorded_error

Miss = Literal["missing", "removed", "used up", "cut off"]
"""Why the cassette has no answer to a request: there is no such request in it; requests were removed from it
afterwards, and this may be one of them; it was made more often than recorded; its answer was recorded as cut off, and
now more of it was wanted."""
SENTENCES: dict[Miss, str] = {
    "missing": "its input is not what was recorded",
    "removed": "what was asked was removed from the recording by `workbench redact`",
    "used up": "it is asked more often than was recorded",
    "cut off": "its answer was recorded as cut off, and now more of it is wanted",
}
ON_TIME_S = 0.05
"""A request that is made within this time of the recorded one is the same moment: its answer comes when it came."""
CUT_OFF_S = 1.0
"""How long after its recorded end an answer that was cut off is not missed: a deadline may be about to pass, s."""


@dataclass(frozen=True, slots=True)
class Change:
    """A request to a stage that the cassette could not answer, as its input is not what was recorded."""

    stage: Stage
    miss: Miss
    t_ms: float
    """When it was made, on the session's clock of the rerun."""
    request: str
    """What was asked, in words; plain text."""
    live: bool
    """A provider was asked in its place; else the turn failed."""


class MissError(RefusedError):
    """The cassette has no answer to a request."""

    def __init__(self, stage: Stage, miss: Miss, request: str) -> None:
        hint = f"run it with a live provider: swap {stage}, or allow live ones"
        super().__init__(
            f"the cassette cannot answer for {stage}: {SENTENCES[miss]} ({request})", hint, stage=stage
        )
        self.miss = miss


class MissingAnswerError(MissError):
    """There is no such request in it."""


class RemovedAnswerError(MissingAnswerError):
    """Requests were removed from it, and so this one is not to be found."""


class UsedUpError(MissError):
    """All answers to this request were given."""


class CutOffError(MissError):
    """The answer was cut off when it was recorded."""


ERRORS: dict[Miss, type[MissError]] = {
    "missing": MissingAnswerError,
    "removed": RemovedAnswerError,
    "used up": UsedUpError,
    "cut off": CutOffError,
}


class Answers:
    """Gives each recorded answer once. What it has no answer to is a `Change`, which is kept."""

    def __init__(self, cassette: Cassette, clock: SessionClock) -> None:
        self.cassette = cassette
        self.clock = clock
        self.changes: list[Change] = []
        self.emit: Callable[[Notice], object] = lambda notice: None
        self._lanes: dict[tuple[str, str, str], deque[RecordedCall]] = defaultdict(deque)
        self._outlines: dict[tuple[str, str, str], list[RecordedCall]] = defaultdict(list)
        for call in cassette.calls:
            self._lanes[call.stage, call.item, call.key].append(call)
            if call.outline:
                self._outlines[call.stage, call.item, call.outline].append(call)
        self._given: set[int] = set()

    def take(self, stage: str, item: str, request: Row) -> RecordedCall | Miss:
        """Return the recorded answer to a request, or why there is none. One that differs only in what was heard of
        earlier answers will do where there is no other: a reply that was cut a frame earlier has a word less."""
        lane = self._lanes.get((stage, item, request["key"]))
        while lane:
            call = lane.popleft()
            if call.number not in self._given:
                self._given.add(call.number)
                return call
        for call in self._outlines.get((stage, item, request.get("outline", "")), ()):
            if call.number not in self._given:
                self._given.add(call.number)
                return call
        if lane is not None:
            return "used up"
        return "removed" if (stage, item, REMOVED) in self._lanes else "missing"

    def shift(self, call: RecordedCall) -> float:
        """Return by how much the answer comes later than recorded, s: nothing where it is asked for when it was."""
        late = self.clock.now() - call.t
        return 0.0 if abs(late) <= ON_TIME_S else late

    def miss(self, stage: Stage, miss: Miss, request: str, *, live: bool) -> MissError:
        """Note a change; return its error."""
        error = ERRORS[miss](stage, miss, request)
        first = not any(change.stage == stage for change in self.changes)
        self.changes.append(Change(stage, miss, round(self.clock.now() * 1000, 3), request, live))
        if first and live:
            reason = f"{error.reason}; a live provider is asked"
            self.emit(Notice("warning", stage, reason, ""))
        return error

    def came_at(self, end: int) -> float:
        """Return when the frame came with which `user` reached that position, s."""
        frames = self.cassette.frames
        at = int(np.searchsorted(frames["position"] + frames["count"], end))
        return float(frames["t"][at]) if at < len(frames) else self.clock.now()

    async def end(
        self,
        stage: Stage,
        call: RecordedCall,
        shift: float,
        kinds: Mapping[str, type[WorkbenchError]] = KINDS,
    ) -> Row:
        """Wait for the recorded end of an answer, and return it. Raises what it failed with, one of `kinds` where it is
        an error of ours, and CutOffError."""
        if call.cut or call.end is None:
            ended = self.cassette.end_s if call.end is None else call.end["t"]
            await self.clock.until(ended + shift + CUT_OFF_S)
            raise self.miss(stage, "cut off", call.asks, live=False)
        await self.clock.turn_of(call.end, shift)
        if call.end["how"] == "failed":
            error = call.end.get("error")
            raise recorded_error(error if isinstance(error, dict) else {}, kinds)
        return call.end
