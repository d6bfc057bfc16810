from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from workbench.model.clock import outside
from workbench.simulation.clock import Deadlock, VirtualLoop, run_virtual


def test_an_hour_of_sleeps_is_over_at_once() -> None:
    async def main() -> float:
        for _ in range(180_000):
            await asyncio.sleep(0.02)
        return asyncio.get_running_loop().time()

    began = time.process_time()
    assert run_virtual(main()) == pytest.approx(3600)
    assert time.process_time() - began < 10  # 2 s; the bound is for a machine under load


def test_same_order_every_time() -> None:
    async def worker(name: int, log: list[tuple[float, int]]) -> None:
        for step in range(20):
            await asyncio.sleep(((name * 7 + step * 3) % 5) / 100)
            log.append((asyncio.get_running_loop().time(), name))

    async def main() -> list[tuple[float, int]]:
        log: list[tuple[float, int]] = []
        async with asyncio.TaskGroup() as tasks:
            for name in range(20):
                tasks.create_task(worker(name, log))
        return log

    first = run_virtual(main())
    assert first == run_virtual(main())
    assert [at for at, _ in first] == sorted(at for at, _ in first)


def test_a_task_group_cancels_its_tasks_in_the_same_order_every_time() -> None:
    async def worker(name: int, log: list[int]) -> None:
        try:
            await asyncio.sleep(1)
        finally:
            log.append(name)

    async def group(log: list[int]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name in range(20):
                tasks.create_task(worker(name, log))
            await asyncio.sleep(0.5)
            raise ValueError

    async def main() -> list[int]:
        log: list[int] = []
        with pytest.raises(ExceptionGroup):
            await group(log)
        return log

    first = run_virtual(main())
    others = [object() for _ in range(1001)]  # so that the next tasks have other addresses
    assert run_virtual(main()) == first
    del others


def test_timers_of_one_time_run_in_the_order_they_were_set() -> None:
    async def main() -> list[int]:
        order: list[int] = []
        loop = asyncio.get_running_loop()
        timers = [loop.call_at(1.0, order.append, number) for number in range(50)]
        for timer in timers[::3]:
            timer.cancel()
        await asyncio.sleep(2)
        return order

    assert run_virtual(main()) == [number for number in range(50) if number % 3]


def test_timeouts_are_virtual() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await asyncio.Event().wait()
        return loop.time()

    assert run_virtual(main()) == 100


def test_a_deadlock_is_an_error_that_names_the_waiting_tasks() -> None:
    async def waits_for_nothing() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(1.5)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(waits_for_nothing(), name="lonely")

    with pytest.raises(Deadlock, match=r"deadlock at 1\.500 s.*lonely at .*\(Event\.wait\)"):
        run_virtual(main())


def test_a_deadlock_cancels_the_waiting_tasks() -> None:
    left: list[str] = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("cleaned up")

    with pytest.raises(Deadlock):
        run_virtual(main())
    assert left == ["cleaned up"]


def test_executor_jobs_run_here_in_order_while_the_clock_stands() -> None:
    async def main() -> tuple[list[int], float, set[int]]:
        loop = asyncio.get_running_loop()
        order: list[int] = []
        threads: set[int] = set()

        def job(number: int) -> int:
            threads.add(threading.get_ident())
            order.append(number)
            return number

        results = await asyncio.gather(*(loop.run_in_executor(None, job, number) for number in range(5)))
        results.append(await asyncio.to_thread(job, 5))
        assert results == order
        return order, loop.time(), threads

    assert run_virtual(main()) == ([0, 1, 2, 3, 4, 5], 0.0, {threading.get_ident()})


def test_executor_jobs_fail_and_are_cancelled_like_any() -> None:
    async def main() -> list[str]:
        ran: list[str] = []
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        job = asyncio.get_running_loop().run_in_executor(None, ran.append, "never")
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        return ran

    assert run_virtual(main()) == []


def test_a_job_for_an_executor_of_its_own_runs_there_while_the_clock_stands() -> None:
    async def main() -> tuple[list[object], float]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as threads:
            found: list[object] = [await loop.run_in_executor(threads, threading.get_ident)]
            with pytest.raises(ZeroDivisionError):
                await loop.run_in_executor(threads, lambda: 1 / 0)
            never = loop.run_in_executor(threads, found.append, "never")
            never.cancel()
            await asyncio.sleep(0)
        return found, loop.time()

    found, passed_s = run_virtual(main())
    assert passed_s == 0.0
    assert len(found) == 1
    assert found != [threading.get_ident()]


def test_a_job_for_an_executor_of_its_own_that_hangs_meets_its_deadline() -> None:
    """As code of strangers may: `workbench run --fast` goes on, and Ctrl-C reaches it."""
    let_go = threading.Event()

    async def main() -> tuple[float, bool]:
        loop = asyncio.get_running_loop()
        threads = ThreadPoolExecutor(2)
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.run_in_executor(threads, let_go.wait, 60), 0.05)
            hung_for_s = loop.time()
            await asyncio.sleep(3600)  # at once: nobody waits for it any more
            slow = loop.run_in_executor(threads, let_go.wait, 60)
            loop.call_later(0.05, let_go.set)
            return hung_for_s, await slow
        finally:
            let_go.set()
            threads.shutdown(wait=False)

    began = time.monotonic()
    hung_for_s, slow_came = run_virtual(main())
    assert 0.05 <= hung_for_s < 30
    assert slow_came
    assert time.monotonic() - began < 50


