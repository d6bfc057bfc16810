"""Safe handling of the files of a recording: to write our own, to read a stranger's, to remove a whole folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

LEFTOVER = re.compile(r"\.(.+)\.(removed|redacted|whole)-[0-9a-f]{8}")


def open_new(path: Path) -> int:
    """Return a file descriptor to write a file that does not exist yet, 0600; symbolic links are not followed."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read, but no pipe or device, which might never end, and no link, which may lead to anything.

    Raises OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link") from None
        raise
    file = os.fdopen(descriptor, "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(0, "not a regular file")


def hold(descriptor: int) -> None:
    """Mark an open file or folder as being written, until it is closed or its process is gone; not on every network
    disk."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass  # a disk without locks: nobody can tell that it is being written


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Mark a folder as being written meanwhile, also under another name. Raises OSError where it cannot be opened."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        hold(descriptor)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Decide whether a file or folder is being written right now. Raises OSError where it cannot be opened."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # a disk without locks
    finally:
        os.close(descriptor)
    return False


def regular_files(folder: Path) -> Iterator[Path]:
    """Yield the regular files in a folder and below it; links are neither followed nor given."""
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(place, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def size_bytes(folder: Path) -> int:
    """Return the bytes of all regular files in a folder and below it."""
    return sum(file.lstat().st_size for file in regular_files(folder))


def beside(folder: Path, purpose: str) -> Path:
    """Return a new hidden name in the same place, so that a rename between the two is one step."""
    return folder.parent / f".{folder.name}.{purpose}-{secrets.token_hex(4)}"


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it: in one step under its name, what was linked to stays. Raises OSError."""
    doomed = beside(folder, "removed")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def remove_leftovers(root: Path) -> None:
    """Remove what an interrupted removal or redaction left of folders in `root`, but not what is being written. Raises
    OSError.

    A redacted folder that is whole, and whose original was moved away already, gets its name.
    """
    leftovers = {path: match for path in root.iterdir() if (match := _leftover(path))}
    for path, match in leftovers.items():
        if match[2] == "whole" and not (root / match[1]).exists():
            path.rename(root / match[1])
    for path in filter(Path.exists, leftovers):  # only now, as this may be interrupted too
        shutil.rmtree(path)


def _leftover(path: Path) -> re.Match[str] | None:
    is_folder = path.is_dir() and not path.is_symlink()
    return LEFTOVER.fullmatch(path.name) if is_folder and not is_held(path) else None
