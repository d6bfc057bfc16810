"""What this process holds open: file descriptors, threads, child processes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

SETTLE_S = 2.0
"""How long what was closed may take to be gone, s: threads and processes end in their own time."""
HERE = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is open, in words."""

    things: frozenset[str]

    @classmethod
    def now(cls) -> Holdings:
        """Of this process; what its system does not tell is left out."""
        return cls(frozenset([*_files(), *_threads(), *_children()]))

    def new(self) -> list[str]:
        """What is open now and was not then."""
        return sorted(Holdings.now().things - self.things)

    def left(self) -> list[str]:
        """What is still open when everything had the time to close."""
        until = time.monotonic() + SETTLE_S
        while (new := self.new()) and time.monotonic() < until:
            time.sleep(0.005)
        return new


def _files() -> list[str]:
    found = []
    for entry in sorted(Path("/dev/fd").iterdir()) if Path("/dev/fd").is_dir() else ():
        try:
            target = (HERE / "fd" / entry.name).readlink() if HERE.is_dir() else entry.stat().st_ino
        except OSError:  # the one of the listing itself
            continue
        found.append(f"file descriptor {entry.name} ({target})")
    return found


def _threads() -> list[str]:
    return [f"thread {thread.name} ({thread.native_id})" for thread in threading.enumerate()]


def _children() -> list[str]:
    found = []
    for list_ in HERE.glob("task/*/children"):
        try:
            found += [f"child process {pid} ({_command(pid)})" for pid in list_.read_text().split()]
        except OSError:  # the thread is gone
            continue
    return found


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"
