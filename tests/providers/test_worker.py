from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.waiting import PATIENCE_S, eventually
from workbench.model.errors import BusyError, GarbageError, InternalError, MissingError, StageError
from workbench.providers import worker as module
from workbench.providers.onboard.framing import Message, pack
from workbench.providers.onboard.process import decode_error, encode_error, missing_package
from workbench.providers.worker import (
    NICENESS,
    JobResults,
    OnboardProvider,
    Worker,
    WorkerSpec,
    give_way,
    lease,
)
from workbench.simulation.clock import run_virtual

T = TypeVar("T")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
ODD = WorkerSpec("odd/one", "tests.providers.jobs:open_odd")


def odd() -> OnboardProvider:
    return OnboardProvider("odd/one", ODD.target, dict, stage="llm")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is told to end has time to, on a machine that has much to do."""
    monkeypatch.setattr(module, "OVERRUN_S", PATIENCE_S)


def run(work: Callable[[Worker], Coroutine[Any, Any, T]], spec: WorkerSpec = ODD) -> T:
    async def main() -> T:
        async with asyncio.timeout(PATIENCE_S), Worker(spec) as worker:
            return await work(worker)

    return asyncio.run(main())


async def ask(worker: Worker, kind: str, **header: Any) -> list[dict[str, Any]]:
    async with worker.job(kind, header) as results:
        return [result async for result, _ in results]


def stat(pid: int | None) -> list[str]:
    """Return the figures of a process: its state as `ps` shows it (T is stopped) first, up to its CPU time."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()


def state(pid: int | None) -> str:
    return stat(pid)[0]


async def _next(results: JobResults) -> Message:
    return await anext(results)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_results_come_in_order_with_their_bytes() -> None:
    payload = bytes(range(256)) * 8192  # 2 MB

    async def main(worker: Worker) -> None:
        async with worker.job("echo", {"times": 3, "word": "wörter"}, payload) as results:
            got = [(header, data) async for header, data in results]
        assert got == [({"times": 3, "word": "wörter", "time": time_}, payload) for time_ in range(3)]

    run(main)


def test_jobs_are_done_one_after_the_other_in_the_order_they_came() -> None:
    async def main(worker: Worker) -> None:
        log: list[int] = []

        async def job(number: int) -> None:
            async with worker.job("echo", {"times": 20}) as results:
                log.extend([number async for _ in results])

        async with asyncio.TaskGroup() as tasks:
            for number in range(5):
                tasks.create_task(job(number))
        assert log == sorted(log)
        assert len(log) == 100

    run(main)


def test_the_process_starts_with_the_warm_up() -> None:
    async def main(worker: Worker) -> None:
        before = worker.pid
        await worker.warm()
        pid = worker.pid
        assert before is None
        assert pid
        assert await ask(worker, "echo") == [{"time": 0}]
        assert worker.pid == pid

    run(main)


def test_leaving_a_job_cancels_it_and_keeps_the_process(patience: None) -> None:
    async def main(worker: Worker) -> None:
        async with worker.job("count") as results:
            assert (await anext(results))[0] == {"number": 0}
            pid = worker.pid
        assert await ask(worker, "echo") == [{"time": 0}]  # no number of the job before
        assert worker.pid == pid

    run(main)


def test_a_cancelled_waiter_is_free_at_once() -> None:
    async def main(worker: Worker) -> None:
        async with worker.job("hang") as results:
            await anext(results)
            pid = worker.pid
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(ask(worker, "echo"))
                listening = tasks.create_task(_next(results))
                await asyncio.sleep(0)
                waiting.cancel()
                listening.cancel()
                await asyncio.wait({waiting, listening})
                assert worker.pid == pid  # it has 500 ms before it is killed

    run(main)


def test_cancelling_an_interruptible_native_call_keeps_the_process(patience: None) -> None:
    async def main(worker: Worker) -> None:
        async with worker.job("interruptible") as results:
            await anext(results)
            pid = worker.pid
        assert await ask(worker, "echo") == [{"time": 0}]
        assert worker.pid == pid

    run(main)


