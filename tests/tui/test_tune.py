"""The screen of `workbench tune`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests.replay.tune_material import hesitant, settings_of, tuned
from tests.tui.staged import SMALL, USUAL, WIDE, run, staged
from workbench.model.audio import Samples
from workbench.model.errors import UsageError
from workbench.replay.tune.figures import TunePoint
from workbench.replay.tune.tuning import TuneResult
from workbench.tui.player import Player
from workbench.tui.tune import TuneScreen

SETTINGS = settings_of(turn__provider="silence", turn__adapt=False)
AXES = {"turn.silence_ms": (200, 600, 900)}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hesitant(tmp_path_factory.mktemp("tune") / "rec", "[red]I would \x1b[31mlike to book")


def no_score() -> TuneResult:
    raise UsageError("it is not asked for", "look why")


def where(point: TunePoint) -> str:
    return f"wrote {point.settings}"


@pytest.mark.parametrize("size", [WIDE, USUAL, SMALL], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_front_is_walked_along_and_the_chosen_point_written(
    recording: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[Samples] = []
    monkeypatch.setattr(Player, "play", lambda self, samples: played.append(samples))
    result = tuned([recording], AXES, SETTINGS)

    async def scene() -> None:
        async with staged(lambda: TuneScreen(result, no_score, where), size) as stage:
            await stage.pilot.press("right", "right", "right")
            await stage.shows("0 of 2 (0 %) cut off:", "turn.silence_ms=900")
            if size != SMALL:
                await stage.shows("cut after", "→ not cut", "● the front", "◉ chosen", "[red]I would like")
            await stage.pilot.press("space", "down", "space")
            await stage.until(lambda: len(played) == 2)
            await stage.pilot.press("left", "left", "left")
            await stage.shows("2 of 2 (100 %) cut off")
            await stage.pilot.press("right", "w")
            if size == WIDE:
                await stage.shows("wrote {'turn.silence_ms'")

    run(scene())
    assert all(len(samples) > 24_000 for samples in played)


def test_a_label_is_corrected_and_all_scored_anew(tmp_path: Path) -> None:
    folder = hesitant(tmp_path / "rec")
    score = partial(tuned, [folder], AXES, SETTINGS)

    async def scene() -> None:
        async with staged(lambda: TuneScreen(score(), score, where), WIDE) as stage:
            await stage.pilot.press("a")
            await stage.shows("2 pauses within turns, 3 ends", "1 0:")
            await stage.pilot.press("l")
            await stage.shows("1 pause within turns, 4 ends", "end*")
            await stage.pilot.press("down", "down", "l")  # the only pause that is left
            await stage.shows("cannot be tuned by")
            await stage.shows("1 pause within turns, 4 ends")

    run(scene())
    labels = json.loads((folder / "labels.json").read_text("utf-8"))["silences"]
    assert [each["label"] for each in labels] == ["end"]
