"""What the session runs on and what it is doing: providers, devices, duplex, host lag, recording, activity."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers.timeline import LiveState

Activity = Literal["starting", "listening", "hearing", "thinking", "speaking", "muted", "ended", "recording"]


LOST = "lost"
"""In place of the name of a device that went away."""


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """A stage's provider: `warm_ms` is None until it answered, `trouble` says why it is not asked or not warm."""

    name: str
    warm_ms: float | None = None
    trouble: str = ""


RoomConnectionState = Literal["connecting", "connected", "reconnecting", "lost", "left"]


@dataclass(frozen=True, slots=True)
class RoomStatus:
    """A LiveKit room: how the connection stands, at which try, and why."""

    name: str
    state: RoomConnectionState
    attempt: int = 0
    reason: str = ""

    @property
    def waiting(self) -> bool:
        """Whether nobody can be heard now, but that may change."""
        return self.state in ("connecting", "reconnecting")

    @property
    def word(self) -> str:
        """The state, with the number of the try from the second on."""
        return f"{self.state} ({self.attempt})" if self.waiting and self.attempt > 1 else self.state


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """The session as it stands."""

    listening: bool = False
    muted: bool = False
    profile: str = ""
    agent: str = ""
    providers: dict[str, ProviderStatus] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    duplex: Literal["full", "half"] = "full"
    duplex_reason: str = ""
    echo_db: float | None = None
    lag_p50_ms: float | None = None
    lag_max_ms: float | None = None
    glitches: int = 0
    recording: str | None = None
    ended: str = ""
    room: RoomStatus | None = None


NOT_YET = SessionStatus()
"""Before the session has said anything."""


class StatusFold:
    """Feed it every entry in order; `now` is the latest state."""

    def __init__(self) -> None:
        self.now = SessionStatus()

    def feed(self, entry: Entry) -> None:
        """Take one entry in."""
        event = entry.event
        self.now = self._setup(event) or self._health(event) or self.now

    def _setup(self, event: ev.Event) -> SessionStatus | None:
        match event:
            case ev.SessionStarted():
                return replace(
                    self.now,
                    profile=event.profile,
                    agent=event.agent,
                    providers={stage: ProviderStatus(name) for stage, name in event.providers.items()},
                    recording=event.recording,
                )
            case ev.ProviderWarmed(stage=stage, provider=name, took_ms=took, error=error):
                return self._provider(stage, ProviderStatus(name, took, error or ""))
            case ev.Swapped(what="agent", name=name):
                return replace(self.now, agent=name)
            case ev.Swapped(what=stage, name=name):
                return self._provider(stage, ProviderStatus(name))
            case ev.BreakerChanged(stage=stage, provider=name, state=state):
                trouble = "" if state == "closed" else f"breaker {state.replace('_', ' ')}"
                return self._provider(stage, replace(self._known(stage, name), trouble=trouble))
            case ev.Span(provider=name) if name:
                return self._worked(name)
            case ev.DeviceOpened(track=track, name=name):
                return replace(self.now, devices={**self.now.devices, track: name})
            case ev.DeviceLost(track=track):
                return replace(self.now, devices={**self.now.devices, track: LOST})
            case ev.RoomConnection(room=room, state=state, attempt=attempt, reason=reason):
                return replace(self.now, room=RoomStatus(room, state, attempt, reason))
            case _:
                return None

    def _health(self, event: ev.Event) -> SessionStatus | None:
        match event:
            case ev.DuplexChanged(mode=mode, reason=reason):
                return replace(self.now, duplex=mode, duplex_reason=reason)
            case ev.EchoState(erle_db=erle, active=active):
                return replace(self.now, echo_db=erle if active else None)
            case ev.HostLag(p50_ms=p50, max_ms=most):
                return replace(self.now, lag_p50_ms=p50, lag_max_ms=most)
            case ev.Glitch():
                return replace(self.now, glitches=self.now.glitches + 1)
            case ev.ListeningStarted():
                return replace(self.now, listening=True)
            case ev.Muted(muted=muted):
                return replace(self.now, muted=muted)
            case ev.SessionEnded(reason=reason):
                return replace(self.now, ended=reason)
            case _:
                return None

    def _provider(self, stage: str, provider: ProviderStatus) -> SessionStatus:
        return replace(self.now, providers={**self.now.providers, stage: provider})

    def _worked(self, name: str) -> SessionStatus | None:
        """A provider did its work: what was the trouble is over."""
        for stage, provider in self.now.providers.items():
            if provider.name == name and provider.trouble:
                return self._provider(stage, replace(provider, trouble=""))
        return None

    def _known(self, stage: str, name: str) -> ProviderStatus:
        return self.now.providers.get(stage) or ProviderStatus(name)


def activity(status: SessionStatus, live: LiveState) -> Activity:
    """The one word for what is going on."""
    if status.ended:
        return "ended"
    if not status.listening:
        return "starting"
    if live.user != "silent":
        return "hearing"
    if live.agent in ("speaking", "paused"):
        return "speaking"
    if live.agent == "thinking":
        return "thinking"
    return "muted" if status.muted else "listening"
