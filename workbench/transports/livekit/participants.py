"""Who is in the room, and who of them is listened to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from workbench.config.room import RoomSettings
from workbench.model.errors import UsageError
from workbench.model.events import ParticipantChanged
from workbench.model.text import plain
from workbench.trace.trace import Trace
from workbench.transports.livekit.sdk import rtc

BEHALF = "lk.publish_on_behalf"
"""Carried by those who speak for an agent."""

Heard = Callable[[str, Any], None]
"""Is told the identity and track of a voice to listen to."""


def kind_of(participant: Any) -> str:
    """`standard`, `sip`, `agent`, …"""
    name: str = rtc().ParticipantKind.Name(participant.kind)
    return name.removeprefix("PARTICIPANT_KIND_").lower()


def voice_of(participant: Any) -> Any:
    """The audio publication that is the participant's voice: a microphone, else the first one; None without any."""
    sdk = rtc()
    audio = [one for one in participant.track_publications.values() if one.kind == sdk.TrackKind.KIND_AUDIO]
    return next(
        (one for one in audio if one.source == sdk.TrackSource.SOURCE_MICROPHONE), audio[0] if audio else None
    )


class Participants:
    """Follows one `rtc.Room` after the other and subscribes to the voices of those who are listened to, to no others.

    `heard` is told each voice that came, `gone` the sid of each that went.
    """

    def __init__(
        self, settings: RoomSettings, trace: Trace, heard: Heard, gone: Callable[[str], None]
    ) -> None:
        self._listen, _, self._whom = settings.listen.partition(":")
        if self._listen == "each":
            raise UsageError(
                "one session has one user", "`workbench run --room NAME` opens a session with each"
            )
        self._grace_s = settings.grace_s
        self._trace = trace
        self._heard = heard
        self._gone = gone
        self._room: Any = None
        self._kinds: dict[str, str] = {}
        self._cut_off = False
        self._who: str | None = None
        """The one who is listened to, where it is one."""
        self._away: dict[str, tuple[str, asyncio.TimerHandle]] = {}
        """Kind of who may come back, and the end of the wait."""

    @property
    def who(self) -> str | None:
        """Identity of the one that transcripts and pictures are about; None while nobody is there."""
        if self._who in self.there:
            return self._who
        return next(iter(self._chosen()), None) if self._listen == "all" else None

    def counts(self, identity: str) -> bool:
        """Whether what that one writes and calls is meant for this session: they are there, and may be listened to."""
        one = self.there.get(identity)
        return one is not None and self._fits(identity, one)

    @property
    def somebody(self) -> bool:
        """Whether anybody is there, or may come back, who could be listened to."""
        return bool(self._away) or any(self._fits(identity, one) for identity, one in self.there.items())

    @property
    def awaited(self) -> bool:
        """Whether who was listened to is not there, and may come back."""
        return any(identity not in self.there for identity in self._away)

    @property
    def there(self) -> dict[str, Any]:
        """The participants by identity."""
        return dict(self._room.remote_participants) if self._room is not None else {}

    def wire(self, room: Any) -> None:
        """Before it connects."""

        def changed(*_: object) -> None:
            if self._room is room:
                self._review()

        for event in (
            "participant_connected",
            "track_published",
            "track_unpublished",
            "participant_attributes_changed",
        ):
            room.on(event, changed)
        room.on(
            "participant_disconnected", lambda one: self._left(one.identity) if self._room is room else None
        )
        room.on("track_subscribed", lambda track, _, one: self._subscribed(room, track, one.identity))
        room.on("track_unsubscribed", lambda track, *_: self._gone(track.sid))
        room.on("track_muted", lambda one, _: self._muted(room, one, "muted"))
        room.on("track_unmuted", lambda one, _: self._muted(room, one, "unmuted"))

    def joined(self, room: Any) -> None:
        """It has connected: look who is there, and who of those before is not."""
        self._room, self._cut_off = room, False
        for identity in [*self._kinds]:
            if identity not in room.remote_participants:
                self._left(identity)
        self._wait_anew()
        self._review()

    def cut_off(self) -> None:
        """The connection is lost: whoever seems to leave now has their time from when it is back."""
        self._cut_off = True
        self._wait_anew()

    def _wait_anew(self) -> None:
        for identity, (kind, timer) in [*self._away.items()]:
            timer.cancel()
            self._wait_for(identity, kind)

    def close(self) -> None:
        """Wait for nobody any more."""
        for _, timer in self._away.values():
            timer.cancel()
        self._away.clear()

    # --- coming and going --------------------------------------------------------------------------------------------

    def _review(self) -> None:
        """Somebody came, or something changed: who is to be listened to?"""
        for identity, one in self.there.items():
            if identity not in self._kinds:
                self._kinds[identity] = kind_of(one)
                self._say(identity, "joined")
        chosen = self._chosen()
        for identity, one in self.there.items():
            wanted = voice_of(one) if identity in chosen else None
            for publication in one.track_publications.values():
                if (
                    publication.kind == rtc().TrackKind.KIND_AUDIO
                    and (publication is wanted) != publication.subscribed
                ):
                    publication.set_subscribed(publication is wanted)

    def _chosen(self) -> set[str]:
        fitting = [identity for identity, one in self._by_age() if self._fits(identity, one)]
        for identity in fitting:
            if waited := self._away.pop(identity, None):  # back in time
                waited[1].cancel()
        if self._listen == "all":
            return set(fitting)
        if self._who not in fitting and self._who not in self._away:
            self._who = fitting[0] if fitting else None
        return {self._who} if self._who in fitting else set()

    def _by_age(self) -> Iterable[tuple[str, Any]]:
        """Who came first comes first."""
        return sorted(
            self.there.items(), key=lambda item: (item[1].joined_at is None, item[1].joined_at, item[0])
        )

    def _fits(self, identity: str, one: Any) -> bool:
        kind, attributes = kind_of(one), one.attributes
        match self._listen:
            case "identity":
                return identity == self._whom
            case "kind":
                return kind == self._whom
            case "attribute":
                key, _, value = self._whom.partition("=")
                return kind != "agent" and attributes.get(key) == value
            case _:
                return kind not in ("agent", "egress") and BEHALF not in attributes

    def _left(self, identity: str) -> None:
        kind = self._kinds.pop(identity, None)
        if kind is None:
            return
        if identity != self._who or not self._grace_s:
            self._say(identity, "left", kind)
            self._review()
            return
        self._say(identity, "away", kind)
        self._wait_for(identity, kind)

    def _wait_for(self, identity: str, kind: str) -> None:
        def over() -> None:
            if self._cut_off:
                self._wait_for(identity, kind)
                return
            del self._away[identity]
            self._say(identity, "left", kind)
            self._review()

        self._away[identity] = kind, asyncio.get_running_loop().call_later(self._grace_s, over)

    def _subscribed(self, room: Any, track: Any, identity: str) -> None:
        if self._room is not None and self._room is not room:
            return
        if track.kind == rtc().TrackKind.KIND_AUDIO:
            self._heard(identity, track)
            self._say(identity, "heard")

    def _muted(self, room: Any, one: Any, state: Any) -> None:
        if self._room is room and one.identity in self._chosen():
            self._say(one.identity, state)

    def _say(self, identity: str, state: Any, kind: str | None = None) -> None:
        shown = plain(identity, limit=100, one_line=True)
        self._trace.emit(ParticipantChanged(shown, kind or self._kinds.get(identity, ""), state))
