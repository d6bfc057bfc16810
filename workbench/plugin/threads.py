"""Threads for foreign code: a job that hangs is left behind, and holds up neither the loop nor the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

IDLE_S = 10.0
"""A thread without a job waits so long for the next one, s: to start one costs 100 µs, to wake one 20."""


class AbnormalExit(Exception):
    """A job raised what is no ordinary error (`sys.exit`, `KeyboardInterrupt`, …); `__cause__` has it."""


def contain(job: Callable[[*Ts], T], *args: *Ts) -> T:
    """Return the result of the job. What would end a loop, or look like a cancellation, raises `AbnormalExit`."""
    try:
        return job(*args)
    except (StopIteration, CancelledError) as error:  # no future takes the one, asyncio mistakes the other
        raise AbnormalExit(_describe(error)) from error
    except Exception:
        raise
    except BaseException as error:
        raise AbnormalExit(_describe(error)) from error


def _describe(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else text


class DaemonThreads(Executor):
    """Runs each job at once in a daemon thread, an idle one if there is one, in a copy of the caller's context.

    Nothing ever waits for a job: neither `shutdown` nor the end of the process. There is no upper bound: whoever hands
    in jobs bounds them. Safe to use from any thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[_Jobs] = []
        self._closed = False

    async def run(self, job: Callable[[*Ts], T], *args: *Ts) -> T:
        """Await a job. Cancelling leaves it behind; its late result is dropped. A loop with a clock of its own
        lets it stand meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self, contain, job, *args)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a job, as any executor does. RuntimeError after `shutdown`, or where the system has no thread left."""
        future: Future[T] = Future()
        context = copy_context()
        job = partial(_run_job, future, lambda: context.run(contain, lambda: fn(*args, **kwargs)))
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the threads {self._name!r} are shut down")
            jobs = self._idle.pop() if self._idle else None
        if jobs is None:
            jobs = SimpleQueue()
            threading.Thread(target=self._work, args=(jobs,), name=self._name, daemon=True).start()
        jobs.put(job)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs and let idle threads go. Those that work are not waited for."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for jobs in idle:
            jobs.put(None)

    def _work(self, jobs: _Jobs) -> None:
        """Run jobs until there is none, in a thread."""
        while (job := self._next(jobs)) is not None:
            job()
            del job  # its result may be large
            with self._lock:
                if self._closed:
                    return
                self._idle.append(jobs)

    def _next(self, jobs: _Jobs) -> Callable[[], None] | None:
        while True:
            try:
                return jobs.get(timeout=IDLE_S)
            except Empty:
                with self._lock:
                    if jobs in self._idle:
                        self._idle.remove(jobs)
                        return None
                # a job is on its way: whoever took this thread from the idle ones puts it in a moment later


def _run_job(future: Future[Any], job: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except Exception as error:  # noqa: BLE001  # whatever the job raises belongs to who awaits it
        future.set_exception(error)
    else:
        future.set_result(result)


_Jobs = SimpleQueue[Callable[[], None] | None]