def test_a_job_that_overruns_its_cancel_is_killed_and_the_next_has_a_new_process() -> None:
    async def main(worker: Worker) -> None:
        async with worker.job("hang") as results:
            await anext(results)
            pid = worker.pid
            left = time.perf_counter()
        freed_s = time.perf_counter() - left
        assert await ask(worker, "echo") == [{"time": 0}]
        ended_s = time.perf_counter() - left
        assert ended_s >= 0.5
        assert freed_s < ended_s / 2  # who left did not wait for it
        assert pid
        assert worker.pid != pid
        assert not alive(pid)

    run(main)


def test_a_killed_worker_fails_its_job_and_is_started_again() -> None:
    async def main(worker: Worker) -> None:
        async with worker.job("hang") as results:
            await anext(results)
            assert worker.pid
            os.kill(worker.pid, signal.SIGKILL)
            with pytest.raises(StageError, match=r"odd/one was killed by signal 9") as caught:
                await anext(results)
        assert caught.value.retryable
        assert await ask(worker, "echo") == [{"time": 0}]

    run(main)


def test_a_job_that_ends_as_its_process_is_killed_costs_the_next_one_nothing() -> None:
    async def main(worker: Worker) -> None:
        async with worker.job("hang") as results:
            await anext(results)
            process = worker._process
            assert process
        process._kill(None)  # it has overrun its cancel
        process.pipe_data_received(1, pack({"job": results.number, "end": None}))  # was on its way
        assert await ask(worker, "echo") == [{"time": 0}]
        assert worker.starts == 2

    run(main)


def test_a_worker_killed_between_two_jobs_is_started_again() -> None:
    async def main(worker: Worker) -> None:
        await worker.warm()
        assert worker.pid
        os.kill(worker.pid, signal.SIGKILL)
        await eventually(lambda: worker.pid is None)
        assert await ask(worker, "echo") == [{"time": 0}]

    run(main)


@pytest.mark.parametrize("kind", ["garbage", "stranger"])
def test_garbage_on_the_pipe_fails_the_job_and_ends_the_process(kind: str) -> None:
    async def main(worker: Worker) -> None:
        with pytest.raises(GarbageError, match="odd/one sent garbage"):
            await ask(worker, kind)
        assert await ask(worker, "echo") == [{"time": 0}]

    run(main)


def test_a_crash_reports_the_last_line_of_standard_error() -> None:
    async def main(worker: Worker) -> None:
        with pytest.raises(StageError, match="ended with code 9: last words"):
            await ask(worker, "die")
        with pytest.raises(StageError, match=r"ValueError: .*nobody thought of this") as caught:
            await ask(worker, "surprise")
        assert "\x1b" not in str(caught.value)
        assert await ask(worker, "echo") == [{"time": 0}]

    run(main)


def test_an_expected_error_arrives_as_it_is_and_costs_no_process() -> None:
    async def main(worker: Worker) -> None:
        with pytest.raises(BusyError, match="too much to do") as caught:
            await ask(worker, "fail")
        assert caught.value.hint == "come back later"
        pid = worker.pid
        await ask(worker, "echo")
        assert worker.pid == pid

    run(main)


def test_a_model_that_cannot_be_opened_says_why_each_time() -> None:
    async def main(worker: Worker) -> None:
        for _ in range(2):
            with pytest.raises(MissingError, match="there is no such thing – get one"):
                await worker.warm()

    run(main, WorkerSpec("odd/none", "tests.providers.jobs:open_odd", {"absent": True}))


def test_a_module_that_is_not_installed_is_a_missing_error() -> None:
    async def main(worker: Worker) -> None:
        with pytest.raises(MissingError, match="no_such_package"):
            await worker.warm()

    run(main, WorkerSpec("odd/none", "no_such_package:open"))


def test_a_missing_system_library_is_named_by_its_package() -> None:
    error = missing_package(
        ImportError("libgomp.so.1: cannot open shared object file: No such file or directory")
    )
    assert "libgomp1" in str(error)
    assert "apt-get install" in error.hint


