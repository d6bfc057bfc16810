"""Settings for servers that people run: `workbench config init --for NAME`, from the files in `servers/`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from workbench.config.request import VARIABLE
from workbench.config.validation import nearest
from workbench.model.errors import UsageError

FOLDER = Path(__file__).parent / "servers"
STAGES = {"stt": "speech to text", "llm": "the language model", "tts": "the voice"}
HEAD = "# Settings of workbench. `workbench config show --origin` shows all, `workbench doctor` what is missing.\n"
BLANK = re.compile(r"\bYOUR-[A-Z]+")
"""What a user has to fill in."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What is written for a server: a comment on it, and the table of each stage that it has."""

    name: str
    comment: str
    tables: dict[str, str]

    @property
    def variables(self) -> list[str]:
        """The variables of the environment that its keys come from."""
        return sorted(set(VARIABLE.findall("".join(self.tables.values()))))


def names() -> list[str]:
    """Return the names of all presets."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def read_preset(name: str) -> Preset:
    """Return a preset. UsageError, with the nearest name, where there is none."""
    if name not in names():
        hint = nearest(name, names()) or f"there are: {', '.join(names())}"
        raise UsageError(f"--for {name!r:.60}: no such server", hint)
    comment, *tables = re.split(r"^(?=\[)", (FOLDER / f"{name}.toml").read_text("utf-8"), flags=re.MULTILINE)
    return Preset(name, comment, {table[1:4]: table.strip() + "\n" for table in tables})


def combine(chosen: Iterable[str]) -> tuple[str, list[Preset]]:
    """Return the text of a settings file for these servers, and the presets: of two with the same stage the first one
    gets it. UsageError for one that gets none.
    """
    presets = [read_preset(name) for name in dict.fromkeys(chosen)]
    if not presets:
        raise UsageError("--for names no server", f"there are: {', '.join(names())}")
    owners: dict[str, str] = {}
    sections = [HEAD]
    for preset in presets:
        own = {stage: table for stage, table in preset.tables.items() if stage not in owners}
        if not own:
            others = ", ".join(sorted({owners[stage] for stage in preset.tables}))
            raise UsageError(
                f"--for {preset.name} sets nothing that {others} does not", "name it first, or leave it out"
            )
        owners |= dict.fromkeys(own, preset.name)
        sections += [preset.comment + "\n".join(own.values())]
    on_board = [words for stage, words in STAGES.items() if stage not in owners]
    if on_board:
        sections.append(f"# On this machine, with the models on board: {', '.join(on_board)}.\n")
    return "\n".join(sections), presets


def next_steps(presets: Sequence[Preset]) -> str:
    """Return what to do after a settings file was written."""
    variables = dict.fromkeys(variable for preset in presets for variable in preset.variables)
    blanks = dict.fromkeys(
        BLANK.findall("".join(table for preset in presets for table in preset.tables.values()))
    )
    steps = [f"fill in {blank}" for blank in blanks] + [f"export {variable}=…" for variable in variables]
    return "; then: " + ", ".join([*steps, "workbench doctor", "workbench up"])


class ServerNames(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """Names of presets, with commas between several."""

    name = "server"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names."""
        if isinstance(value, tuple):
            return value
        return tuple(name.strip().lower() for name in str(value).split(",") if name.strip())

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the last of them."""
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(f"{before}{comma}{name}") for name in names() if name.startswith(last)]
