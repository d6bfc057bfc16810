"""What commands print: answers on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from string import Template
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import click

from workbench.model.errors import UsageError
from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.readers.latency import LatencySummary
    from workbench.readers.timeline import Turn

WIDTH = 100
"""Most columns of what is printed for people."""


def out(line: str, to: TextIO | None = None) -> None:
    """Print a line on standard output or another stream, at once."""
    click.echo(line, file=to)
    if to is not None:
        to.flush()


def err(line: str) -> None:
    """Print a line on standard error."""
    click.echo(line, err=True)


def print_json(value: Any) -> None:
    """Print JSON for people and programs, over several lines."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def short(text: str, limit: int = 80) -> str:
    """Return text from outside as one line that harms no terminal."""
    return plain(text, limit, one_line=True)


def mark(sign: str, colour: str) -> str:
    """Return a sign in a colour, unless NO_COLOR is set."""
    return click.style(sign, fg=None if os.environ.get("NO_COLOR") else colour)


def template(path: str, **words: str) -> str:
    """Return a file of `templates/` with `$word` filled in."""
    text = (Path(__file__).parent / "templates" / f"{path}.tmpl").read_text("utf-8")
    return Template(text).substitute(words)


ANOTHER_NAME = "nothing was written: give another name"


def write_new(file: Path, text: str, *, force: bool = False, hint: str = ANOTHER_NAME) -> None:
    """Write a file that is not there yet, whole or not at all. Raises UsageError if it is, or can't be written."""
    with new_file(file, force=force, hint=hint) as stream:
        stream.write(text.encode("utf-8"))


@contextmanager
def new_file(file: Path, *, force: bool = False, hint: str = ANOTHER_NAME) -> Iterator[BinaryIO]:
    """Give a stream; what was written to it is the new file once the block has ended well, and gone where it has not.

    Raises UsageError where the file is there already (unless `force`), or can't be written.
    """
    if not force:
        _refuse(file, hint)
    with _part_of(file.resolve() if force else file) as part:
        with part.open("xb") as stream:
            yield stream
        if force:
            part.replace(file.resolve())
            return
        try:
            os.link(part, file)  # unlike a rename, it replaces nothing that somebody has made meanwhile
        except FileExistsError:
            _refuse(file, hint)
        except OSError:  # a file system without links
            part.rename(file)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which has its name once the block has ended well, and is gone where it has not.

    Raises UsageError where it is there already and not empty, or can't be written.
    """
    folder = folder.resolve()
    if not (folder.is_dir() and not any(folder.iterdir())):  # a new or empty one, as for a recording
        _refuse(folder, ANOTHER_NAME)
    with _part_of(folder) as part:
        part.mkdir()
        yield part
        part.rename(folder)


def _refuse(path: Path, hint: str) -> None:
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} is there already", hint)


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """Give a place beside `path` to write into; it is removed in the end. Raises UsageError for errors of the disk."""
    part = path.with_name(f".workbench-{token_hex(4)}.part")
    try:
        yield part
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}", "give another place"
        ) from None
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def turn_text(turn: Turn, width: int) -> str:
    """Return a turn as text of at most `width` columns: what was said, what failed, and its waterfall."""
    from workbench.views.format import money, title
    from workbench.views.waterfall import waterfall_text

    lines = [title(turn)]
    lines.append(f"  user   {plain(turn.user_text, one_line=True)}")
    lines.append(f"  agent  {plain(turn.agent_text, one_line=True)}")
    if turn.usage.get("cost", 0) != 0:
        lines.append(f"  cost   {money(turn.usage)}")
    if (error := turn.error) is not None:
        lines.append(f"  {error.stage} failed: {plain(f'{error.reason} – {error.hint}', one_line=True)}")
    return "\n".join([*lines, *(f"  {line}" for line in waterfall_text(turn, width - 2).splitlines()), ""])


def summary_json(latency: LatencySummary, spent: Mapping[str, float | None]) -> dict[str, Any]:
    """Return the last line of `--json`: counts and percentiles, and what the session cost."""
    cost = {name: spent.get(name) for name in ("cost", "cost_at_least")}
    return {"summary": latency.to_json()["summary"] | cost}


def summary_text(latency: LatencySummary, spent: Mapping[str, float | None]) -> str:
    """Return how many turns there were, how they ended, percentiles of heard latency, and what it cost."""
    from workbench.views.format import count, money, percentiles

    summary = latency.to_json()["summary"]
    counts = f"{summary['done']} done, {summary['cut']} cut, {summary['failed']} failed"
    figures = percentiles(latency)
    cost = f"; cost {money(spent)}" if spent else ""
    return f"{count(summary['turns'], 'turn')}: {counts}{f'; heard after {figures}' if figures else ''}{cost}"