def test_errors_keep_their_type_across_the_pipe() -> None:
    error = decode_error(encode_error(BusyError("why", "what")))
    assert (type(error), error.reason, error.hint) == (BusyError, "why", "what")
    assert type(decode_error({"type": "SystemExit", "reason": "no"})) is StageError


def test_ctrl_c_does_not_reach_a_worker() -> None:
    async def main(worker: Worker) -> None:
        await worker.warm()
        pid = worker.pid
        assert pid
        os.kill(pid, signal.SIGINT)
        assert await ask(worker, "echo") == [{"time": 0}]
        assert worker.pid == pid
        assert os.getpgid(pid) != os.getpgid(0)

    run(main)


@linux
def test_a_worker_whose_results_nobody_reads_is_stopped_and_goes_on_where_it_was(patience: None) -> None:
    async def main(worker: Worker) -> None:
        async with worker.job("count") as results:
            await eventually(lambda: state(worker.pid) == "T")
            unread = results.unread
            assert unread < 20
            assert [(await anext(results))[0]["number"] for _ in range(unread)] == list(range(unread))
            assert state(worker.pid) == "T"  # nobody has asked for more
            assert (await anext(results))[0] == {"number": unread}
            await eventually(lambda: state(worker.pid) == "T")
            pid = worker.pid
        assert await ask(worker, "echo") == [{"time": 0}]  # a cancel wakes it
        assert worker.pid == pid

    run(main)


@linux
def test_a_worker_that_another_job_waits_for_is_not_stopped() -> None:
    async def main(worker: Worker) -> None:
        async with asyncio.TaskGroup() as tasks, worker.job("count") as results:
            await eventually(lambda: state(worker.pid) == "T")
            tasks.create_task(ask(worker, "echo"))
            stopped_at = results.unread
            await eventually(lambda: results.unread > stopped_at + 5)
            assert state(worker.pid) != "T"

    run(main)


@linux
def test_a_stopped_worker_that_is_killed_fails_its_job_and_is_started_again() -> None:
    async def main(worker: Worker) -> None:
        async with worker.job("count") as results:
            await eventually(lambda: state(worker.pid) == "T")
            assert worker.pid
            os.kill(worker.pid, signal.SIGKILL)
            with pytest.raises(StageError, match=r"odd/one was killed by signal 9"):
                async for _ in results:
                    pass
        assert await ask(worker, "echo") == [{"time": 0}]

    run(main)


@linux
def test_a_job_says_how_long_it_waited_for_a_cpu() -> None:
    async def main(worker: Worker) -> None:
        await worker.warm()
        assert worker.pid
        core = {min(os.sched_getaffinity(0))}
        os.sched_setaffinity(worker.pid, core)
        rival = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
        os.sched_setaffinity(rival.pid, core)
        async with worker.job("compute", {"seconds": 0.1}) as results:
            began = time.perf_counter()
            await anext(results)
            assert 1 < results.cpu_wait_ms < (time.perf_counter() - began) * 1000
        rival.kill()
        await rival.wait()

    run(main)


@linux
def test_workers_are_nicer_the_less_somebody_waits_for_them() -> None:
    async def main() -> None:
        found = []
        for stage in ("stt", "tts", "llm", "turn"):
            async with (
                asyncio.timeout(PATIENCE_S),
                OnboardProvider("odd", ODD.target, dict, stage=stage) as provider,
            ):
                await provider.warm()
                assert provider.worker.pid
                found.append(os.getpriority(os.PRIO_PROCESS, provider.worker.pid))
        mine = os.getpriority(os.PRIO_PROCESS, 0)
        assert [niceness - mine for niceness in found] == sorted({*NICENESS.values()})

    asyncio.run(main())


