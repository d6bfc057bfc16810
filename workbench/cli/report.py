"""`workbench report`: a recording as one HTML file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from workbench.cli.output import err, new_file, short
from workbench.cli.sessions import find_session
from workbench.trace.store import SessionFolder, open_trace


@click.command(
    epilog="""\b
Example:
  workbench report -o report.html
  workbench report 2f6c01aa -o talk.html"""
)
@click.argument("session", required=False)
@click.option(
    "-o", "--out", metavar="FILE", type=click.Path(path_type=Path), default="report.html", show_default=True,
    help="A new file; - is standard output.",
)  # fmt: skip
def report(session: str | None, out: Path) -> None:
    """Write a session as one HTML file that needs no network: sound, waveform, waterfalls, words, cost, settings.

    It holds what was said and how it sounded: send it to those who may hear that. SESSION is an id, a folder, or the
    beginning of a folder's name in `workbench sessions`; without it, the newest.
    """
    from workbench.replay.report.page import report_html

    folder = find_session(session)
    trace, about = open_trace(folder), SessionFolder.open(folder).about
    if out == Path("-"):
        click.echo(report_html(trace, about), nl=False)
        return
    with new_file(out) as stream:
        with _progress() as progress:
            html = report_html(trace, about, progress)
        stream.write(html.encode("utf-8", "replace"))
    err(f"wrote {short(str(out), 200)} ({len(html) / 1e6:.1f} MB)")


@contextmanager
def _progress() -> Iterator[Callable[[float], object]]:
    """Show how much of the sound is done, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("sound", total=1.0)
        yield lambda share: bars.update(task, completed=share)
