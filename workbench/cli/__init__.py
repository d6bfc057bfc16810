"""The command line: one module a command, imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from workbench.model.errors import UsageError

COMMANDS = {
    "up": "What `make run` does: the shortest way to talk to an agent here.",
    "run": "Talk to an agent without a screen, or from a wav file.",
    "tui": "Talk to an agent and see where the time goes.",
    "init": "Write an agent file to begin with.",
    "tools": "Tools of an agent: list, show, call, test them; serve them by MCP.",
    "room": "LiveKit rooms: try an agent in one, look into them, sign tokens.",
    "sessions": "List, search and show recordings.",
    "replay": "See and hear a recording again: why did it say that, then?",
    "rerun": "Run a recorded session again, as it was or with something changed.",
    "report": "A recording as one HTML file: to be heard, looked at and sent.",
    "export": "A recording in the format of another program: traces, subtitles, labels, sound.",
    "prune": "Remove recordings that are too old, or too many.",
    "redact": "Remove words, turns or seconds from a recording.",
    "compare": "Compare recordings turn by turn, with gates for CI.",
    "save-test": "Save a turn of a recording as a test, which pytest runs.",
    "tune": "Score recordings over a grid of settings: when a turn ends.",
    "models": "Model weights on board: list, pull, verify, remove.",
    "serve": "The models on board as an API for other programs.",
    "config": "Show settings and where they come from; check or write workbench.toml.",
    "plugins": "Plugins: list, show, check, and begin one of your own.",
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
            from workbench.cli import plugin_commands

            return plugin_commands.find(cmd_name, frozenset(COMMANDS))
        module = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"workbench.cli.{module}"), module)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])
        _format_plugin_commands(formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        unknown = args and args[0] not in COMMANDS and not args[0].startswith("-")
        if unknown and self.get_command(ctx, args[0]) is None:
            from difflib import get_close_matches  # 2 ms

            from workbench.cli import plugin_commands

            ours = frozenset(COMMANDS)
            names = [*COMMANDS, *(plugin_commands.commands(ours) if plugin_commands.may_exist() else ())]
            near = get_close_matches(args[0], names, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}."
            ctx.fail(f"No command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)


def _format_plugin_commands(formatter: click.HelpFormatter) -> None:
    """List the commands of plugins, if there are plugins; whatever is wrong with them must not keep the help."""
    from workbench.cli import plugin_commands

    if not plugin_commands.may_exist():
        return
    try:
        commands = plugin_commands.commands(frozenset(COMMANDS))
    except UsageError as error:
        formatter.write_paragraph()
        formatter.write_text(f"Plugins: {error.reason}")
        return
    if commands:
        with formatter.section("Commands of plugins"):
            formatter.write_dl(
                [
                    (name, f"{command.get_short_help_str(80)} ({plugin.name})")
                    for name, (plugin, command) in commands.items()
                ]
            )


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
