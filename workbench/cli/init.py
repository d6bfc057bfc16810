"""`workbench init`: an agent file to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from workbench.cli.output import write_new

TEMPLATE = '''\
"""My agent. Talk to it:  workbench tui {file}"""

import random

from workbench import Agent, tool


# What the agent can do beside talking: the model calls it, if it is one that can (the small one on board cannot).
# Try it without talking:  workbench tools call {file} roll_die --args '{{"sides": 20}}'
@tool
def roll_die(sides: int = 6) -> int:
    """Roll a die.

    Args:
        sides: How many sides it has.
    """
    return random.randint(1, sides)


agent = Agent(
    # The system prompt. Short answers are heard sooner, and interrupted less.
    instructions=(
        "You are a friendly voice assistant. Answer in one or two short sentences, "
        "in plain spoken English, without lists or markdown."
    ),
    # What the agent says first. Leave it out, and the user begins.
    greeting="Hello! What would you like to know?",
    # What it says when the user has been silent for a while ([reply] silence_after_s in workbench.toml).
    # on_silence="Are you still there?",
    tools=[roll_die],
    # The language that is spoken.
    # language="en",
    # Where it listens, thinks and speaks: name/model. These run on this machine and need no key (`workbench doctor`
    # lists what is installed); a profile chooses all three (`--profile scripted` needs no model at all).
    # stt="whisper/tiny.en",
    # llm="llama/smollm2-135m",        # or "openai/gpt-4o-mini", with OPENAI_API_KEY
    # tts="piper/en_US-joe-medium",
    # How written text is made speakable, if the usual way (markdown, numbers, addresses) does not suit.
    # speakable=lambda text: text.replace("API", "A P I"),
)
'''


@click.command(
    epilog="""\b
Example:
  workbench init my_agent.py
  workbench tui my_agent.py"""
)
@click.argument("file", default="agent.py", type=click.Path(path_type=Path, dir_okay=False), metavar="[FILE]")
def init(file: Path) -> None:
    """Write a commented agent file to begin with (agent.py by default). An existing file is never overwritten."""
    write_new(file, TEMPLATE.format(file=file.name))
    click.echo(f"wrote {file}; talk to it: workbench tui {file}", err=True)
