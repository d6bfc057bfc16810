"""Which sound devices there are, and how to open one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, cast

from workbench.model.errors import MissingError, UsageError
from workbench.model.text import plain
from workbench.transports.local.stderr import silence_alsa

DeviceKind = Literal["input", "output"]

LATENCY_S = 0.02
"""The device's buffer that is asked for, s: three blocks of 10 ms on ALSA, enough beside a busy Python thread."""
USUAL_RATES = (48_000, 44_100, 16_000, 24_000, 96_000, 32_000, 22_050, 8_000)
"""Hz, in the order in which they are tried after the device's own."""
CRASHING = ("JACK Audio Connection Kit",)
"""Where PortAudio 19.6 crashes at blocking reads and writes; JACK is reached by ALSA's plugin (the device `jack`)."""
WHAT: dict[DeviceKind, str] = {"input": "microphone", "output": "speaker"}
INSTEAD: dict[DeviceKind, str] = {
    "input": "use `--source FILE.wav`",
    "output": "use `--sink FILE.wav` or `--sink none`",
}


@dataclass(frozen=True, slots=True)
class Device:
    """A device as PortAudio sees it; `channels` and `rate` (Hz) of its input or output side."""

    index: int
    name: str
    kind: DeviceKind
    channels: int
    rate: int
    default: bool
    api: str


@functools.cache
def portaudio() -> ModuleType:
    """The module `sounddevice`. MissingError if the PortAudio library is not installed."""
    try:
        import sounddevice  # 60 ms, and PortAudio looks for devices: 30–300 ms
    except OSError as error:
        raise MissingError(
            "PortAudio, the library that reaches sound devices, is not installed",
            "install it: `apt-get install libportaudio2` (Debian, Ubuntu), `dnf install portaudio` (Fedora), "
            "`brew install portaudio` (macOS); a wav file needs none of it: `--source FILE.wav --sink none`",
        ) from error
    silence_alsa()
    return cast(ModuleType, sounddevice)


def list_devices(kind: DeviceKind) -> list[Device]:
    """The devices that have such a side. MissingError without PortAudio."""
    sound = portaudio()
    apis = [api["name"] for api in sound.query_hostapis()]
    chosen = sound.default.device[0 if kind == "input" else 1]
    try:
        default = sound.query_devices(chosen if chosen != -1 else None, kind)["index"]
    except (sound.PortAudioError, ValueError):
        default = -1
    return [
        Device(
            entry["index"],
            plain(entry["name"], limit=100, one_line=True),
            kind,
            entry[f"max_{kind}_channels"],
            round(entry["default_samplerate"]),
            entry["index"] == default,
            apis[entry["hostapi"]],
        )
        for entry in sound.query_devices()
        if entry[f"max_{kind}_channels"] > 0 and apis[entry["hostapi"]] not in CRASHING
    ]


def find_device(kind: DeviceKind, choice: str | int | None = None) -> Device:
    """The device by its index, its name, a part of its name, or the default one.

    MissingError if there is none such, listing those that are there; UsageError if a part of a name fits several.
    """
    devices = list_devices(kind)
    if not devices:
        raise MissingError(
            f"there is no {WHAT[kind]}",
            f"plug one in, or start the sound server, and see `workbench doctor`; or {INSTEAD[kind]}",
        )
    if choice is None or choice == "":
        fitting = [device for device in devices if device.default] or devices[:1]
    elif isinstance(choice, int) or choice.isdecimal():
        fitting = [device for device in devices if device.index == int(choice)]
    else:
        name = choice.casefold()
        fitting = [device for device in devices if device.name.casefold() == name]
        fitting = fitting or [device for device in devices if name in device.name.casefold()]
    if not fitting:
        text = plain(str(choice), limit=100, one_line=True)
        raise MissingError(
            f"there is no {WHAT[kind]} {text!r}", f"there are: {describe(devices)}; or {INSTEAD[kind]}"
        )
    if len(fitting) > 1:
        text = plain(str(choice), limit=100, one_line=True)
        raise UsageError(
            f"{text!r} fits several {WHAT[kind]}s", f"give the number of one of: {describe(fitting)}"
        )
    return fitting[0]


def describe(devices: list[Device]) -> str:
    """Devices in one line, each with the number that chooses it."""
    return ", ".join(f"{device.index} {device.name}{' (default)' * device.default}" for device in devices)


def usable_format(device: Device) -> tuple[int, int]:
    """A rate (Hz) and a number of channels that the device can be opened with.

    The device's own rate is tried first; ALSA does not tell it and 48 kHz is most likely. MissingError if none will do.
    """
    sound = portaudio()
    check = sound.check_input_settings if device.kind == "input" else sound.check_output_settings
    own = () if device.api == "ALSA" else (device.rate,)
    reason = ""
    for channels in dict.fromkeys((1, min(2, device.channels), device.channels)):
        for rate in dict.fromkeys((*own, *USUAL_RATES, device.rate)):
            try:
                check(device=device.index, channels=channels, dtype="int16", samplerate=rate)
            except (sound.PortAudioError, ValueError) as error:
                reason = reason or plain(str(error), limit=200, one_line=True)
            else:
                return rate, channels
    raise MissingError(
        f"the {WHAT[device.kind]} {device.name} can't be opened at any rate: {reason}",
        f"choose another one, see `workbench doctor`; or {INSTEAD[device.kind]}",
    )
