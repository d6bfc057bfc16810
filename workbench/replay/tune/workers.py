"""Work in many processes, behind the interface of `concurrent.futures`: this machine's cores, or a dask cluster.

A worker that is lost takes nothing with it: what it was at is done again by another one. A task that has cost three
workers is given up.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Self, TypeVar

from workbench.model.errors import MissingError, StageError, UsageError, WorkbenchError
from workbench.model.text import plain

T = TypeVar("T")
R = TypeVar("R")
TRIES = 3
"""Workers that a task may cost."""
CONNECT_S = 5.0
"""How long a cluster is waited for, s."""
INSTALL = "pip install 'voice-workbench[scale]'"


class SerialExecutor(Executor):
    """Does each task at once, in this process: for work that is less than starting others."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Do it, and return a future that is done."""
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except WorkbenchError as error:
            future.set_exception(error)
        return future


def processes(count: int) -> ProcessPoolExecutor:
    """Return a pool of so many processes, which leave Ctrl-C to this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_begin)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin() -> None:
    """Leave Ctrl-C to whoever started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def cluster(address: str) -> Iterator[Callable[[], Executor]]:
    """Connect to the scheduler of a dask cluster; give what makes an executor on it. Raises MissingError without the
    package, UsageError where nobody answers."""
    try:
        from distributed import Client  # 0.5 s
    except ImportError as error:
        raise MissingError("--dask needs the package distributed", INSTALL) from error
    shown = plain(repr(address), 80, one_line=True)
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        hint = "give the scheduler's address, like tcp://127.0.0.1:8786"
        raise UsageError(f"no dask scheduler answers at {shown}", hint) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise UsageError(
                f"the dask cluster at {shown} has no workers", "start some: `dask worker ADDRESS`"
            )
        yield partial(client.get_executor, pure=False)


class Workers:
    """Does tasks on the executors that `open_executor` makes: another one where one has broken."""

    def __init__(self, open_executor: Callable[[], Executor]) -> None:
        self._open = open_executor
        self._others = multiprocessing.active_children()
        self._executor = open_executor()
        self._futures: dict[Future[Any], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """After an error end the processes at what they are at, as it changes nothing; on a cluster drop what has not
        begun. (To cancel what a process then breaks off is an error in the pool's own thread.)"""
        if kind is not None:
            processes = [each for each in multiprocessing.active_children() if each not in self._others]
            for process in processes:
                process.terminate()
            for future in () if processes else self._futures:
                future.cancel()
        self._executor.shutdown(wait=True)

    def map(
        self, function: Callable[[T], R], tasks: Sequence[T], done: Callable[[T], None] = lambda _: None
    ) -> list[R]:
        """Return what the function makes of each task, in their order; `done` is called as each is. What a task raises
        is raised; StageError for one that ends whatever works on it."""
        results: dict[int, R] = {}
        barren = 0
        while open_ := [number for number in range(len(tasks)) if number not in results]:
            before = len(results)
            self._submit(function, tasks, open_)
            for number, result in self._finished():
                results[number] = result
                done(tasks[number])
            barren = barren + 1 if len(results) == before else 0
            if barren == TRIES:
                reason = f"{TRIES} workers in a row were lost over the same work"
                raise StageError(reason, "look whether there is memory enough", stage="tune")
            if len(results) < len(tasks):
                self._executor.shutdown(wait=False)
                self._executor = self._open()
        return [results[number] for number in range(len(tasks))]

    def _submit(self, function: Callable[[T], R], tasks: Sequence[T], numbers: Sequence[int]) -> None:
        """Give tasks to the executor, as long as it takes them: a broken one takes no more."""
        with suppress(BrokenExecutor):
            for number in numbers:
                self._futures[self._executor.submit(function, tasks[number])] = number

    def _finished(self) -> Iterator[tuple[int, Any]]:
        """Yield number and result of the tasks as they end; those whose worker is lost are left out."""
        while self._futures:
            finished, _ = wait(self._futures, return_when=FIRST_COMPLETED)
            for future in finished:
                number = self._futures.pop(future)
                if not _is_lost(future):
                    yield number, future.result()


LOST = ("BrokenProcessPool", "KilledWorker", "FutureCancelledError", "FuturesCancelledError")
"""What says that a worker is gone, here or on a cluster."""


def _is_lost(future: Future[Any]) -> bool:
    """Whether a task is not done because what worked on it is gone."""
    return future.cancelled() or type(future.exception()).__name__ in LOST
