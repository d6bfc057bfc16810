"""`workbench doctor`: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click

from workbench.cli.options import json_option, load_plugins, plugin_option
from workbench.cli.output import mark, print_json, short
from workbench.cli.suggestions import suggestions
from workbench.config import Settings, load_settings
from workbench.config.settings import NONE
from workbench.model.errors import MissingError, UsageError
from workbench.model.text import plain
from workbench.plugin.loading import OURS
from workbench.plugin.manager import find_provider, manager, providers
from workbench.plugin.values import Check, ProviderStage
from workbench.session.chain import check_chain

MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "missing": ("✗", "red")}
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
@click.option("--config", type=click.Path(path_type=Path), help="Another file than workbench.toml.")
@plugin_option
def doctor(as_json: bool, profile: str | None, config: Path | None, plugins: tuple[Path, ...]) -> None:
    """Check devices, rates, echo path, system packages, models, keys and terminal, and say what to do about each.

    Exit code 3 if something is missing that the profile needs, else 0.
    """
    settings = load_settings({"profile": profile}, config_path=config)
    load_plugins(settings, plugins)
    checks = [*examine(settings)]
    ready = all(check.state != "missing" for check in checks)
    if as_json:
        findings = [
            {"what": check.what, "state": check.state, "found": check.found, "advice": check.advice}
            for check in checks
        ]
        print_json({"profile": settings.profile, "ok": ready, "findings": findings})
    else:
        click.echo(f"profile {settings.profile}\n")
        for check in checks:
            _print(check)
        click.echo("\nready: talk with `workbench tui`" if ready else "\nsomething is missing: see ✗ above")
    raise SystemExit(0 if ready else MissingError.exit_code)


def examine(settings: Settings) -> Iterator[Check]:
    """Return the checks of all plugins, ours first, and those of recordings, terminal and suggestions.

    They come in the order in which a conversation needs them; a check for a stage follows the stage.
    """
    manager().ask_all()
    ours, external = list[Check](), list[Check]()
    for plugin, check in manager().checks(settings):
        if plugin.origin.package == OURS:
            ours.append(check)
        else:
            external.append(replace(check, what=f"{plugin.name}: {check.what}"))
    yield from (check for check in ours if check.stage is None)
    for stage in get_args(ProviderStage):
        needs = [check for check in [*ours, *external] if check.stage == stage]
        yield _provider(settings, stage, needs)
        yield from needs
    for problem in manager().problems():
        yield Check("plugin", "note", str(problem), problem.hint)
    yield from (check for check in external if check.stage is None)
    yield _recordings(settings)
    yield _terminal()
    for suggestion in suggestions(settings):
        yield Check("offer", "note", suggestion)


def _print(check: Check) -> None:
    click.echo(f"{mark(*MARKS[check.state])} {short(check.what, 40):<12} {plain(check.found, one_line=True)}")
    if check.advice:
        click.echo(f"  {'':<12} → {plain(check.advice, one_line=True)}")


def _provider(settings: Settings, stage: ProviderStage, needs: list[Check]) -> Check:
    """Check the providers that a stage chose: are they installed, and do they have what they need?"""
    try:
        chain = check_chain(stage, settings.chain(stage), settings)
    except UsageError as error:
        return Check(stage, "missing", error.reason, error.hint)
    if chain == (NONE,):
        return Check(stage, "note", "none: this stage is left out")
    found = [(item, *find_provider(stage, settings.choice(item))) for item in chain]
    names = {provider.name for _, provider, _ in found}
    alternatives = ", ".join(sorted(name for name in providers(stage) if name not in names))
    also = f" (also installed: {alternatives})" if alternatives else ""
    missing = any(check.state == "missing" for check in needs)
    texts = [
        f"{'' if settings.choice(item) == item else f'{item}, '}{provider.name}/{model}: {provider.summary}"
        for item, provider, model in found
    ]
    return Check(stage, "missing" if missing else "ok", f"{'; then '.join(texts)}{also}")


def _recordings(settings: Settings) -> Check:
    from workbench.trace.store import default_root

    folder = settings.record.dir or default_root()
    parent = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        advice = "set [record] dir to a folder of yours"
        return Check("recordings", "note", f"{folder} cannot be written", advice)
    free = shutil.disk_usage(parent).free / 1e9
    advice = "an hour takes 0.4 GB" if free < 1 else ""
    return Check("recordings", "note" if advice else "ok", f"{folder}, {free:.1f} GB free", advice)


def _terminal() -> Check:
    """Check whether there is a screen that the TUI can draw on, and what it can show."""
    if not sys.stdout.isatty():
        advice = "`workbench tui` needs one; `workbench run` does not"
        return Check("terminal", "note", "standard output is no terminal", advice)
    columns, rows = shutil.get_terminal_size()
    encoding = (sys.stdout.encoding or "").lower()
    colours = "no colours" if os.environ.get("NO_COLOR") else _colours()
    advices = []
    if columns < SMALLEST[0] or rows < SMALLEST[1]:
        advices.append(f"make it at least {SMALLEST[0]}×{SMALLEST[1]} to see everything")
    if "utf" not in encoding:
        advices.append("set LANG=C.UTF-8, or meters are drawn with wrong characters")
    term = os.environ.get("TERM", "unknown")
    text = f"{term}, {columns}×{rows}, {colours}, {encoding or 'unknown encoding'}"
    return Check("terminal", "note" if advices else "ok", text, "; ".join(advices))


def _colours() -> str:
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return "16 million colours"
    return "256 colours" if "256" in os.environ.get("TERM", "") else "16 colours"
