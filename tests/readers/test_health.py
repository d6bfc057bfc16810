"""The state of the parts, as the events tell it."""

from __future__ import annotations

from workbench.model.events import (
    Bookmarked,
    BreakerChanged,
    DeviceLost,
    DeviceOpened,
    DuplexChanged,
    EchoState,
    Entry,
    Event,
    Glitch,
    HostLag,
    Muted,
    Notice,
    ProviderRetried,
    ProviderWarmed,
    ReaderFailed,
)
from workbench.readers.health import NOTICES, DeviceHealth, Health, ProviderHealth


def folded(*events: Event) -> Health:
    health = Health()
    for i, event in enumerate(events):
        health(Entry(i, 0.0, event))
    return health


def test_providers() -> None:
    health = folded(
        ProviderWarmed("llm", "llama", 500.0),
        ProviderRetried("llm", "llama", 1, 250.0, "429"),
        BreakerChanged("llm", "llama", "open", 15_000),
        ProviderWarmed("tts", "piper", 100.0, error="no weights"),
    )
    assert health.providers["llm"] == ProviderHealth("llama", 500.0, None, "open", 1)
    assert not any(provider.well for provider in health.providers.values())
    assert health.providers["tts"] == ProviderHealth("piper", None, "no weights")
    health(Entry(9, 0.0, BreakerChanged("llm", "llama", "closed")))
    assert health.providers["llm"].well
    health(Entry(9, 0.0, ProviderWarmed("llm", "openai/x", 1.0)))
    assert health.providers["llm"] == ProviderHealth("openai/x", 1.0)


def test_devices() -> None:
    health = folded(
        DeviceOpened("mic", "USB", 48_000, 10.0),
        Glitch("mic", 10, 5),
        Glitch("mic", 20, -5),
        DeviceLost("mic", "USB", "unplugged"),
    )
    assert health.devices["mic"] == DeviceHealth("USB", 48_000, 10.0, 2, "unplugged")
    health(Entry(9, 0.0, DeviceOpened("mic", "built in", 44_100)))
    assert health.devices["mic"] == DeviceHealth("built in", 44_100, None, 2)


def test_the_rest() -> None:
    duplex, echo, lag = DuplexChanged("half", "echo"), EchoState(3.0, 60.0, True), HostLag(1.0, 9.0)
    notices = [Notice("info", "x", f"{k}") for k in range(NOTICES + 5)]
    health = folded(duplex, echo, lag, Muted(True), ReaderFailed("r", "ouch"), Bookmarked("x"), *notices)
    assert (health.duplex, health.echo, health.host, health.muted) == (duplex, echo, lag, True)
    assert health.failed_readers == {"r": "ouch"}
    assert health.notices == notices[5:]
