"""The worker process: holds one model, and does one job at a time.

    in     {"open": "module:function", "options": {…}, "niceness": n}   first, once
           {"job": n, "kind": …, "header": {…}} + bytes     one at a time, n ascends
           {"cancel": n}
    out    {"ready": true} or {"failed": error}
           {"job": n, "result": {…}, "cpu_wait_ms": ms} + bytes   any number of them; ms since the job began
           {"job": n, "end": null or error}

`module:function` is called with the options and returns a `Handler`. The process ends when its standard input does: the
session has ended then, even by `kill -9`. An exception that is not a `WorkbenchError` ends it too; it is started again.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from workbench.model import errors
from workbench.model.errors import MissingError, StageError, WorkbenchError
from workbench.providers.onboard.framing import GarbledError, Header, Unpacker, pack

SPINS = "1000"
"""How often a thread of OpenMP polls before it sleeps. By default it polls for milliseconds, and two threads that wait
for each other on two cores, one of them busy with other work, then make 2 tokens/s instead of 31. OpenBLAS, for numpy,
is worse: after a transcription's 2 ms of work its second thread polled for 70 ms of the other core."""


@dataclass
class WorkerJob:
    """A job: its input, and where the results go."""

    pipes: WorkerPipes
    number: int
    kind: str
    header: dict[str, Any]
    payload: bytes
    delays: dict[str, int] = field(default_factory=lambda: run_delays())
    """Those of the threads when it began."""

    @property
    def cancelled(self) -> bool:
        """Whether the session has left it: return as soon as possible."""
        return self.pipes.cancelled >= self.number

    def when_cancelled(self, stop: Callable[[], None]) -> None:
        """Have another thread call `stop` when the job is cancelled: for native calls that can be ended."""
        self.pipes.stop = stop
        if self.cancelled:
            stop()

    def send(self, header: Header, payload: bytes = b"") -> None:
        """Send a result, unless the job is cancelled."""
        if not self.cancelled:
            waits = (delay - self.delays.get(thread, 0) for thread, delay in run_delays().items())
            cpu_wait_ms = round(max(waits, default=0) / 1e6, 1)
            self.pipes.send({"job": self.number, "result": header, "cpu_wait_ms": cpu_wait_ms}, payload)


def run_delays() -> dict[str, int]:
    """Return how long each thread was ready to run and had no CPU, ns; {} where the system does not tell (not Linux).

    60 µs for five threads.
    """
    delays = {}
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # it has just ended
            delays[thread.parent.name] = int(thread.read_text().split()[1])
    return delays


Handler = Callable[[WorkerJob], None]
"""Does a job and sends its results; raises a `WorkbenchError` for failures that are to be expected."""


class WorkerPipes:
    """Both pipes of the process. A thread reads, so that a cancel arrives during a native call."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._lock = threading.Lock()
        self.cancelled = -1
        """Number of the last cancelled job."""
        self.stop: Callable[[], None] = _ignore
        """Stops the present job; it may be called late, when the job has ended by itself."""
        self.messages: SimpleQueue[tuple[dict[str, Any], bytes]] = SimpleQueue()

    def send(self, header: Header, payload: bytes = b"") -> None:
        """Write a message. Ends the process where the session has ended."""
        message = memoryview(pack(header, payload))
        with self._lock:
            try:
                while message:
                    message = message[os.write(self._target, message) :]
            except OSError:
                os._exit(0)

    def read(self) -> None:
        """Read until the other side closes, then end the process, whatever it is doing."""
        unpacker = Unpacker()
        try:
            while data := os.read(self._source, 1 << 16):
                for header, payload in unpacker.feed(data):
                    if "cancel" in header:
                        self.cancelled = int(header["cancel"])
                        self.stop()
                    else:
                        self.messages.put((header, payload))
        except (GarbledError, OSError) as error:
            print(f"worker: {error}", file=sys.stderr, flush=True)  # noqa: T201  # its own stderr, kept by the parent
            os._exit(1)
        os._exit(0)


def _ignore() -> None:
    """Stop nothing: there is no native call."""


def encode_error(error: WorkbenchError) -> dict[str, str]:
    """Return an error as a header."""
    return {"type": type(error).__name__, "reason": error.reason, "hint": error.hint}


def decode_error(header: dict[str, str]) -> WorkbenchError:
    """Return the error of a header; a `StageError` where its type is unknown."""
    kind = getattr(errors, str(header.get("type")), StageError)
    is_ours = isinstance(kind, type) and issubclass(kind, WorkbenchError)
    return (kind if is_ours else StageError)(str(header.get("reason")), str(header.get("hint", "")))


def missing_package(error: ImportError) -> MissingError:
    """Return the error for an import that failed: what to install."""
    if "libgomp" in str(error):
        hint = "install it (Debian, Ubuntu: apt-get install libgomp1)"
        return MissingError("the system package libgomp1 is not installed", hint)
    hint = "install it with: pip install 'voice-workbench[local]'"
    return MissingError(f"the models on board need a package that is not here: {error}", hint)


def open_handler(target: str, options: dict[str, Any]) -> Handler:
    """Import `module:function` and call it. Raises WorkbenchError."""
    module, _, function = target.partition(":")
    try:
        handler: Handler = getattr(importlib.import_module(module), function)(**options)
    except ImportError as error:
        raise missing_package(error) from error
    return handler


def serve(pipes: WorkerPipes) -> None:
    """Open the model and do its jobs, one after the other."""
    header, _ = pipes.messages.get()
    os.nice(header["niceness"])
    try:
        handler = open_handler(header["open"], header["options"])
    except WorkbenchError as error:
        pipes.send({"failed": encode_error(error)})
        return
    pipes.send({"ready": True})
    while True:
        header, payload = pipes.messages.get()
        pipes.stop = _ignore
        job = WorkerJob(pipes, header["job"], header["kind"], header["header"], payload)
        end = None
        try:
            handler(job)
        except WorkbenchError as error:
            end = encode_error(error)
        pipes.send({"job": job.number, "end": end})


def main() -> None:
    """Serve on copies of the pipes: native libraries print to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the session's business
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    source, target = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    pipes = WorkerPipes(source, target)
    threading.Thread(target=pipes.read, daemon=True).start()
    serve(pipes)
