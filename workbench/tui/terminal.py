"""The terminal, for our screen alone: no native library writes into it, and its end is not our end."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from textual.drivers.linux_driver import LinuxDriver


def have_terminal() -> bool:
    """Whether there are keys to read and a screen to draw on."""
    return sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty())


class Pane(io.StringIO):
    """Writes to a terminal's file descriptor; a terminal that has gone away takes everything in silence.

    (Textual's writer would die of it, and its bounded queue then hold up the whole program.)
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def write(self, text: str) -> int:
        """All of it, or nothing where nobody is there any more."""
        data = text.encode(errors="replace")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            pass  # hung up: SIGHUP ends the session
        return len(text)

    def fileno(self) -> int:
        """The terminal's file descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """It is one."""
        return True


class ScreenDriver(LinuxDriver):
    """Draws on `pane` instead of standard error."""

    pane: IO[str] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.pane is not None:
            self._file = self.pane  # type: ignore[assignment] # write and flush are all that is asked of it


@contextmanager
def quiet_terminal() -> Iterator[IO[bytes]]:
    """Meanwhile what is written to standard error (ALSA does, freely) goes into the file given, not on the screen."""
    sys.stderr.flush()
    terminal = os.dup(2 if sys.stderr.isatty() else 1)
    before = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        ScreenDriver.pane = Pane(terminal)
        try:
            yield noise
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            ScreenDriver.pane = None
            os.close(before)
            os.close(terminal)
