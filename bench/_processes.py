"""What the system says of other processes: CPU time, by thread too, and memory."""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that come from it."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in children.read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """CPU time of a process and all that come from it, s."""
    return sum(threads_s(pid).values())


def threads_s(pid: int) -> Counter[str]:
    """The same by the names of threads, numbers left out; `main` is where Python's loop runs."""
    found = Counter[str]()
    for one in family(pid):
        for path in Path(f"/proc/{one}/task").glob("*/stat"):
            with suppress(OSError):
                head, _, tail = path.read_text().rpartition(")")
                name = head.partition("(")[2]
                fields = tail.split()
                named = "main" if path.parent.name == str(one) else re.sub(r"[-_ ]*\d+$", "", name)
                found[named] += (int(fields[11]) + int(fields[12])) / TICKS  # type: ignore[assignment]
    return found


def memory_mb(pid: int) -> float:
    """Memory of a process and all that come from it, MB; pages that they share count once (PSS)."""
    total = 0
    for one in family(pid):
        with suppress(OSError):
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += int(re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE)[0])
    return total * 1024 / 1e6
