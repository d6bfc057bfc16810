"""Worker processes for models on board: native calls can't be cancelled, hold memory, and crash.

    async with lease(WorkerSpec("piper/…", "workbench.providers.onboard.piper:open_model", {…})) as worker:
        async with worker.job("speak", {"text": "Hello."}) as results:
            async for header, payload in results: …

One job at a time, first come, first served; sessions on the same loop that ask for the same model share a worker.
A result that nobody waits for pauses it: its process is stopped (SIGSTOP), so that the CPU is free for what somebody
waits for, and goes on when one is asked for. What is cancelled, or in the way of another job, goes on at once.
Leaving a job early cancels it: the caller is free at once, the worker has `OVERRUN_S` to stop, then it is killed. A
worker that dies fails its job and is started again for the next one. There are no tasks: the process's pipes call
back, so a worker can outlive the session that opened it while another one uses it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast
from weakref import WeakKeyDictionary

from workbench.model.clock import outside
from workbench.model.errors import GarbageError, InternalError, StageError, WorkbenchError
from workbench.providers.onboard.framing import GarbledError, Header, Message, Unpacker, pack
from workbench.providers.onboard.process import decode_error, missing_package

OVERRUN_S = 0.5
"""How long a cancelled job may go on before its worker is killed."""
PATIENCE_S = 0.003
"""A worker goes on for so long after a result, s: whoever reads results asks for the next one within a millisecond."""
NICENESS = {"stt": 1, "tts": 2, "llm": 3, "turn": 7}
"""Of workers, by what the user waits for first: the words, the first clause's voice, the answer's next words, and
whether the user has finished. The loop that moves the audio goes before all of them."""
STDERR_BYTES = 4096
"""The end of a worker's standard error, for the error message."""


@dataclass(frozen=True)
class WorkerSpec:
    """The model of a worker: it calls `target` (`module:function`) with `options` (JSON) to get its `Handler`."""

    name: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    niceness: int = 1

    @property
    def key(self) -> str:
        """Equal for sessions that can share a worker."""
        return json.dumps([self.target, self.options], sort_keys=True)


