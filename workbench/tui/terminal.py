"""The terminal, for our screen alone: no native library writes into it, and its end is not our end."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


def have_terminal() -> bool:
    """Return whether there are keys to read and a screen to draw on."""
    return sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty())


class TerminalStream(io.StringIO):
    """Writes to a terminal's file descriptor; a terminal that has gone away takes everything in silence.

    (Textual's writer would die of it, and its bounded queue then hold up the whole program.)
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def write(self, text: str) -> int:
        """Write all of it, or nothing where the terminal is gone."""
        data = text.encode(errors="replace")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            pass  # hung up: SIGHUP ends the session
        return len(text)

    def fileno(self) -> int:
        """Return the terminal's file descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """Return True."""
        return True


@contextmanager
def quiet_terminal() -> Iterator[IO[bytes]]:
    """Meanwhile send what is written to standard error (ALSA does, freely) to the file that is yielded.

    Textual draws on `sys.__stderr__`, which is the terminal itself meanwhile.
    """
    sys.stderr.flush()
    terminal = os.dup(2 if sys.stderr.isatty() else 1)
    stderr, stream = os.dup(2), sys.__stderr__
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        sys.__stderr__ = TerminalStream(terminal)  # type: ignore[misc, assignment] # write and flush are all that is used
        try:
            yield messages
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            sys.__stderr__ = stream  # type: ignore[misc]
            os.close(stderr)
            os.close(terminal)
