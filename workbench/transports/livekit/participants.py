"""Who is in the room, and whose voice the session listens to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from workbench.config.room import RoomSettings
from workbench.model.errors import UsageError
from workbench.model.events import ParticipantChanged
from workbench.model.text import plain
from workbench.trace.trace import Trace
from workbench.transports.livekit.sdk import rtc

ON_BEHALF = "lk.publish_on_behalf"
"""Attribute of those who speak for an agent."""
REVIEWED = (
    "participant_connected",
    "track_published",
    "track_unpublished",
    "participant_attributes_changed",
)
"""Events after which somebody else may be the one to listen to."""

OnVoice = Callable[[str, Any], None]
"""Called with the identity and the track of a voice to listen to."""
State = Literal["joined", "heard", "muted", "unmuted", "away", "left"]


def kind_of(participant: Any) -> str:
    """Return `standard`, `sip`, `agent`, …"""
    name: str = rtc().ParticipantKind.Name(participant.kind)
    return name.removeprefix("PARTICIPANT_KIND_").lower()


def voice_of(participant: Any) -> Any:
    """Return the audio publication that is the participant's voice: a microphone, else the first; None without any."""
    sdk = rtc()
    publications = participant.track_publications.values()
    audio = [publication for publication in publications if publication.kind == sdk.TrackKind.KIND_AUDIO]
    microphones = [track for track in audio if track.source == sdk.TrackSource.SOURCE_MICROPHONE]
    return next(iter([*microphones, *audio]), None)


