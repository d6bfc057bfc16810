"""A virtual sound card for the tests, and a process that uses it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.sound.card import VirtualCard
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


class Standin:
    """`tests.sound.standin` as a process: what it tells, as it tells it."""

    def __init__(self, environment: dict[str, str], *wanted: str, before: str = "") -> None:
        """`wanted`: microphone and speaker; `before`: Python that runs first."""
        code = f"import sys, asyncio; sys.argv[1:] = {list(wanted)!r}; {before}\nimport runpy; "
        code += "runpy.run_module('tests.sound.standin', run_name='__main__')"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.told: list[dict[str, Any]] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def until(self, kind: str, count: int = 1, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until it has told of `count` such things from now on; the last of them."""
        until = time.monotonic() + patience_s
        while True:
            line = self._lines.get(timeout=max(0.01, until - time.monotonic()))
            if not line:
                raise AssertionError(f"it ended before it told of {kind}: {self.told[-5:]}")
            self.told.append(json.loads(line))
            count -= self.told[-1]["type"] == kind
            if not count:
                return self.told[-1]

    def end(self) -> int:
        """Let it end, read everything; its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        while line := self._lines.get(timeout=PATIENCE_S):
            self.told.append(json.loads(line))
        return self._process.returncode

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Everything of that kind that was read so far."""
        return [thing for thing in self.told if thing["type"] == kind]


@pytest.fixture
def card(tmp_path: Path) -> Iterator[VirtualCard]:
    """A card of its own for each test: 2 s until it is awake."""
    with VirtualCard(tmp_path / "card") as card:
        yield card
