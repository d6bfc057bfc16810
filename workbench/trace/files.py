"""Safe opening of the files of a recording, to write our own and to read a stranger's."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_new(path: Path) -> int:
    """Return a file descriptor to write a file that does not exist yet, 0600; symbolic links are not followed."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read, but no pipe or device, which might never end. Raises OSError."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(0, "not a regular file")