class Participants:
    """Follows one `rtc.Room` after the other and subscribes to the voices that are listened to, to no others.

    `on_voice` is called for each voice that came, `on_voice_end` with the track sid of each that went.
    """

    def __init__(
        self, settings: RoomSettings, trace: Trace, on_voice: OnVoice, on_voice_end: Callable[[str], None]
    ) -> None:
        self._listen, _, self._value = settings.listen.partition(":")
        if self._listen == "each":
            raise UsageError(
                "one session has one user", "`workbench run --room NAME` opens a session with each"
            )
        self._grace_s = settings.grace_s
        self._trace = trace
        self._on_voice = on_voice
        self._on_voice_end = on_voice_end
        self._room: Any = None
        self._kinds: dict[str, str] = {}
        """Of those whose coming was reported, by identity."""
        self._interrupted = False
        self._linked: str | None = None
        """The one who is listened to, where it is one."""
        self._away: dict[str, tuple[str, asyncio.TimerHandle]] = {}
        """Kind of who may come back, and the end of the wait."""

    @property
    def linked(self) -> str | None:
        """Identity of the participant that transcripts and pictures are about; None while nobody is there."""
        if self._linked in self.remote:
            return self._linked
        return next(iter(self._chosen()), None) if self._listen == "all" else None

    @property
    def remote(self) -> dict[str, Any]:
        """The other participants by identity."""
        return dict(self._room.remote_participants) if self._room is not None else {}

    @property
    def linked_away(self) -> bool:
        """Whether who was listened to is not there, and may come back."""
        return any(identity not in self.remote for identity in self._away)

    @property
    def occupied(self) -> bool:
        """Whether anybody is there, or may come back, who could be listened to."""
        return bool(self._away) or any(self._matches(*item) for item in self.remote.items())

    def may_speak(self, identity: str) -> bool:
        """Return whether what that participant writes and calls is meant for this session."""
        participant = self.remote.get(identity)
        return participant is not None and self._matches(identity, participant)

    def wire(self, room: Any) -> None:
        """Set handlers on a room before it connects."""

        def review(*_: object) -> None:
            if self._room is room:
                self._review()

        def disconnected(participant: Any) -> None:
            if self._room is room:
                self._leave(participant.identity)

        for event in REVIEWED:
            room.on(event, review)
        room.on("participant_disconnected", disconnected)
        room.on("track_subscribed", lambda track, _, sender: self._subscribed(room, track, sender.identity))
        room.on("track_unsubscribed", lambda track, *_: self._on_voice_end(track.sid))
        room.on("track_muted", lambda sender, _: self._muted(room, sender.identity, "muted"))
        room.on("track_unmuted", lambda sender, _: self._muted(room, sender.identity, "unmuted"))

    def joined(self, room: Any) -> None:
        """Look who is in a room that has connected, and who of those before is not."""
        self._room, self._interrupted = room, False
        for identity in [*self._kinds]:
            if identity not in room.remote_participants:
                self._leave(identity)
        self._restart_waits()
        self._review()

    def interrupted(self) -> None:
        """The connection is lost: whoever seems to leave now has their time from when it is back."""
        self._interrupted = True
        self._restart_waits()

    def close(self) -> None:
        """Wait for nobody any more."""
        for _, timer in self._away.values():
            timer.cancel()
        self._away.clear()

    # --- coming and going --------------------------------------------------------------------------------------------

    def _review(self) -> None:
        """Subscribe to the voices of those who are to be listened to now."""
        remote = self.remote
        for identity, participant in remote.items():
            if identity not in self._kinds:
                self._kinds[identity] = kind_of(participant)
                self._emit(identity, "joined")
        chosen = self._chosen()
        for identity, participant in remote.items():
            voice = voice_of(participant) if identity in chosen else None
            for publication in participant.track_publications.values():
                audio = publication.kind == rtc().TrackKind.KIND_AUDIO
                if audio and (publication is voice) != publication.subscribed:
                    publication.set_subscribed(publication is voice)

    def _chosen(self) -> set[str]:
        by_age = sorted(
            self.remote.items(), key=lambda item: (item[1].joined_at is None, item[1].joined_at, item[0])
        )
        matching = [identity for identity, participant in by_age if self._matches(identity, participant)]
        for identity in matching:
            if wait := self._away.pop(identity, None):  # back in time
                wait[1].cancel()
        if self._listen == "all":
            return set(matching)
        if self._linked not in matching and self._linked not in self._away:
            self._linked = matching[0] if matching else None
        return {self._linked} if self._linked in matching else set()

    def _matches(self, identity: str, participant: Any) -> bool:
        """Return whether `room.listen` means this participant."""
        kind, attributes = kind_of(participant), participant.attributes
        match self._listen:
            case "identity":
                return identity == self._value
            case "kind":
                return kind == self._value
            case "attribute":
                key, _, value = self._value.partition("=")
                return kind != "agent" and attributes.get(key) == value
            case _:
                return kind not in ("agent", "egress") and ON_BEHALF not in attributes

    def _leave(self, identity: str) -> None:
        kind = self._kinds.pop(identity, None)
        if kind is None:
            return
        if identity != self._linked or not self._grace_s:
            self._emit(identity, "left", kind)
            self._review()
            return
        self._emit(identity, "away", kind)
        self._wait_for(identity, kind)

    def _wait_for(self, identity: str, kind: str) -> None:
        def over() -> None:
            if self._interrupted:
                self._wait_for(identity, kind)
                return
            del self._away[identity]
            self._emit(identity, "left", kind)
            self._review()

        self._away[identity] = kind, asyncio.get_running_loop().call_later(self._grace_s, over)

    def _restart_waits(self) -> None:
        for identity, (kind, timer) in [*self._away.items()]:
            timer.cancel()
            self._wait_for(identity, kind)

    def _subscribed(self, room: Any, track: Any, identity: str) -> None:
        if self._room is not None and self._room is not room:
            return
        if track.kind == rtc().TrackKind.KIND_AUDIO:
            self._on_voice(identity, track)
            self._emit(identity, "heard")

    def _muted(self, room: Any, identity: str, state: State) -> None:
        if self._room is room and identity in self._chosen():
            self._emit(identity, state)

    def _emit(self, identity: str, state: State, kind: str | None = None) -> None:
        shown = plain(identity, limit=100, one_line=True)
        self._trace.emit(ParticipantChanged(shown, kind or self._kinds.get(identity, ""), state))
