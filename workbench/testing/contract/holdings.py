"""What this process holds open: file descriptors, threads, child processes."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SETTLE_S = 2.0
"""How long closing may take, s: threads and processes end in their own time."""
PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is open, in words."""

    names: frozenset[str]

    @classmethod
    def now(cls) -> Holdings:
        """Return those of this process; what its system does not tell is left out."""
        return cls(frozenset([*_files(), *_threads(), *_children()]))

    def new(self) -> list[str]:
        """Return the names that are new since then."""
        return sorted(Holdings.now().names - self.names)

    def growth(self, least: int) -> list[str]:
        """Return the new names of each kind of which there are more by `least` or more than then.

        A worker process that is replaced on a busy machine has new names, but not more of them; and what something else
        closes meanwhile is mostly of another kind.
        """
        names = Holdings.now().names
        before, now = (Counter(map(_kind, held)) for held in (self.names, names))
        return sorted(name for name in names - self.names if now[_kind(name)] >= before[_kind(name)] + least)

    def remaining(self) -> list[str]:
        """Return the new names when everything had the time to close."""
        until = time.monotonic() + SETTLE_S
        while (new := self.new()) and time.monotonic() < until:
            time.sleep(0.005)
        return new


def _kind(name: str) -> str:
    return re.sub(r"\d+", "", name)


def _files() -> Iterator[str]:
    for entry in sorted(Path("/dev/fd").iterdir()) if Path("/dev/fd").is_dir() else ():
        try:
            target = (PROC / "fd" / entry.name).readlink() if PROC.is_dir() else entry.stat().st_ino
        except OSError:  # that of the listing itself
            continue
        yield f"file descriptor {entry.name} ({target})"


def _threads() -> list[str]:
    return [f"thread {thread.name} ({thread.native_id})" for thread in threading.enumerate()]


def _children() -> Iterator[str]:
    for file in PROC.glob("task/*/children"):
        try:
            pids = file.read_text().split()
        except OSError:  # the thread is gone
            continue
        for pid in pids:
            try:
                yield f"child process {pid} ({Path(f'/proc/{pid}/comm').read_text('utf-8', 'replace').strip()})"
            except OSError:
                yield f"child process {pid} (gone)"
