"""A model in a process of its own: native calls can't be cancelled, hold memory, and crash.

    async with lease(Spec("piper/…", "workbench.providers.onboard.piper:open_model", {"weights": …})) as worker:
        async with worker.job("speak", {"text": "Hello."}) as results:
            async for header, payload in results: …

One job at a time, first come, first served; sessions on the same loop that ask for the same model share a worker.
Leaving a job early cancels it: the leaver is free at once, the worker has `OVERRUN_S` to stop, then it is killed. A
worker that dies, by itself or by us, fails the job it was doing and is started again for the next one. Nothing here is
a task: the process's pipes call back, so a worker can outlive the session that opened it while another still uses it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self, cast
from weakref import WeakKeyDictionary

from workbench.model.clock import outside
from workbench.model.errors import GarbageError, InternalError, StageError, WorkbenchError
from workbench.providers.onboard.framing import GarbledError, Header, Message, Unpacker, pack
from workbench.providers.onboard.process import from_wire, missing

OVERRUN_S = 0.5
"""How long a cancelled job may go on before its worker is killed."""
STDERR_KEPT = 4096
"""Bytes of a worker's last words that are kept for the error message."""


@dataclass(frozen=True)
class Spec:
    """Which model: `target` is a `module:function` that the worker calls with `options` (JSON) to get its `Handler`."""

    name: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for whoever can share a worker."""
        return json.dumps([self.target, self.options], sort_keys=True)


class Results:
    """What a job gives, in order: an async iterator of (header, payload). Raises the job's error at its end."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._news: asyncio.Queue[Message | WorkbenchError | None] = asyncio.Queue()

    def put(self, news: Message | WorkbenchError | None) -> None:
        """A result, the error it ended with, or None for its good end."""
        self._news.put_nowait(news)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        with outside():
            news = await self._news.get()
        if isinstance(news, tuple):
            return news
        self._news.put_nowait(news)  # whoever asks again hears the same
        if news is None:
            raise StopAsyncIteration
        raise news


class Process(asyncio.SubprocessProtocol):
    """One run of the worker process, from its start to its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._unpacker = Unpacker()
        self._stderr = bytearray()
        self._job: Results | None = None
        self._overrun: asyncio.TimerHandle | None = None
        self._pending = ExitStack()
        self._failure: WorkbenchError | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self.opened = asyncio.Event()
        """It has loaded its model, or is gone."""
        self.idle = asyncio.Event()
        """It does nothing, or is gone."""
        self.gone = asyncio.Event()
        """It has ended, and its pipes are closed."""
        self.idle.set()

    @classmethod
    async def start(cls, spec: Spec) -> Process:
        """Start a process and tell it what to open; `opened` is set when it has."""
        loop = asyncio.get_running_loop()
        paths = [path for path in sys.path if path]
        with outside():
            transport, process = await loop.subprocess_exec(
                lambda: cls(spec.name),
                *(sys.executable, "-P", "-m", "workbench.providers.onboard"),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # a Ctrl-C in the terminal is not for it
            )
        process._transport = transport
        process._write(pack({"open": spec.target, "options": spec.options}))
        return process

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._transport.get_pid() if self._transport else None

    @property
    def failure(self) -> WorkbenchError:
        """Why it ended; to be asked when it is gone."""
        if self._failure:
            return self._failure
        code = self._transport.get_returncode() if self._transport else None
        how = f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
        said = _last_words(self._stderr)
        return StageError(
            f"the worker process of {self._name} {how}" + (f": {said}" if said else ""),
            "it is started again for the next turn",
        )

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def begin(self, number: int, kind: str, header: Header, payload: bytes) -> Results:
        """Give it a job; it must be idle."""
        self.idle.clear()
        self._job = Results(number)
        self._write(pack({"job": number, "kind": kind, "header": header}, payload))
        return self._job

    def leave(self, results: Results) -> None:
        """Nobody waits for the job's results any more: if it still runs, it has `OVERRUN_S` to stop."""
        if self._job is not results:
            return
        self._write(pack({"cancel": results.number}))
        self._overrun = asyncio.get_running_loop().call_later(OVERRUN_S, self._kill, None)
        self._pending.enter_context(outside())

    def close(self) -> None:
        """End it at once; `gone` follows."""
        if self._transport:
            self._transport.close()

    def _write(self, message: bytes) -> None:
        pipe = self._transport and self._transport.get_pipe_transport(0)
        if pipe and not pipe.is_closing():
            cast(asyncio.WriteTransport, pipe).write(message)

    def _kill(self, why: WorkbenchError | None) -> None:
        self._failure = self._failure or why
        if self._transport and self._transport.get_returncode() is None:
            self._transport.kill()

    def _end(self, news: WorkbenchError | None) -> None:
        """The job is over, well or with an error."""
        if self._overrun:
            self._overrun.cancel()
        self._pending.close()
        if self._job:
            self._job.put(news)
        self._job = None
        self.idle.set()

    # -- what the process says ----------------------------------------------------------------------------------------

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Bytes from its standard output (messages) or standard error (kept)."""
        if fd == 2:
            self._stderr += data
            del self._stderr[:-STDERR_KEPT]
            return
        try:
            for header, payload in self._unpacker.feed(data):
                self._hear(header, payload)
        except (GarbledError, KeyError) as error:
            self._kill(
                GarbageError(
                    f"the worker process of {self._name} sent garbage: {error}", "it is started again"
                )
            )

    def _hear(self, header: dict[str, Any], payload: bytes) -> None:
        if "ready" in header:
            self.opened.set()
        elif "failed" in header:
            self._failure = from_wire(header["failed"])
        elif self._job is None or header["job"] != self._job.number:
            raise GarbledError(f"a result of job {header['job']}, which it was not given")
        elif "result" in header:
            self._job.put((header["result"], payload))
        else:
            self._end(from_wire(header["end"]) if header["end"] else None)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, and everything it said was heard."""
        self.close()
        self.gone.set()
        self._end(self.failure)
        self.opened.set()


