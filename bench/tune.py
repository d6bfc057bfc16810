"""How fast recordings are scored: 1,000 settings on ten minutes of sound.

    python -m bench tune                      # on all cores of this machine
    python -m bench tune --minutes 2

The sound is of human prompts with pauses (`_user_turns`), the recording one that has been made with nothing computed
before: VAD and end-of-turn model run too. Without the weights on board the plain detectors are scored.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench._figures import Promise, run, tell
from bench._prompts import lacking_prompts
from bench._user_turns import user_turns
from bench.turn_taking import together
from workbench.config import Settings, load_settings
from workbench.model.errors import MissingError
from workbench.replay.tune.detectors import Detectors
from workbench.replay.tune.grid import COMBINED, combinations
from workbench.replay.tune.tuning import TuneResult, tune
from workbench.replay.tune.workers import cores, processes
from workbench.simulation.synthesis import Score, write_wav
from workbench.trace.store import About, SessionFolder
from workbench.weights.store import path

SETTINGS = 1_000
TARGET_S = 60.0
TURN_S = 8.5
"""About how long a turn of the generator is, with the silence after it, s."""


class Silent:
    """Shows no progress."""

    def expect(self, seconds: float) -> None:
        """More is to be done."""

    def advance(self, seconds: float) -> None:
        """Some has been done."""


def recording(folder: Path, minutes: float) -> float:
    """Write a session folder with that much sound of a user, and nothing else; return its seconds."""
    score = Score()
    if lacking_prompts("en"):
        while score.seconds < minutes * 60:
            score.say("I would like to book", seconds=1.4).silence(0.45).say("a table for two.").silence(5)
    else:
        score, _ = together(list(user_turns("en", round(minutes * 60 / TURN_S), 0)))
    made = SessionFolder.create(About(versions={}), folder)
    samples = score.samples()[: round(minutes * 60 * 16_000)]
    write_wav(made.sound("user"), samples)
    made.events.touch()
    return len(samples) / 16_000


def settings() -> Settings:
    """Return the settings of a session with the models on board, where their weights are here."""
    try:
        path("silero/v6")
        path("smart-turn/v3.2")
    except MissingError:
        return load_settings({"profile": "scripted"})
    return load_settings({"profile": "embedded"})


def score(folder: Path) -> tuple[float, TuneResult]:
    """Score it, and return how long that took, s."""
    used = settings()
    tried = combinations(COMBINED, used.vad, used.turn)[:SETTINGS]
    began = time.perf_counter()
    result = tune([folder], Detectors.of(used), tried, partial(processes, cores()), Silent())
    return time.perf_counter() - began, result


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        prog="python -m bench tune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of sound (10)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        seconds = recording(Path(place) / "session", options.minutes)
        took_s, result = score(Path(place) / "session")
    figures = {
        "settings": len(result.points),
        "sound_s": round(seconds, 1),
        "took_s": round(took_s, 2),
        "pauses": result.count("pause"),
        "ends": result.count("end"),
        "front": [point.to_json() for point in result.front],
    }
    what = f"{len(result.points)} settings on {seconds / 60:.0f} min of sound, {cores()} cores"
    tell(
        "tune", [Promise(what, round(took_s, 2), TARGET_S, "s")], {"turn": settings().turn.provider}, figures
    )


if __name__ == "__main__":
    run(main)
