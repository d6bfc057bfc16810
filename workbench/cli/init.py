"""`workbench init`: an agent file to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from workbench.cli.output import template, write_new


@click.command(
    epilog="""\b
Example:
  workbench init my_agent.py
  workbench tui my_agent.py"""
)
@click.argument("file", default="agent.py", type=click.Path(path_type=Path, dir_okay=False), metavar="[FILE]")
def init(file: Path) -> None:
    """Write a commented agent file to begin with (agent.py by default). An existing file is never overwritten."""
    write_new(file, template("agent.py", file=file.name))
    click.echo(f"wrote {file}; talk to it: workbench tui {file}", err=True)
