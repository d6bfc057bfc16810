"""`workbench save-test`: a turn of a recording as a test that pytest runs."""

from __future__ import annotations

from pathlib import Path

import click

from workbench.cli.options import path_option
from workbench.cli.output import err, mark, out
from workbench.cli.sessions import find_session
from workbench.model.text import plain


@click.command(
    epilog="""\b
Examples:
  workbench save-test before --turn 2 --agent my_agent.py
  workbench save-test before --turn 2 -o tests/turns/refund
  pytest tests/turns"""
)
@click.argument("session", required=False)
@click.option("--turn", type=click.IntRange(min=1), metavar="N", required=True, help="The turn's number.")
@path_option("--agent", "Test this agent; without it the agent as it was recorded.", "FILE.py")
@click.option(
    "-o", "--out", "place", metavar="DIR", type=click.Path(path_type=Path),
    help="A new folder for the test.  [default: in tests/turns, called by the user's words]",
)  # fmt: skip
def save_test(session: str | None, turn: int, agent: Path | None, place: Path | None) -> None:
    """Save a turn of a recording as a test: its sound, what came before it, and what is expected.

    pytest runs the folder on what was recorded, without a key. Where the agent asks for something that was not recorded
    (its prompt has changed), the recorded providers are asked for real, and the test says why it fails. What is
    expected stands in workbench-test.toml, to be edited. It is tried at once.

    Exit codes: 0 fine, 1 saved but it does not pass, 2 bad input.
    """
    from workbench.replay import SAVED_TURN
    from workbench.replay.saved_turn import problems_of, save_turn

    saved = save_turn(find_session(session), turn, place, agent)
    out(str(saved))
    problems = problems_of(saved / SAVED_TURN)
    for problem in problems:
        err(plain(problem))
    if problems:
        err(f"{mark('✗', 'red')} it does not pass: edit {saved / SAVED_TURN}")
        raise SystemExit(1)
    err(f"{mark('✓', 'green')} it passes; what is expected stands in {saved / SAVED_TURN}")
    err(f"  → pytest {saved}")