def test_way_is_given_to_an_stt_only_and_not_for_ever() -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE_S),
            OnboardProvider("ears", ODD.target, dict, stage="stt") as stt,
            OnboardProvider("mind", ODD.target, lambda: {"other": True}, stage="llm") as llm,
            llm.worker.job("hang") as thoughts,
        ):
            await anext(thoughts)
            await give_way(600)  # nobody listens
            async with asyncio.TaskGroup() as tasks, stt.worker.job("hang") as words:
                await anext(words)
                await give_way(0.01)
                waiting = tasks.create_task(give_way(600))
                await give_way(0.01)
                assert not waiting.done()

    asyncio.run(main())


PARENT = """
import asyncio, sys
from workbench.providers.worker import WorkerSpec, Worker
async def main():
    async with Worker(WorkerSpec("odd/one", "tests.providers.jobs:open_odd")) as worker:
        async with worker.job(sys.argv[1]) as results:
            await anext(results)
            print(worker.pid, flush=True)
            await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["hang", "count"])
def test_a_killed_session_leaves_no_orphan(kind: str) -> None:
    """One that hangs in a native call, and one that is stopped."""
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, kind], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert alive(pid)
        deadline = time.monotonic() + PATIENCE_S
        while (
            kind == "count" and sys.platform == "linux" and state(pid) != "T" and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        parent.kill()
    deadline = time.monotonic() + PATIENCE_S
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(pid)


def running(pid: int) -> bool:
    """Not gone, and not a zombie that nobody waits for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except OSError:  # gone; or there is no /proc
        return sys.platform != "linux" and alive(pid)


def test_sessions_on_one_loop_share_a_worker_until_the_last_one_leaves() -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S):
            first, second = odd(), odd()
            await first.__aenter__()
            await first.warm()
            await second.__aenter__()
            pid = first.worker.pid
            assert pid
            assert second.worker is first.worker
            await first.__aexit__(None, None, None)
            assert alive(pid)
            assert await ask(second.worker, "echo") == [{"time": 0}]
            async with lease(WorkerSpec("odd/two", ODD.target, {"other": True})) as other:
                assert other is not second.worker
            await second.__aexit__(None, None, None)
            assert not alive(pid)
            async with first:  # a provider can be entered again
                await first.warm()

    asyncio.run(main())


def test_a_provider_that_is_not_entered_is_an_internal_error() -> None:
    with pytest.raises(InternalError, match="odd/one is used before it was entered"):
        _ = odd().worker


def test_missing_packages_and_weights_are_reported_when_a_provider_is_entered() -> None:
    def nothing() -> dict[str, str]:
        raise MissingError("the weights are not there", "pull them")

    async def main(provider: OnboardProvider) -> None:
        async with provider:
            pass

    for provider, says in (
        (OnboardProvider("odd/one", ODD.target, nothing, stage="stt"), "the weights are not there"),
        (
            OnboardProvider("odd/one", ODD.target, dict, ("no_such_package",), stage="stt"),
            "no_such_package for odd/one",
        ),
    ):
        with pytest.raises(MissingError, match=says):
            asyncio.run(main(provider))


def test_the_loop_goes_on_while_a_worker_works() -> None:
    async def main(worker: Worker) -> None:
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        async with asyncio.timeout(PATIENCE_S), worker.job("hang") as results:
            await anext(results)
            async with asyncio.TaskGroup() as tasks:
                ticking = tasks.create_task(tick())
                await eventually(lambda: turns > 100)
                ticking.cancel()

    run(main)


def test_a_virtual_clock_waits_for_a_worker() -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), Worker(ODD) as worker:
            await worker.warm()
            pid = worker.pid
            async with worker.job("count") as results:
                await anext(results)
            assert await ask(worker, "echo") == [{"time": 0}]
            assert worker.pid == pid  # its 500 ms were not skipped

    run_virtual(main())


def test_cancelling_a_warm_up_leaves_nothing_behind() -> None:
    async def main(worker: Worker) -> None:
        for pause_s in (0.0, 0.0005, 0.005, 0.02):
            warming: Awaitable[None] = asyncio.wait_for(worker.warm(), pause_s)
            try:
                await warming
            except TimeoutError:
                pass
        assert await ask(worker, "echo") == [{"time": 0}]

    run(main)
