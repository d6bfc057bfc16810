"""Pictures of what the user shows: the latest frame of their screen or camera, on demand only.

Video is subscribed to, sent to us and decoded only while a picture may be needed: in `turn` mode from the onset of
speech to the decision that it is a turn, else as long as taking one picture lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any, Literal

from workbench.model.conversation import Picture
from workbench.model.errors import StageError, UsageError, foreign
from workbench.model.events import (
    Entry,
    Notice,
    PictureTaken,
    SpeechStarted,
    TurnDecided,
    UtteranceDismissed,
)
from workbench.model.text import plain
from workbench.tools.context import RunContext, ToolError
from workbench.tools.tool import tool
from workbench.trace.trace import Trace
from workbench.transports.livekit.participants import Participants
from workbench.transports.livekit.sdk import rtc

Mode = Literal["off", "turn", "tool"]
OLD_S = 4.0
"""A frame that came in so long ago shows what is no more, s; a screen at rest sends one each second."""
WAIT_S = 2.0
"""How long a frame is waited for, s: over the internet, subscribing takes about half a second."""
SHARP_S = 1.6
"""A track in several sizes begins with the smallest (320 × 180 of a browser's camera); so long after it was subscribed
to, any size will do, s. A user who speaks for longer has waited already."""
ENOUGH = 0.8
"""Share of the full size at which a frame is sharp."""
MOST_PICTURES = 2_000
"""Pictures recorded in a session, at most 200 kB each."""
LONGEST = 768
"""Pixels of the longer side; what models see of a larger picture is scaled down to about this."""
MOST_BYTES = 200_000
QUALITIES = (80, 60, 40)


class UserVideo:
    """Follows the room (`wire`) and the trace (`note`); `run` reads frames, `look` and `picture` give one."""

    def __init__(
        self, participants: Participants, trace: Trace, mode: Mode, sees: Callable[[], bool]
    ) -> None:
        self.mode = mode
        self.sees = sees
        """Whether the model looks at pictures."""
        self._participants = participants
        self._trace = trace
        self._room: Any = None
        self._tasks: asyncio.TaskGroup | None = None
        self._publication: Any = None
        """The publication that is subscribed to."""
        self._since = 0.0
        """When it was, on the loop's clock, s."""
        self._reader: asyncio.Task[None] | None = None
        self._frame: tuple[float, Any] | None = None
        """When the latest one came in, on the loop's clock, and the SDK's event."""
        self._arrived = asyncio.Event()
        self._open: set[int] = set()
        """Utterances that may need a picture."""
        self._looking = 0
        self._taken = 0
        self._reported_none = ""

    @property
    def watching(self) -> bool:
        """Whether a track is subscribed to."""
        return self._publication is not None

    async def run(self) -> None:
        """Read what is subscribed to, until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None

    # --- when to look ------------------------------------------------------------------------------------------------

    def note(self, entry: Entry) -> None:
        """Subscribe when somebody begins to speak: that may become a turn."""
        if self.mode != "turn":
            return
        match entry.event:
            case SpeechStarted(utterance=utterance):
                self._open.add(utterance)
            case TurnDecided(utterance=utterance) | UtteranceDismissed(utterance=utterance):
                self._open.discard(utterance)  # what answers a turn that is decided has its picture already
            case _:
                return
        self._review()

    async def look(self, reply: int) -> tuple[Picture, ...]:
        """Return what is shown now, in `turn` mode; a notice says where that is nothing."""
        if self.mode != "turn":
            return ()
        if not self.sees():
            self._report_none(
                'the language model does not look at pictures: [room] video = "turn" does nothing'
            )
            return ()
        picture: Picture | None = None
        with suppress(StageError), foreign("LiveKit", "source"):
            picture = await self.picture(reply)
        if picture is None:
            self._report_none(f"no picture went with this turn: {self.reason_for_none()}")
            return ()
        self._reported_none = ""
        return (picture,)

    async def picture(self, reply: int | None = None) -> Picture | None:
        """Take the latest frame as a JPEG; None where nothing is shown, or nothing new has come in `WAIT_S`. UsageError
        where video is off."""
        if self.mode == "off":
            raise UsageError("this session does not look at video", 'set [room] video = "tool" or "turn"')
        self._looking += 1
        try:
            self._review()
            event = await self._fresh()
            if event is None:
                return None
            publication, age_s = self._publication, asyncio.get_running_loop().time() - event[0]
            data, width, height = await asyncio.get_running_loop().run_in_executor(None, jpeg, event[1])
        finally:
            self._looking -= 1
            self._review()
        return self._keep(data, width, height, reply, publication, age_s)

    def reason_for_none(self) -> str:
        """Return why there is no picture."""
        linked = self._participants.linked
        if linked is None:
            return "nobody is there"
        name = plain(linked, 100, one_line=True)
        if self._best_publication() is None:
            return f"{name} shows neither screen nor camera"
        return f"no new frame of {name}'s video came in {WAIT_S:.1f} s"

    async def _fresh(self) -> tuple[float, Any] | None:
        """Return a frame of now that is sharp; after a while, whatever there is."""
        loop = asyncio.get_running_loop()

        def fresh() -> tuple[float, Any] | None:
            frame = self._frame
            return frame if frame is not None and loop.time() - frame[0] < OLD_S else None

        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while self._publication is not None:
                    late = loop.time() - self._since >= SHARP_S
                    if (frame := fresh()) is not None and (late or self._sharp(frame[1].frame)):
                        return frame
                    self._arrived.clear()
                    await self._arrived.wait()
        return fresh() if self._publication is not None else None

    def _keep(
        self, data: bytes, width: int, height: int, reply: int | None, publication: Any, age_s: float
    ) -> Picture:
        self._taken += 1
        file = f"pictures/{self._taken:04}.jpg" if self._taken <= MOST_PICTURES else ""
        if file:
            self._trace.pictures.append((file, data))
        name = plain(self._participants.linked or "", 100, one_line=True)
        source: Literal["screen", "camera"] = (
            "screen" if publication and _is_screen(publication) else "camera"
        )
        self._trace.emit(
            PictureTaken(reply, file, name, source, width, height, len(data), round(age_s * 1000, 1))
        )
        return Picture(data, width, height, file)

    def _report_none(self, reason: str) -> None:
        """Report it once, until it changes."""
        if reason != self._reported_none:
            self._reported_none = reason
            self._trace.emit(Notice("info", "room", reason))

    # --- what to look at ---------------------------------------------------------------------------------------------

    def wire(self, room: Any) -> None:
        """Before it connects."""

        def changed(*_: object) -> None:
            if self._room is room:
                self._review()

        for event in (
            "track_published", "track_unpublished", "track_muted", "track_unmuted", "participant_disconnected",
        ):  # fmt: skip
            room.on(event, changed)
        room.on("track_subscribed", lambda track, publication, _: self._subscribed(room, track, publication))
        room.on("disconnected", lambda _: self._drop() if self._room is room else None)

    def joined(self, room: Any) -> None:
        """It has connected."""
        if room is not self._room:
            self._drop()
        self._room = room
        self._review()

    def _best_publication(self) -> Any:
        """Return what there is to see: the screen, else the camera, of the linked participant."""
        participant = self._participants.remote.get(self._participants.linked or "")
        publications = participant.track_publications.values() if participant is not None else ()
        video = [
            publication
            for publication in publications
            if publication.kind == rtc().TrackKind.KIND_VIDEO and not publication.muted
        ]
        return min(video, key=_rank, default=None)

    def _review(self) -> None:
        """Subscribe to what is needed, to nothing else."""
        needed = self._looking > 0 or (bool(self._open) and self.sees())
        best = self._best_publication() if needed else None
        current = self._publication
        if (best.sid if best is not None else None) == (current.sid if current is not None else None):
            return
        self._drop()
        if best is not None and self._tasks is not None:
            self._publication = best
            self._since = asyncio.get_running_loop().time()
            best.set_subscribed(True)
            if best.simulcasted:
                best.set_video_quality(rtc().VideoQuality.VIDEO_QUALITY_HIGH)

    def _sharp(self, frame: Any) -> bool:
        """Return whether it is about as large as it will be, or as is needed."""
        full = max(self._publication.width, self._publication.height)
        return bool(max(frame.width, frame.height) >= ENOUGH * min(full, LONGEST))

    def _drop(self) -> None:
        before, self._publication, self._frame = self._publication, None, None
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        if before is not None and self._room is not None and self._room.isconnected():
            before.set_subscribed(False)
        self._arrived.set()

    def _subscribed(self, room: Any, track: Any, publication: Any) -> None:
        publication = self._publication
        if (
            room is not self._room
            or publication is None
            or publication.sid != publication.sid
            or self._tasks is None
        ):
            return
        if self._reader is not None:  # the SDK has reconnected: the track is a new one
            self._reader.cancel()
        self._reader = self._tasks.create_task(self._read(track))

    async def _read(self, track: Any) -> None:
        stream = rtc().VideoStream(track, capacity=1)
        try:
            async for event in stream:
                self._frame = asyncio.get_running_loop().time(), event
                self._arrived.set()
        finally:
            await stream.aclose()


def _is_screen(publication: Any) -> bool:
    return bool(publication.source == rtc().TrackSource.SOURCE_SCREENSHARE)


def _rank(publication: Any) -> tuple[int, str]:
    sources = rtc().TrackSource
    order = (sources.SOURCE_SCREENSHARE, sources.SOURCE_CAMERA)
    source = publication.source
    return order.index(source) if source in order else len(order), publication.sid


def jpeg(event: Any) -> tuple[bytes, int, int]:
    """Return an `rtc.VideoFrameEvent` as an upright picture: JPEG, at most `MOST_BYTES`, width, height in pixels, at
    most `LONGEST`. Takes 10–30 ms, off the loop."""
    from PIL import Image  # 30 ms, and only those who show something need it

    sdk = rtc()
    kinds, frame = sdk.VideoBufferType, event.frame
    if frame.type != kinds.I420:  # what all can be turned into, and it into RGB
        frame = frame.convert(kinds.I420)
    frame = frame.convert(kinds.RGB24)
    image = Image.frombuffer("RGB", (frame.width, frame.height), bytes(frame.data), "raw", "RGB", 0, 1)
    image.thumbnail((LONGEST, LONGEST))
    turns = {1: Image.Transpose.ROTATE_270, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_90}
    if (turn := turns.get(event.rotation)) is not None:  # a telephone that is held upright
        image = image.transpose(turn)
    while True:
        for quality in QUALITIES:
            out = BytesIO()
            image.save(out, "JPEG", quality=quality)
            if out.tell() <= MOST_BYTES:
                return out.getvalue(), image.width, image.height
        image = image.reduce(2)


@tool(idempotent=True, timeout_s=10)
async def look(context: RunContext[Any]) -> str:
    """See what the user is showing now: their shared screen, or else their camera. Use it whenever the answer depends
    on what can be seen."""
    room = context.room
    if not room.user_video.sees():
        raise ToolError("This model cannot look at pictures.")
    picture = await room.look()
    if picture is None:
        raise ToolError(f"There is nothing to see: {room.user_video.reason_for_none()}.")
    context.show(picture)
    return f"The picture that follows shows it: {picture.width} × {picture.height} pixels."
