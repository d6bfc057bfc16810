"""Work in other processes: what is lost with a worker is done again."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.replay.tune_material import always_die, hesitant, settings_of, squares, tuned, wait_for_ever
from workbench.model.errors import StageError, UsageError
from workbench.replay.tune.detectors import Detectors
from workbench.replay.tune.grid import combinations
from workbench.replay.tune.tuning import tune
from workbench.replay.tune.workers import Workers, cluster, processes

AXES = {"turn.silence_ms": (200, 600, 900)}


def test_what_a_killed_process_was_at_is_done_again(tmp_path: Path) -> None:
    done: list[int] = []
    with Workers(partial(processes, 1)) as workers:
        assert workers.map(squares(tmp_path), range(8), done.append) == [n * n for n in range(8)]
    assert sorted(done) == [*range(8)]
    assert (tmp_path / "died").exists()


def test_work_that_kills_whatever_does_it_is_given_up() -> None:
    with Workers(partial(processes, 1)) as workers, pytest.raises(StageError, match="3 workers in a row"):
        workers.map(always_die, [1])


def test_an_interrupt_ends_what_is_being_done() -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    before = multiprocessing.active_children()
    with pytest.raises(KeyboardInterrupt), Workers(partial(processes, 1)) as workers:
        workers.map(wait_for_ever, [0, 1, 2, 3], interrupt)
    assert multiprocessing.active_children() == before


def test_what_a_task_raises_is_raised_and_the_rest_dropped() -> None:
    with Workers(partial(processes, 1)) as workers, pytest.raises(UsageError, match="no session"):
        workers.map(_refuse, range(50))


def _refuse(number: int) -> int:
    raise UsageError(f"no session {number}", "look again")


@pytest.fixture
def local_cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, host="127.0.0.1"
    ) as made:
        yield made


@pytest.mark.filterwarnings("ignore")  # of distributed
def test_a_cluster_scores_the_same_and_outlives_a_worker(tmp_path: Path, local_cluster: Any) -> None:
    folder, settings = hesitant(tmp_path / "rec"), settings_of(turn__provider="silence", turn__adapt=False)
    here = tuned([folder], AXES, settings)
    tried = combinations(AXES, settings.vad, settings.turn)

    class Killer:
        """Kills a worker as soon as anything has been done."""

        killed = False

        def expect(self, seconds: float) -> None: ...

        def advance(self, seconds: float) -> None:
            if not self.killed:
                self.killed = True
                os.kill(next(iter(local_cluster.workers.values())).pid, signal.SIGKILL)

    with cluster(local_cluster.scheduler_address) as open_executor:
        there = tune([folder], Detectors.of(settings), tried, open_executor, Killer())
    assert there.points == here.points


def test_a_cluster_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("workbench.replay.tune.workers.CONNECT_S", 0.3)
    with pytest.raises(UsageError, match="no dask scheduler"), cluster("tcp://127.0.0.1:1"):
        pass
