"""A recorded conversation with a user who hesitates, and work that costs a worker its life."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.golden.scenes import Scene, record
from workbench.config import Settings, load_settings
from workbench.replay.tune.detectors import Detectors
from workbench.replay.tune.grid import combinations
from workbench.replay.tune.tuning import TuneResult, tune
from workbench.replay.tune.workers import SerialExecutor
from workbench.simulation.synthesis import Score

LABELS = ["pause", "end", "pause", "end", "end"]
"""What the silences of `hesitant` are."""


def hesitant(folder: Path, words: str = "I would like to book", **settings: object) -> Path:
    """Record five silences: two pauses of 450 and 800 ms, three ends of turns."""
    score = Score(seed=3).silence(0.6).say(words).silence(0.45).say("a table for two.").silence(5)
    score.say("For").silence(0.8).say("Saturday evening, please.").silence(5).say("Thank you.").silence(4)
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return record(Scene(score, settings=named), folder)


def settings_of(**changes: object) -> Settings:
    return load_settings({"profile": "scripted", **{key.replace("__", "."): v for key, v in changes.items()}})


class NoProgress:
    def expect(self, seconds: float) -> None: ...

    def advance(self, seconds: float) -> None: ...


def tuned(
    folders: Sequence[Path], axes: Mapping[str, Sequence[object]], settings: Settings | None = None
) -> TuneResult:
    settings = settings or settings_of()
    tried = combinations(axes, settings.vad, settings.turn)
    return tune(folders, Detectors.of(settings), tried, SerialExecutor, NoProgress())


def square_or_die(folder: Path, number: int) -> int:
    """Return the square; the first process to be given 3 is killed for it."""
    if number == 3:
        try:
            (folder / "died").touch(exist_ok=False)
        except FileExistsError:
            return 9
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def always_die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def wait_for_ever(number: int) -> int:
    if number:
        threading.Event().wait()
    return number


def squares(folder: Path) -> partial[int]:
    return partial(square_or_die, folder)
