"""How the parts of a session are, for status lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.model.events import (
    BreakerChanged,
    DeviceLost,
    DeviceOpened,
    DuplexChanged,
    EchoState,
    Entry,
    Glitch,
    HostLag,
    Muted,
    Notice,
    ProviderRetried,
    ProviderWarmed,
    ReaderFailed,
    Stage,
    TrackName,
)

NOTICES = 50
"""Of the last notices so many are kept."""


@dataclass(slots=True)
class ProviderHealth:
    """`warm_ms`: how long warming up took, None before; `error`: why that failed; `breaker` as in `BreakerChanged`."""

    provider: str = ""
    warm_ms: float | None = None
    error: str | None = None
    breaker: Literal["open", "half_open", "closed"] = "closed"
    retries: int = 0

    @property
    def well(self) -> bool:
        """Nothing is known to be wrong."""
        return self.error is None and self.breaker == "closed"


@dataclass(slots=True)
class DeviceHealth:
    """`lost`: why the device went away, None while it is there."""

    name: str = ""
    rate: int = 0
    latency_ms: float | None = None
    glitches: int = 0
    lost: str | None = None


class Health:
    """A reader: plain fields that say how things are now."""

    def __init__(self) -> None:
        self.providers: dict[Stage, ProviderHealth] = {}
        self.devices: dict[TrackName, DeviceHealth] = {}
        self.duplex: DuplexChanged | None = None
        self.echo: EchoState | None = None
        self.host: HostLag | None = None
        self.muted = False
        self.failed_readers: dict[str, str] = {}
        """Reason by name."""
        self.notices: list[Notice] = []
        """The last of them, oldest first."""

    def __call__(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry.event:
            case DuplexChanged() as duplex:
                self.duplex = duplex
            case EchoState() as echo:
                self.echo = echo
            case HostLag() as lag:
                self.host = lag
            case Muted(muted=muted):
                self.muted = muted
            case ReaderFailed(reader=reader, reason=reason):
                self.failed_readers[reader] = reason
            case Notice() as notice:
                self.notices = [*self.notices, notice][-NOTICES:]
            case ProviderWarmed() | ProviderRetried() | BreakerChanged() as event:
                self._provider(event)
            case DeviceOpened() | DeviceLost() | Glitch() as event:
                self._device(event)
            case _:
                pass

    def _provider(self, event: ProviderWarmed | ProviderRetried | BreakerChanged) -> None:
        health = self.providers.setdefault(event.stage, ProviderHealth())
        if health.provider != event.provider:  # it was swapped
            health = self.providers[event.stage] = ProviderHealth(event.provider)
        match event:
            case ProviderWarmed(took_ms=took_ms, error=error):
                health.warm_ms, health.error = (took_ms if error is None else None), error
            case ProviderRetried():
                health.retries += 1
            case BreakerChanged(state=state):
                health.breaker = state

    def _device(self, event: DeviceOpened | DeviceLost | Glitch) -> None:
        health = self.devices.setdefault(event.track, DeviceHealth())
        match event:
            case DeviceOpened(name=name, rate=rate, latency_ms=latency_ms):
                self.devices[event.track] = DeviceHealth(name, rate, latency_ms, health.glitches)
            case DeviceLost(reason=reason):
                health.lost = reason
            case Glitch():
                health.glitches += 1
