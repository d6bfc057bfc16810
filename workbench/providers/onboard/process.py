"""The worker process: holds one model, and does one job at a time.

    in     {"open": "module:function", "options": {…}}      first, once
           {"job": n, "kind": …, "header": {…}} + bytes     one at a time, n ascends
           {"cancel": n}
    out    {"ready": true} or {"failed": error}
           {"job": n, "result": {…}} + bytes                any number of them
           {"job": n, "end": null or error}

`module:function` is called with the options and gives a `Handler`. The process ends when its standard input does:
whoever started it is gone then, even by `kill -9`. An exception that is not a `WorkbenchError` ends it too; it is
started again.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from workbench.model import errors
from workbench.model.errors import MissingError, StageError, WorkbenchError
from workbench.providers.onboard.framing import GarbledError, Header, Unpacker, pack

NICE = 1
"""The loop that moves the audio goes first."""
SPINS = "1000"
"""How often a thread of OpenMP looks before it sleeps. By default it looks for milliseconds, and two threads that wait
for each other on two cores, one of them busy with something else, then make 2 tokens/s instead of 31."""


class Job:
    """One job: what is asked, and where the results go."""

    def __init__(self, wire: Wire, number: int, kind: str, header: dict[str, Any], payload: bytes) -> None:
        self._wire = wire
        self.number = number
        self.kind = kind
        self.header = header
        self.payload = payload

    @property
    def cancelled(self) -> bool:
        """Nobody waits any more: return as soon as possible."""
        return self._wire.cancelled >= self.number

    def when_cancelled(self, stop: Callable[[], None]) -> None:
        """Have `stop` called when the job is cancelled, by another thread: for native calls that can be told to end."""
        self._wire.stop = stop
        if self.cancelled:
            stop()

    def send(self, header: Header, payload: bytes = b"") -> None:
        """Hand over a result, unless nobody waits for it."""
        if not self.cancelled:
            self._wire.send({"job": self.number, "result": header}, payload)


Handler = Callable[[Job], None]
"""Does a job and sends its results; raises a `WorkbenchError` for what is to be expected."""


class Wire:
    """Both pipes. The reading side is a thread, so that a cancel is heard during a native call."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._lock = threading.Lock()
        self.cancelled = -1
        """Number of the last job that was cancelled."""
        self.stop: Callable[[], None] = _nothing
        """What stops the present job; it may be called late, when the job has ended by itself."""
        self.messages: SimpleQueue[tuple[dict[str, Any], bytes]] = SimpleQueue()

    def send(self, header: Header, payload: bytes = b"") -> None:
        """Write a message. Ends the process where nobody is left to read it."""
        message = memoryview(pack(header, payload))
        with self._lock:
            try:
                while message:
                    message = message[os.write(self._target, message) :]
            except OSError:
                os._exit(0)

    def read(self) -> None:
        """Read until the other side is gone, then end the process, whatever it is doing."""
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


def _nothing() -> None:
    """Stops nothing."""


def to_wire(error: WorkbenchError) -> dict[str, str]:
    """An error as a header."""
    return {"type": type(error).__name__, "reason": error.reason, "hint": error.hint}


def from_wire(header: dict[str, str]) -> WorkbenchError:
    """The error that a header tells of; a `StageError` where its type is unknown."""
    found = getattr(errors, str(header.get("type")), StageError)
    kind = found if isinstance(found, type) and issubclass(found, WorkbenchError) else StageError
    return kind(str(header.get("reason")), str(header.get("hint", "")))


def missing(error: ImportError) -> MissingError:
    """What to install for an import that failed."""
    if "libgomp" in str(error):
        return MissingError(
            "the system package libgomp1 is not installed",
            "install it (Debian, Ubuntu: apt-get install libgomp1)",
        )
    return MissingError(
        f"the models on board need a package that is not here: {error}",
        "install it with: pip install 'voice-workbench[local]'",
    )


def open_handler(target: str, options: dict[str, Any]) -> Handler:
    """Import `module:function` and call it. Raises WorkbenchError."""
    module, _, function = target.partition(":")
    try:
        opened: Handler = getattr(importlib.import_module(module), function)(**options)
    except ImportError as error:
        raise missing(error) from error
    return opened


def serve(wire: Wire) -> None:
    """Open the model and do its jobs, one after the other."""
    header, _ = wire.messages.get()
    try:
        handler = open_handler(header["open"], header["options"])
    except WorkbenchError as error:
        wire.send({"failed": to_wire(error)})
        return
    wire.send({"ready": True})
    while True:
        header, payload = wire.messages.get()
        wire.stop = _nothing
        job = Job(wire, header["job"], header["kind"], header["header"], payload)
        end = None
        try:
            handler(job)
        except WorkbenchError as error:
            end = to_wire(error)
        wire.send({"job": job.number, "end": end})


def main() -> None:
    """Take the pipes from under the native libraries, which print to standard output, and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the session's business
    os.nice(NICE)
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    source, target = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    wire = Wire(source, target)
    threading.Thread(target=wire.read, daemon=True).start()
    serve(wire)
