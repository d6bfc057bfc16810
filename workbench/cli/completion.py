"""`workbench completion`: the script that completes commands in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from workbench.cli import main

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Example:
  workbench completion bash >> ~/.bashrc
  workbench completion zsh >> ~/.zshrc
  workbench completion fish > ~/.config/fish/completions/workbench.fish"""
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands in your shell."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "workbench", "_WORKBENCH_COMPLETE").source())