def test_outside_a_process_time_is_real() -> None:
    async def main() -> tuple[bytes, float]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1000)
        with outside():
            program = "import time; time.sleep(0.1); print('hello')"
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
            )
            said, _ = await process.communicate()
        ended = loop.time()
        await asyncio.sleep(1000)
        assert loop.time() == ended + 1000
        return said.strip(), ended - 1000

    began = time.monotonic()
    said, took = run_virtual(main())
    assert said == b"hello"
    assert 0.1 <= took <= time.monotonic() - began


def test_outside_a_socket_both_sides_talk() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def main() -> bytes:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            with outside():
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"hello\n")
                said = await reader.readline()
                writer.close()
                await writer.wait_closed()
        return said

    assert run_virtual(main()) == b"HELLO\n"


def test_outside_nests_and_other_timers_keep_real_pace() -> None:
    async def ticks(log: list[float]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.02)
            log.append(loop.time())

    async def work() -> None:
        with outside(), outside():
            await asyncio.to_thread(time.sleep, 0.1)

    async def main() -> int:
        log: list[float] = []
        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(ticks(log))
            await work()
            ticking.cancel()
        return len(log)

    assert 1 <= run_virtual(main()) <= 10


def test_a_job_begun_outside_keeps_time_real_until_it_is_done() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with outside():
            job = loop.run_in_executor(None, time.sleep, 0.05)
        await job
        return loop.time()

    assert 0.05 <= run_virtual(main()) < 10


def test_outside_does_nothing_on_other_loops() -> None:
    async def main() -> bool:
        with outside():
            return True

    assert asyncio.run(main())


def test_a_signal_arrives() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        caught = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, caught.set)
        signal.raise_signal(signal.SIGUSR1)
        for _ in range(1000):
            await asyncio.sleep(0.02)
            if caught.is_set():
                break
        return loop.time()

    assert run_virtual(main()) < 10


def test_a_signal_is_handled_before_a_deadlock() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        caught: asyncio.Future[str] = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, caught.set_result, "caught")
        loop.call_soon(signal.raise_signal, signal.SIGUSR1)
        return await caught

    assert run_virtual(main()) == "caught"


def test_the_loop_closes_cleanly() -> None:
    loop = VirtualLoop()
    loop.run_until_complete(asyncio.sleep(5))
    assert loop.time() == 5
    loop.close()
    assert loop.is_closed()