class Worker:
    """A model's worker: starts its process when it is needed, and again when it has died. See the module."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._jobs = 0
        self.starts = 0
        """Processes started so far."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        process, self._process = self._process, None
        if process:
            process.close()
            with outside():
                await process.gone.wait()

    @property
    def pid(self) -> int | None:
        """Id of the running process, None if there is none."""
        return self._process.pid if self._process and not self._process.gone.is_set() else None

    async def warm(self) -> None:
        """Start the process and load the model. Raises MissingError (weights, package), StageError."""
        async with self._alone():
            pass

    @asynccontextmanager
    async def job(
        self, kind: str, header: Header | None = None, payload: bytes = b""
    ) -> AsyncIterator[Results]:
        """Do a job when those before are done. Raises MissingError, StageError, here or from the results."""
        async with self._alone() as process:
            self._jobs += 1
            results = process.begin(self._jobs, kind, header or {}, payload)
            try:
                yield results
            finally:
                process.leave(results)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Process]:
        """The process, opened and idle, for one caller at a time."""
        with outside():
            await self._turn.acquire()
        try:
            yield await self._ready()
        finally:
            self._turn.release()

    async def _ready(self) -> Process:
        with outside():
            if self._process:
                await self._process.idle.wait()
            if self._process is None or self._process.gone.is_set():
                self._process = await Process.start(self.spec)
                self.starts += 1
            await self._process.opened.wait()
        if self._process.gone.is_set():
            raise self._process.failure
        return self._process


def _last_words(stderr: bytearray) -> str:
    """The last line of what a process printed, without what could move a cursor."""
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return "".join(sign if sign.isprintable() else " " for sign in lines[-1].strip())[:300] if lines else ""


@dataclass
class _Shared:
    worker: Worker
    tenants: int = 0


_workers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def lease(spec: Spec) -> AsyncIterator[Worker]:
    """The worker for a model, shared by all on this loop; the last one out ends its process."""
    here = _workers.setdefault(asyncio.get_running_loop(), {})
    shared = here.setdefault(spec.key, _Shared(Worker(spec)))
    shared.tenants += 1
    try:
        yield shared.worker
    finally:
        shared.tenants -= 1
        if not shared.tenants:
            del here[spec.key]
            await shared.worker.__aexit__()


class OnBoard:
    """A provider whose model runs in a worker: entered, it holds a lease.

    `find` gives the options for the worker: verified files. It runs in a thread, because hashing takes 60 ms per 100 MB
    and up to a second; it raises MissingError. `needs` are the packages that the worker will import.
    """

    def __init__(
        self, name: str, target: str, find: Callable[[], Mapping[str, Any]], needs: Sequence[str] = ()
    ) -> None:
        self.name = name
        self._target = target
        self._find = find
        self._needs = needs
        self._lease = AsyncExitStack()
        self._worker: Worker | None = None

    async def __aenter__(self) -> Self:
        """Raises MissingError where weights or packages are not there, and refuses files with a wrong hash."""
        for package in self._needs:
            if importlib.util.find_spec(package) is None:
                raise missing(ModuleNotFoundError(f"{package} for {self.name}"))
        options = await asyncio.to_thread(self._find)
        self._worker = await self._lease.enter_async_context(lease(Spec(self.name, self._target, options)))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._worker = None
        await self._lease.aclose()

    @property
    def worker(self) -> Worker:
        """The worker; InternalError where the provider was not entered."""
        if self._worker is None:
            raise InternalError(f"{self.name} is used before it was entered", "use it inside `async with`")
        return self._worker

    @property
    def starts(self) -> int:
        """How often the model was loaded: once, and again after each death of its process."""
        return self._worker.starts if self._worker else 0

    async def warm(self) -> None:
        """Start the process, load the model and use it once. Raises MissingError, StageError."""
        async with self.worker.job("warm") as results:
            async for _ in results:
                pass
