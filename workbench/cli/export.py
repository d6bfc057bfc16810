"""`workbench export`: a recording in the format of another program. The answer is on standard output or in a file."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from click.shell_completion import CompletionItem

from workbench.cli.options import load_plugins, plugin_option
from workbench.cli.output import err, new_file, new_folder, short
from workbench.cli.sessions import find_session
from workbench.model.errors import UsageError
from workbench.trace.store import open_trace

if TYPE_CHECKING:
    from workbench.plugin.values import Exporter
    from workbench.trace.trace import Trace

FORMATS = ("otel", "perfetto", "audacity", "webvtt", "jsonl", "csv", "wav", "eot-bench")
"""Ours, for the help and for completion, which import no plugin."""
OURS = "builtin"
STANDARD = Path("-")


class FormatName(click.ParamType[str]):
    """The name of an exporter: one of ours is completed, one of a plugin may be typed."""

    name = "format"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in FORMATS if name.startswith(incomplete)]


@click.command(
    epilog="""\b
Example:
  workbench export --format perfetto -o trace.json      # open it in ui.perfetto.dev
  workbench export 2f6c01aa --format webvtt -o talk.vtt
  workbench export --format otel --to http://127.0.0.1:4318"""
)
@click.argument("session", required=False)
@click.option(
    "--format", "name", metavar="NAME", required=True, type=FormatName(),
    help=f"One of {', '.join(FORMATS)}, or of a plugin.",
)  # fmt: skip
@click.option(
    "-o", "--out", metavar="PATH", type=click.Path(path_type=Path),
    help="A new file, or a new folder for audacity and eot-bench; - is standard output.  [default: -]",
)  # fmt: skip
@click.option(
    "--to", "address", metavar="URL", help="Send the spans (otel) to a collector by OTLP over HTTP."
)
@click.option("--content", is_flag=True, help="With what was said, in spans (otel).")
@plugin_option
def export(
    session: str | None,
    name: str,
    out: Path | None,
    address: str | None,
    content: bool,
    plugins: tuple[Path, ...],
) -> None:
    """Write a session in the format of another program. Without SESSION, the newest.

    SESSION is an id, a folder, or the beginning of a folder's name in `workbench sessions`.
    """
    if name != "otel" and (address or content):
        flag = "--to" if address else "--content"
        raise UsageError(f"{flag} goes with --format otel", "leave it out, or take -o for a file")
    if address is not None:
        if out is not None:
            raise UsageError("--to sends the spans and -o writes them", "take one of them")
        _send(open_trace(find_session(session)), address, content)
        return
    run_export(session, name, out, plugins, content=content)


def run_export(
    session: str | None, name: str, out: Path | None, plugins: Iterable[Path], *, content: bool = False
) -> None:
    """Give a session to the exporter of that name. Raises UsageError, and what blames a plugin for its errors."""
    from workbench.config import load_settings

    load_plugins(load_settings({}), [*plugins])
    plugin, exporter = _exporter(name)
    if exporter.into == "folder" and out in (None, STANDARD):
        raise UsageError(f"{name} is a folder of files", f"name a new one: -o {name}")
    if exporter.into == "bytes" and out is None and sys.stdout.isatty():
        raise UsageError(f"{name} is nothing for a terminal", f"name a new file: -o session.{name}")
    trace = open_trace(find_session(session))
    with _blamed(plugin, name):
        make: Callable[..., None] = exporter.make()
    write = partial(make, trace, content=True) if content else partial(make, trace)
    if out is None or out == STANDARD:
        with _standard_output() as stream:
            _write_to(stream, exporter, plugin, write)
        return
    with new_folder(out) if exporter.into == "folder" else new_file(out) as place:
        _write_to(place, exporter, plugin, write)
    err(f"wrote {short(str(out), 200)}")


@contextlib.contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = f"standard output cannot be written: {error.strerror}"
        raise UsageError(reason, "make room where it goes to, or send it elsewhere") from None


def _write_to(
    place: BinaryIO | Path, exporter: Exporter, plugin: str, write: Callable[[object], None]
) -> None:
    """Let an exporter write; a text that it broke off is not written to a stream."""
    with _blamed(plugin, exporter.name):
        if exporter.into != "text" or isinstance(place, Path):
            write(place)
            return
        text = io.StringIO()
        write(text)
    place.write(text.getvalue().encode("utf-8", "replace"))


@contextlib.contextmanager
def _blamed(plugin: str, name: str) -> Iterator[None]:
    """Blame a plugin for what its exporter raises; ours are our own fault."""
    from workbench.cli.plugin_commands import blamed_on

    with contextlib.nullcontext() if plugin == OURS else blamed_on(f"the exporter {name} of {plugin}"):
        yield


def _send(trace: Trace, address: str, content: bool) -> None:
    from workbench.readers.exports.otel import requests
    from workbench.readers.exports.otlp import send

    sent = send(requests(trace, content=content), address)
    click.echo(f"{sent} spans sent")


def _exporter(name: str) -> tuple[str, Any]:
    """Return the plugin and exporter of that name. Raises UsageError where there is none, or more than one."""
    from workbench.plugin.manager import exporters

    matches = [(plugin, exporter) for plugin, exporter in exporters() if exporter.name == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        owners = " and ".join(plugin for plugin, _ in matches)
        raise UsageError(f"two exporters are called {name!r}, of {owners}", "uninstall one of them")
    names = "; ".join(f"{exporter.name}: {exporter.summary}" for _, exporter in exporters())
    raise UsageError(f"no exporter is called {short(repr(name))}", f"there are – {names}")