class JobResults:
    """The results of a job: an async iterator of (header, payload). Raises the job's error at its end.

    `pace` is called when a result is there, when one is asked for, and when that was read.
    """

    def __init__(self, number: int, pace: Callable[[JobResults], None]) -> None:
        self.number = number
        self._pace = pace
        self._queue: asyncio.Queue[Message | WorkbenchError | None] = asyncio.Queue()
        self.awaited = False
        """Whether somebody waits for the next result."""
        self.cpu_wait_ms = 0.0
        """How long the job has waited for a CPU: the thread that waited longest."""

    @property
    def unread(self) -> int:
        """How many results nobody has read."""
        return self._queue.qsize()

    def put(self, item: Message | WorkbenchError | None) -> None:
        """Add a result, the error it ended with, or None for its good end."""
        self._queue.put_nowait(item)
        self._pace(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        self.awaited = self._queue.empty()
        try:
            if self.awaited:
                self._pace(self)
            with outside():
                item = await self._queue.get()
        finally:
            self.awaited = False
            asyncio.get_running_loop().call_later(PATIENCE_S, self._pace, self)
        if isinstance(item, tuple):
            return item
        self._queue.put_nowait(item)  # the same for another call
        if item is None:
            raise StopAsyncIteration
        raise item


class WorkerProcess(asyncio.SubprocessProtocol):
    """A run of the worker process, from its start to its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._unpacker = Unpacker()
        self._stderr = bytearray()
        self._job: JobResults | None = None
        self._overrun: asyncio.TimerHandle | None = None
        self._pending = ExitStack()
        self._failure: WorkbenchError | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._killed = False
        self.paused = False
        """Whether it is stopped, until its results are read."""
        self.wanted = False
        """Whether another job waits for it, so that it is not paused."""
        self.opened = asyncio.Event()
        """Set when it has loaded its model, or has ended."""
        self.idle = asyncio.Event()
        """Set while it has no job, or when it has ended."""
        self.ended = asyncio.Event()
        """Set when it has ended, and its pipes are closed."""
        self.idle.set()

    @classmethod
    async def start(cls, spec: WorkerSpec) -> WorkerProcess:
        """Start a process and have it open the model; `opened` is set when it has."""
        loop = asyncio.get_running_loop()
        paths = [path for path in sys.path if path]
        with outside():
            transport, process = await loop.subprocess_exec(
                lambda: cls(spec.name),
                *(sys.executable, "-P", "-m", "workbench.providers.onboard"),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                # a Ctrl-C in the terminal is not for it. A session of its own would be a scheduling group of its own on
                # Linux, in which no niceness counts against others; and of a group in ours that is stopped when we
                # are killed, the system wakes and ends what is in it
                process_group=0,
            )
        process._transport = transport
        process._write(pack({"open": spec.target, "options": spec.options, "niceness": spec.niceness}))
        return process

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._transport.get_pid() if self._transport else None

    @property
    def failure(self) -> WorkbenchError:
        """The reason of its end, once it has ended."""
        if self._failure:
            return self._failure
        code = self._transport.get_returncode() if self._transport else None
        how = f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
        line = _last_line(self._stderr)
        return StageError(
            f"the worker process of {self._name} {how}" + (f": {line}" if line else ""),
            "it is started again for the next turn",
        )

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def begin(self, number: int, kind: str, header: Header, payload: bytes) -> JobResults:
        """Start a job; the process must be idle."""
        self.idle.clear()
        self._job = JobResults(number, self.pace)
        self._write(pack({"job": number, "kind": kind, "header": header}, payload))
        return self._job

    def leave(self, results: JobResults) -> None:
        """Cancel the job if it still runs; it has `OVERRUN_S` to stop."""
        if self._job is not results:
            return
        self._write(pack({"cancel": results.number}))
        self._stop(False)
        self._overrun = asyncio.get_running_loop().call_later(OVERRUN_S, self._kill, None)
        self._pending.enter_context(outside())

    def pace(self, results: JobResults | None = None) -> None:
        """Pause the process while nobody waits for the next result of its job; those of another job do not count."""
        if results is None or results is self._job:
            self._stop(self._job is not None and not (self._job.awaited or self.wanted or self._overrun))

    def _stop(self, paused: bool) -> None:
        if paused != self.paused and self.pid and not self.ended.is_set():
            self.paused = paused
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, signal.SIGSTOP if paused else signal.SIGCONT)

    def close(self) -> None:
        """End the process at once; `ended` follows."""
        if self._transport:
            self._transport.close()

    def _write(self, message: bytes) -> None:
        pipe = self._transport and self._transport.get_pipe_transport(0)
        if pipe and not pipe.is_closing():
            cast(asyncio.WriteTransport, pipe).write(message)

    def _kill(self, reason: WorkbenchError | None) -> None:
        self._failure = self._failure or reason
        if self._transport and self._transport.get_returncode() is None:
            self._killed = True
            self._transport.kill()

    def _end_job(self, error: WorkbenchError | None) -> None:
        """End the job, well or with an error."""
        if self._overrun:
            self._overrun.cancel()
            self._overrun = None
        self._pending.close()
        job, self._job = self._job, None
        if job:
            job.put(error)
        self.idle.set()

    # -- messages of the process --------------------------------------------------------------------------------------

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take bytes of its standard output (messages) or standard error (kept)."""
        if fd == 2:
            self._stderr += data
            del self._stderr[:-STDERR_BYTES]
            return
        if self._killed:  # else the next job would be given to a process that is on its way out
            return
        try:
            for header, payload in self._unpacker.feed(data):
                self._handle(header, payload)
        except (GarbledError, KeyError) as error:
            reason = f"the worker process of {self._name} sent garbage: {error}"
            self._kill(GarbageError(reason, "it is started again"))

    def _handle(self, header: dict[str, Any], payload: bytes) -> None:
        if "ready" in header:
            self.opened.set()
        elif "failed" in header:
            self._failure = decode_error(header["failed"])
        elif self._job is None or header["job"] != self._job.number:
            raise GarbledError(f"a result of job {header['job']}, which it was not given")
        elif "result" in header:
            self._job.cpu_wait_ms = header["cpu_wait_ms"]
            self._job.put((header["result"], payload))
        else:
            self._end_job(decode_error(header["end"]) if header["end"] else None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the process has ended; all its messages were handled before."""
        self.close()
        self.ended.set()
        self._end_job(self.failure)
        self.opened.set()


class Worker:
    """The worker of a model: starts its process for the first job, and again when it has died. See the module."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self._process: WorkerProcess | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._jobs = 0
        self.starts = 0
        """Processes so far."""
        self.leases = 0
        """Providers that use it; see `lease`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        process, self._process = self._process, None
        if process:
            process.close()
            with outside():
                await process.ended.wait()

    @property
    def pid(self) -> int | None:
        """Id of the running process, None if there is none."""
        return self._process.pid if self._process and not self._process.ended.is_set() else None

    async def rest(self) -> None:
        """Wait until it has nothing to do."""
        while self._process and not self._process.idle.is_set():
            await self._process.idle.wait()
            await asyncio.sleep(0)  # its next job may have waited, too

    async def warm(self) -> None:
        """Start the process and load the model. Raises MissingError (weights, package), StageError."""
        async with self._exclusive():
            pass

    @asynccontextmanager
    async def job(
        self, kind: str, header: Header | None = None, payload: bytes = b""
    ) -> AsyncIterator[JobResults]:
        """Do a job after those before. Raises MissingError, StageError, here or from the results."""
        async with self._exclusive() as process:
            self._jobs += 1
            results = process.begin(self._jobs, kind, header or {}, payload)
            try:
                yield results
            finally:
                process.leave(results)

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[WorkerProcess]:
        """Give the process, opened and idle, to one caller at a time."""
        self._wait(1)
        try:
            with outside():
                await self._turn.acquire()
        finally:
            self._wait(-1)
        try:
            yield await self._ready()
        finally:
            self._turn.release()

    def _wait(self, more: int) -> None:
        """Count a job that waits: the one before it is not paused meanwhile."""
        self._waiting += more
        if self._process:
            self._process.wanted = self._waiting > 0
            self._process.pace()

    async def _ready(self) -> WorkerProcess:
        with outside():
            if self._process:
                await self._process.idle.wait()
            if self._process is None or self._process.ended.is_set():
                self._process = await WorkerProcess.start(self.spec)
                self.starts += 1
            await self._process.opened.wait()
        if self._process.ended.is_set():
            raise self._process.failure
        return self._process


def _last_line(stderr: bytearray) -> str:
    """Return the last line that a process printed, without characters that could move a cursor."""
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    return "".join(character if character.isprintable() else " " for character in last)[:300]


_workers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Worker]] = WeakKeyDictionary()


@asynccontextmanager
async def lease(spec: WorkerSpec) -> AsyncIterator[Worker]:
    """Give the worker of a model, shared by all on this loop; its process ends with the last lease."""
    workers = _workers.setdefault(asyncio.get_running_loop(), {})
    worker = workers.setdefault(spec.key, Worker(spec))
    worker.leases += 1
    try:
        yield worker
    finally:
        worker.leases -= 1
        if not worker.leases:
            del workers[spec.key]
            await worker.__aexit__()


async def give_way(longest_s: float) -> None:
    """Wait until no STT of this loop has anything to do, so long at most: it gets all cores."""
    workers = list(_workers.get(asyncio.get_running_loop(), {}).values())
    with suppress(TimeoutError), outside():
        async with asyncio.timeout(longest_s):
            for worker in workers:
                if worker.spec.niceness == NICENESS["stt"]:
                    await worker.rest()


class OnboardProvider:
    """A provider whose model runs in a worker; it holds a lease while it is entered.

    `find` returns the options for the worker: verified files. It runs in a thread, because hashing takes 60 ms per
    100 MB and up to a second; it raises MissingError. `packages` are those that the worker will import.
    """

    onboard = True

    def __init__(
        self,
        name: str,
        target: str,
        find: Callable[[], Mapping[str, Any]],
        packages: Sequence[str] = (),
        *,
        stage: Literal["stt", "llm", "tts", "turn"],
    ) -> None:
        self.name = name
        self._niceness = NICENESS[stage]
        self._target = target
        self._find = find
        self._packages = packages
        self._lease = AsyncExitStack()
        self._worker: Worker | None = None

    async def __aenter__(self) -> Self:
        """Raises MissingError where weights or packages are missing, or a file has a wrong hash."""
        for package in self._packages:
            if importlib.util.find_spec(package) is None:
                raise missing_package(ModuleNotFoundError(f"{package} for {self.name}"))
        options = await asyncio.to_thread(self._find)
        self._worker = await self._lease.enter_async_context(
            lease(WorkerSpec(self.name, self._target, options, self._niceness))
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        self._worker = None
        await self._lease.aclose()

    @property
    def worker(self) -> Worker:
        """The worker. InternalError before the provider is entered."""
        if self._worker is None:
            raise InternalError(f"{self.name} is used before it was entered", "use it inside `async with`")
        return self._worker

    @property
    def starts(self) -> int:
        """How often the model was loaded: once, and again after each end of its process."""
        return self._worker.starts if self._worker else 0

    async def warm(self) -> None:
        """Start the process, load the model and use it once. Raises MissingError, StageError."""
        async with self.worker.job("warm") as results:
            async for _ in results:
                pass
