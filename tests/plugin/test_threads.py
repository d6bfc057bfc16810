from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar

import pytest

from tests.waiting import PATIENCE_S, until
from workbench.plugin import threads as module
from workbench.plugin.threads import AbnormalExit, DaemonThreads
from workbench.simulation.clock import run_virtual

NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


@pytest.fixture
def threads() -> Iterator[DaemonThreads]:
    made = DaemonThreads("strangers")
    yield made
    made.shutdown()


def _raises(error: BaseException) -> Callable[[], None]:
    def job() -> None:
        raise error

    return job


def test_a_job_has_its_arguments_its_context_and_a_daemon_thread(threads: DaemonThreads) -> None:
    def job(a: int, *, b: int) -> tuple[int, str, bool, str]:
        thread = threading.current_thread()
        return a + b, NAME.get(), thread.daemon, thread.name

    NAME.set("Ada")
    assert threads.submit(job, 1, b=2).result(PATIENCE_S) == (3, "Ada", True, "strangers")


def test_a_job_changes_nobodys_context(threads: DaemonThreads) -> None:
    threads.submit(NAME.set, "Bob").result(PATIENCE_S)
    assert threads.submit(NAME.get).result(PATIENCE_S) == NAME.get()


def test_an_idle_thread_is_used_again_and_a_busy_one_is_not(threads: DaemonThreads) -> None:
    go = threading.Event()
    busy = threads.submit(lambda: (go.wait(PATIENCE_S), threading.get_ident())[1])
    other = threads.submit(threading.get_ident).result(PATIENCE_S)
    until(lambda: threads._idle)
    again = threads.submit(threading.get_ident).result(PATIENCE_S)
    go.set()
    assert again == other != busy.result(PATIENCE_S)


def test_an_idle_thread_ends_after_a_while(threads: DaemonThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.01)
    thread = threads.submit(threading.current_thread).result(PATIENCE_S)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert threads.submit(lambda: 7).result(PATIENCE_S) == 7


def test_many_jobs_while_threads_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.0)
    threads = DaemonThreads("strangers")
    assert [threads.submit(lambda n=n: n).result(PATIENCE_S) for n in range(100)] == list(range(100))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SystemExit(3), "sys.exit(3)"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit("x"), "GeneratorExit: x"),
        (StopIteration(), "StopIteration"),
        (asyncio.CancelledError(), "CancelledError"),
        (CancelledError(), "CancelledError"),
    ],
)
@pytest.mark.parametrize("runner", [asyncio.run, run_virtual])
def test_system_exit_and_the_like_become_an_ordinary_error(
    threads: DaemonThreads, error: BaseException, says: str, runner: Callable[..., None]
) -> None:
    async def main() -> None:
        with pytest.raises(AbnormalExit) as caught:
            await threads.run(_raises(error))
        assert str(caught.value) == says
        assert caught.value.__cause__ is error

    runner(main())


def test_an_ordinary_error_stays_what_it_is(threads: DaemonThreads) -> None:
    with pytest.raises(ValueError, match="no"):
        threads.submit(_raises(ValueError("no"))).result(PATIENCE_S)


def test_a_hanging_job_is_left_behind(threads: DaemonThreads) -> None:
    go = threading.Event()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await threads.run(go.wait, 30)

    asyncio.run(main())
    go.set()  # the late result goes nowhere, on a loop that is closed
    assert threads.submit(lambda: 7).result(PATIENCE_S) == 7


def test_a_job_that_is_cancelled_before_it_runs_does_not(threads: DaemonThreads) -> None:
    future = Future[int]()
    future.cancel()
    module._run_job(future, lambda: pytest.fail("ran"))


def test_after_shutdown_there_are_no_jobs_and_no_threads(threads: DaemonThreads) -> None:
    go = threading.Event()
    idle = threads.submit(threading.current_thread).result(PATIENCE_S)
    until(lambda: threads._idle)
    busy = threads.submit(lambda: (go.wait(PATIENCE_S), threading.current_thread())[1])
    other = threads.submit(threading.current_thread).result(PATIENCE_S)
    threads.shutdown()
    go.set()
    for thread in (idle, other, busy.result(PATIENCE_S)):
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="shut down"):
        threads.submit(lambda: 7)


def test_a_process_does_not_wait_for_a_hanging_job() -> None:
    program = (
        "import asyncio, time\nfrom workbench.plugin.threads import DaemonThreads\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.05): await DaemonThreads('x').run(time.sleep, 60)\n"
        "    except TimeoutError: print('left')\n"
        "asyncio.run(main())"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("left\n", "")
    assert time.monotonic() - began < 30
