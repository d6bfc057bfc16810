"""`workbench doctor`: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import click

from workbench.cli.options import json_option, load_plugins, plugin_option
from workbench.cli.suggestions import suggestions
from workbench.config import Settings, load_settings
from workbench.model.errors import MissingError, UsageError, WorkbenchError
from workbench.model.text import plain
from workbench.plugin.hookspecs import Check, ProviderStage
from workbench.plugin.manager import find, manager, providers

State = Literal["ok", "note", "missing"]
MARKS: dict[State, tuple[str, str]] = {"ok": ("✓", "green"), "note": ("·", "yellow"), "missing": ("✗", "red")}
ON_BOARD = {
    "silero": (("onnxruntime",), "silero/v6"),
    "whisper": (("ctranslate2", "tokenizers"), "whisper/tiny.en"),
    "llama": (("xllamacpp",), "llama/smollm2-135m"),
    "piper": (("piper",), "piper/en_US-joe-medium"),
}
"""Modules of the extra [local], and weights, that providers on board need."""
STAGES: tuple[ProviderStage, ...] = ("vad", "turn", "stt", "llm", "tts")
SMALLEST = (80, 24)
"""Columns and rows that a screen should have."""


@click.command(
    epilog="""\b
Example:
  workbench doctor
  workbench doctor --profile scripted --json"""
)
@json_option("One JSON object.")
@click.option("--profile", help="What is needed for this profile.")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="Another file than workbench.toml."
)
@plugin_option
def doctor(as_json: bool, profile: str | None, config_path: Path | None, plugins: tuple[Path, ...]) -> None:
    """Check devices, rates, echo path, system packages, models, keys and terminal, and say what to do about each.

    Exit code 3 if something is missing that the profile needs, else 0.
    """
    settings = load_settings({"profile": profile}, config_path=config_path)
    load_plugins(settings, plugins)
    findings = [*examine(settings)]
    whole = all(finding.state != "missing" for finding in findings)
    if as_json:
        told = {"profile": settings.profile, "ok": whole, "findings": [asdict(one) for one in findings]}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        click.echo(f"profile {settings.profile}\n")
        for finding in findings:
            _show(finding)
        click.echo("\nready: talk with `workbench tui`" if whole else "\nsomething is missing: see ✗ above")
    raise SystemExit(0 if whole else MissingError.exit_code)


def examine(settings: Settings) -> Iterator[Check]:
    """Look at everything, in the order in which a conversation needs it."""
    yield from _devices(settings)
    yield from _echo(settings)
    for stage in STAGES:
        yield from _provider(settings, stage)
    yield from _plugins(settings)
    yield from _recordings(settings)
    yield from _terminal()
    for suggestion in suggestions(settings):
        yield Check("offer", "note", suggestion)


def _show(finding: Check) -> None:
    mark, colour = MARKS[finding.state]
    styled = click.style(mark, fg=None if os.environ.get("NO_COLOR") else colour)
    click.echo(f"{styled} {plain(finding.what, 40, one_line=True):<12} {plain(finding.found, one_line=True)}")
    if finding.advice:
        click.echo(f"  {'':<12} → {plain(finding.advice, one_line=True)}")


def _tried(what: str, look: Callable[[], str], otherwise: State = "missing") -> Check:
    """What `look` found, or why it could not."""
    try:
        return Check(what, "ok", look())
    except WorkbenchError as error:
        return Check(what, otherwise, error.reason, error.hint)


# --- sound -----------------------------------------------------------------------------------------------------------


def _devices(settings: Settings) -> Iterator[Check]:
    """Microphone and speaker: needed unless files take their place."""
    from workbench.transports.local.devices import (
        find_device,
        list_devices,
        usable_format,
    )  # numpy: 0.1 s; PortAudio: 0.3 s

    ends: tuple[tuple[Literal["input", "output"], str, str | int | None, bool], ...] = (
        ("input", "microphone", settings.audio.input, settings.audio.source == "mic"),
        ("output", "speaker", settings.audio.output, settings.audio.sink == "speaker"),
    )
    for kind, what, wanted, needed in ends:

        def look(kind: Literal["input", "output"] = kind, wanted: str | int | None = wanted) -> str:
            device = find_device(kind, wanted)
            rate, channels = usable_format(device)
            others = [other.name for other in list_devices(kind) if other.index != device.index]
            also = f" (also there: {', '.join(others)})" if others else ""
            return f"{device.index} {device.name}, {rate} Hz, channels: {channels}{also}"

        yield _tried(what, look, "missing" if needed else "note")


def _echo(settings: Settings) -> Iterator[Check]:
    """Whether our own voice can be taken out of the microphone."""
    if not settings.audio.echo_cancellation:
        yield Check(
            "echo",
            "note",
            "echo cancellation is switched off",
            "wear headphones, or set [audio] echo_cancellation",
        )
        return
    try:
        from livekit.rtc.apm import AudioProcessingModule  # 0.2 s

        AudioProcessingModule(echo_cancellation=True)
    except (ImportError, OSError, RuntimeError) as error:
        advice = "reinstall livekit; until then sessions are half duplex: they do not listen while they speak"
        yield Check("echo", "note", f"echo cancellation cannot start: {error}", advice)
    else:
        yield Check("echo", "ok", "echo cancellation can start")
        yield from _echo_path(settings)


def _echo_path(settings: Settings) -> Iterator[Check]:
    """Play four chirps and listen for them: how late our own voice comes back, and how loud."""
    audio = settings.audio
    if audio.source != "mic" or audio.sink != "speaker":
        return
    from workbench.transports.local.echo_path import measure_echo_path

    def look() -> str:
        path = asyncio.run(measure_echo_path(audio.input, audio.output))
        if path.delay_ms is None:
            return "the microphone does not hear the speaker"
        return (
            f"the speaker comes back after {path.delay_ms} ± {path.error_ms} ms at {path.level_db:.0f} dBFS"
        )

    yield _tried("echo path", look, "note")


# --- providers -------------------------------------------------------------------------------------------------------


def _provider(settings: Settings, stage: ProviderStage) -> Iterator[Check]:
    """The provider that a stage chose: is it installed, and does it have what it needs?"""
    choice = getattr(settings, stage).provider
    if choice == "none":
        yield Check(stage, "note", "none: this stage is left out")
        return
    try:
        found, model = find(stage, choice)
    except UsageError as error:
        yield Check(stage, "missing", error.reason, error.hint)
        return
    others = ", ".join(sorted(name for name in providers(stage) if name != found.name))
    also = f" (also installed: {others})" if others else ""
    lacks = [*_lacking(settings, stage, found.name)]
    yield Check(
        stage,
        "missing" if lacks else "ok",
        f"{found.name}/{model}: {found.summary}{also}",
    )
    yield from lacks


def _lacking(settings: Settings, stage: ProviderStage, name: str) -> Iterator[Check]:
    if name in ON_BOARD:
        modules, weights = ON_BOARD[name]
        yield from _modules(stage, modules)
        yield from _weights(settings, weights)
    if name == "llama" and not _loads("libgomp.so.1") and sys.platform == "linux":
        advice = "install it: `apt-get install libgomp1` (Debian, Ubuntu), `dnf install libgomp` (Fedora)"
        yield Check("libgomp", "missing", "OpenMP's library, which xllamacpp needs, is not installed", advice)
    if name == "openai" and not (getattr(settings, stage).api_key or getattr(settings, stage).base_url):
        advice = f"set OPENAI_API_KEY, or [{stage}] base_url and api_key for another server"
        yield Check("key", "missing", f"there is no key for {stage}", advice)


def _modules(stage: str, modules: Iterable[str]) -> Iterator[Check]:
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        advice = 'install the extra: pip install "voice-workbench[local]"'
        yield Check("package", "missing", f"{', '.join(absent)} for {stage} is not installed", advice)


def _weights(settings: Settings, name: str) -> Iterator[Check]:
    """Weights that are missing or broken; looked at by size and hash, 0.3 s for all."""
    from workbench.weights.manifest import find as find_model
    from workbench.weights.store import State as Weights
    from workbench.weights.store import open_store

    state = open_store(settings.models_path).state(find_model(name))
    if state is not Weights.PRESENT:
        yield Check(
            "weights", "missing", f"the weights of {name} are {state}", f"run `workbench models pull {name}`"
        )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


# --- plugins ---------------------------------------------------------------------------------------------------------


def _plugins(settings: Settings) -> Iterator[Check]:
    """What is wrong with plugins, and what they say of themselves."""
    manager().ask_all()
    for problem in manager().problems():
        yield Check("plugin", "note", str(problem), problem.hint)
    for plugin, check in manager().checks(settings):
        yield replace(check, what=f"{plugin.name}: {check.what}")


# --- the rest --------------------------------------------------------------------------------------------------------


def _recordings(settings: Settings) -> Iterator[Check]:
    from workbench.trace.store import default_root

    folder = settings.record.dir or default_root()
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        yield Check(
            "recordings", "note", f"{folder} cannot be written", "set [record] dir to a folder of yours"
        )
        return
    free = shutil.disk_usage(there).free / 1e9
    advice = "an hour takes 0.4 GB" if free < 1 else ""
    yield Check("recordings", "note" if advice else "ok", f"{folder}, {free:.1f} GB free", advice)


def _terminal() -> Iterator[Check]:
    """Is there a screen that the TUI can draw on, and what can it show?"""
    if not sys.stdout.isatty():
        yield Check(
            "terminal",
            "note",
            "standard output is no terminal",
            "`workbench tui` needs one; `workbench run` does not",
        )
        return
    columns, rows = shutil.get_terminal_size()
    encoding = (sys.stdout.encoding or "").lower()
    colours = "no colours" if os.environ.get("NO_COLOR") else _colours()
    advice = []
    if columns < SMALLEST[0] or rows < SMALLEST[1]:
        advice.append(f"make it at least {SMALLEST[0]}×{SMALLEST[1]} to see everything")
    if "utf" not in encoding:
        advice.append("set LANG=C.UTF-8, or meters are drawn with wrong characters")
    found = (
        f"{os.environ.get('TERM', 'unknown')}, {columns}×{rows}, {colours}, {encoding or 'unknown encoding'}"
    )
    yield Check("terminal", "note" if advice else "ok", found, "; ".join(advice))


def _colours() -> str:
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return "16 million colours"
    return "256 colours" if "256" in os.environ.get("TERM", "") else "16 colours"
