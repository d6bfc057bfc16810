"""What the session runs on and what it is doing: providers, devices, duplex, host lag, recording, activity."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from workbench.model import events as ev
from workbench.model.events import Entry
from workbench.readers.timeline import LiveState

Activity = Literal["starting", "listening", "hearing", "thinking", "speaking", "muted", "ended", "recording"]


LOST = "lost"
"""In place of the name of a device that went away."""


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """A stage's provider: `warm_ms` is None until it answered, `trouble` says why it is not asked or not warm,
    `loading` for how long it has loaded its model. Of several it is the first; `fallbacks` are the others, and
    `answers` is the one of them that answered in its place."""

    name: str
    warm_ms: float | None = None
    trouble: str = ""
    loading: str = ""
    fallbacks: tuple[str, ...] = ()
    answers: str = ""

    @classmethod
    def of(cls, chain: str) -> ProviderStatus:
        """Return the status of a chain, as events name it: `openai/gpt-5-mini, local`."""
        name, *fallbacks = chain.split(", ")
        return cls(name, fallbacks=tuple(fallbacks))


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
    echo_db: float | None = None
    lag_max_ms: float | None = None
    glitches: int = 0
    recording: str | None = None
    ended: str = ""
    room: RoomStatus | None = None
    lost: tuple[str, ...] = ()
    """Stages in which nobody is left, `stt` or `tts`: the conversation goes on by text."""
    spent: dict[str, float | None] = field(default_factory=dict)
    """What the session has used and cost so far."""

    @property
    def by_text(self) -> str:
        """What goes by text, in words; empty while both sides have a voice."""
        return LOST_VOICE.get(self.lost, "")


NOT_YET = SessionStatus()
"""Before the session has said anything."""


LOST_VOICE: dict[tuple[str, ...], str] = {
    ("stt",): "what you say is not understood: type",
    ("tts",): "no voice: answers can be read",
    ("stt", "tts"): "by text alone: type, and read",
}


class StatusFold:
    """A fold: `now` is the latest state."""

    def __init__(self) -> None:
        self.now = SessionStatus()

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        event, now = entry.event, self.now
        match event:
            case ev.SessionStarted():
                providers = {stage: ProviderStatus.of(chain) for stage, chain in event.providers.items()}
                self._set(
                    profile=event.profile, agent=event.agent, providers=providers, recording=event.recording
                )
            case ev.Swapped(what="agent", name=name):
                self._set(agent=name)
            case ev.DeviceOpened(track=track, name=name):
                self._set(devices={**now.devices, track: name})
            case ev.DeviceLost(track=track):
                self._set(devices={**now.devices, track: LOST})
            case ev.RoomConnection(room=room, state=state, attempt=attempt, reason=reason):
                self._set(room=RoomStatus(room, state, attempt, reason))
            case ev.DuplexChanged(mode=mode):
                self._set(duplex=mode)
            case ev.EchoState(erle_db=erle, active=active):
                self._set(echo_db=erle if active else None)
            case ev.HostLag(max_ms=longest):
                self._set(lag_max_ms=longest)
            case ev.Glitch():
                self._set(glitches=now.glitches + 1)
            case ev.ListeningStarted():
                self._set(listening=True)
            case ev.Muted(muted=muted):
                self._set(muted=muted)
            case ev.Spent(usage=usage):
                self._set(spent=usage)
            case ev.SessionEnded(reason=reason):
                self._set(ended=reason)
            case _:
                self._feed_provider(event)

    def _feed_provider(self, event: ev.Event) -> None:
        providers = self.now.providers
        match event:
            case ev.Swapped(what=stage, name=chain):
                self._set_provider(stage, ProviderStatus.of(chain))
            case ev.FallbackStarted(stage=stage, fallback=name) if stage in providers:
                before = providers[stage]
                self._set_provider(stage, replace(before, answers=name if name in before.fallbacks else ""))
            case ev.VoiceChanged(stage=stage, state=state):
                lost = {*self.now.lost, stage} if state == "lost" else {*self.now.lost} - {stage}
                self._set(lost=tuple(sorted(lost)))
            case (
                ev.ProviderWarmed(stage=stage, provider=name) | ev.BreakerChanged(stage=stage, provider=name)
            ):
                before = providers.get(stage) or ProviderStatus(name)
                if name in before.fallbacks:
                    return
                if isinstance(event, ev.ProviderWarmed):
                    trouble = event.error or ""
                    now = replace(before, name=name, warm_ms=event.took_ms, trouble=trouble, loading="")
                else:
                    trouble = "" if event.state == "closed" else f"breaker {event.state.replace('_', ' ')}"
                    now = replace(before, trouble=trouble)
                self._set_provider(stage, now)
            case ev.ModelLoading(stage=stage, provider=name, waited_ms=waited_ms):
                before = providers.get(stage) or ProviderStatus(name)
                self._set_provider(
                    stage, replace(before, loading=f"loads its model, {waited_ms / 1000:.0f} s")
                )
            case ev.Span(provider=name) | ev.Transcribed(final=True, provider=name) if (
                name
            ):  # it did its work: what was the trouble is over
                for stage, provider in providers.items():
                    if provider.name == name and (provider.trouble or provider.loading or provider.answers):
                        self._set_provider(stage, replace(provider, trouble="", loading="", answers=""))
            case ev.TurnEnded(stage=stage) if stage in providers and providers[stage].loading:
                self._set_provider(stage, replace(providers[stage], loading=""))
            case _:
                pass

    def _set(self, **changes: Any) -> None:
        self.now = replace(self.now, **changes)

    def _set_provider(self, stage: str, provider: ProviderStatus) -> None:
        self._set(providers={**self.now.providers, stage: provider})


def activity(status: SessionStatus, live: LiveState) -> Activity:
    """Return the one word for what is going on."""
    if status.ended:
        return "ended"
    if not status.listening:
        return "starting"
    if live.user != "silent":
        return "hearing"
    if live.agent in ("speaking", "paused", "waiting"):
        return "speaking"
    if live.agent == "thinking":
        return "thinking"
    return "muted" if status.muted else "listening"
