"""Whether there are a microphone and a speaker here, and whether the agent's own voice can be taken out of the one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from workbench.model.errors import WorkbenchError
from workbench.plugin.values import Check

if TYPE_CHECKING:
    from workbench.config import Settings


def device_checks(settings: Settings) -> Iterator[Check]:
    """Look at microphone, speaker and echo path; the devices are needed unless files take their place. Takes 5 s."""
    audio = settings.audio
    yield _check("microphone", lambda: _device("input", audio.input), needed=audio.source == "mic")
    yield _check("speaker", lambda: _device("output", audio.output), needed=audio.sink == "speaker")
    yield from _echo(settings)


def _check(name: str, look: Callable[[], str], *, needed: bool) -> Check:
    """Return what `look` says, or why it could not."""
    try:
        return Check(name, "ok", look())
    except WorkbenchError as error:
        return Check(name, "missing" if needed else "note", error.reason, error.hint)


def _device(kind: Literal["input", "output"], choice: str | int | None) -> str:
    from workbench.transports.local.devices import (
        find_device,
        list_devices,
        usable_format,
    )  # PortAudio: 0.3 s

    device = find_device(kind, choice)
    rate, channels = usable_format(device)
    others = [other.name for other in list_devices(kind) if other.index != device.index]
    also = f" (also there: {', '.join(others)})" if others else ""
    return f"{device.index} {device.name}, {rate} Hz, channels: {channels}{also}"


def _echo(settings: Settings) -> Iterator[Check]:
    audio = settings.audio
    if not audio.echo_cancellation:
        advice = "wear headphones, or set [audio] echo_cancellation"
        yield Check("echo", "note", "echo cancellation is switched off", advice)
        return
    try:
        from livekit.rtc.apm import AudioProcessingModule  # 0.2 s

        AudioProcessingModule(echo_cancellation=True)
    except (ImportError, OSError, RuntimeError) as error:
        advice = "reinstall livekit; until then sessions are half duplex: they do not listen while they speak"
        yield Check("echo", "note", f"echo cancellation cannot start: {error}", advice)
        return
    yield Check("echo", "ok", "echo cancellation can start")
    if audio.source == "mic" and audio.sink == "speaker":
        yield _check("echo path", lambda: _echo_path(settings), needed=False)


def _echo_path(settings: Settings) -> str:
    """Play four chirps and listen for them: how late our own voice comes back, and how loud."""
    from workbench.transports.local.echo_path import measure_echo_path

    path = asyncio.run(measure_echo_path(settings.audio.input, settings.audio.output))
    if path.delay_ms is None:
        return "the microphone does not hear the speaker"
    return f"the speaker comes back after {path.delay_ms} ± {path.error_ms} ms at {path.level_db:.0f} dBFS"
