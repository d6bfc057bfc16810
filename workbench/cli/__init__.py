"""The command line: one module a command, imported when it is called."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from workbench.model.errors import UsageError

COMMANDS = {
    "up": "What `make run` does: the shortest way to talk to an agent here.",
    "run": "Talk to an agent without a screen, or from a wav file.",
    "tui": "Talk to an agent and see where the time goes.",
    "init": "Write an agent file to begin with.",
    "room": "LiveKit rooms: try an agent in one, look into them, sign tokens.",
    "sessions": "List, search and show recordings.",
    "models": "Model weights on board: list, pull, verify, remove.",
    "serve": "The models on board as an API for other programs.",
    "config": "Show settings and where they come from; check or write workbench.toml.",
    "doctor": "What works on this machine, and what to do about the rest.",
    "completion": "Print the script that completes commands in your shell.",
}
"""In the order of `--help`. The sentences stand here so that `--help` imports none of them."""


class Commands(click.Group):
    """A group whose commands are modules of this package; each has a click command of its own name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"workbench.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches  # 2 ms

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(COMMANDS)}."
            ctx.fail(f"No command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Example:
  workbench init                 # writes agent.py
  workbench tui agent.py         # talk to it, see where the time goes""",
)
@click.version_option(package_name="voice-workbench", message="workbench %(version)s")
def main() -> None:
    """The development workbench for voice agents.

    Talk to your agent, see why every turn took as long as it did, change it, and hear the same moment again.
    """


def write_new(file: Path, text: str, *, force: bool = False) -> None:
    """Write a file that is not there yet. Raises UsageError if it is, or if it can't be written."""
    try:
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise UsageError(f"{file} is there already", "nothing was written: give another name") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", "give another place") from None
