"""What the workers of the tests do: no model, no weights."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from workbench.model.errors import BusyError, MissingError
from workbench.providers.onboard.process import Handler, WorkerJob


def open_odd(**options: Any) -> Handler:
    """A worker for every misbehaviour; the job's kind says which."""
    if options.get("absent"):
        raise MissingError("there is no such thing", "get one")
    print("a native library greets")
    os.write(1, b"and writes to file descriptor 1\n")
    return lambda job: KINDS[job.kind](job)


def open_ears(*, slow_s: float = 0.0) -> Handler:
    """Transcribes any sound to how long it is, in ms."""

    def handle(job: WorkerJob) -> None:
        if job.kind == "die":
            die(job)
        if job.kind != "warm":
            time.sleep(slow_s)
        job.send({"text": f"{len(job.payload) // 32} ms", "confidence": 0.9})

    return handle


def echo(job: WorkerJob) -> None:
    """Everything back, `times`."""
    for time_ in range(job.header.get("times", 1)):
        job.send({**job.header, "time": time_}, job.payload)


def count(job: WorkerJob) -> None:
    """Numbers without end, until cancelled."""
    number = 0
    while not job.cancelled:
        job.send({"number": number})
        number += 1
        time.sleep(0.005)


def compute(job: WorkerJob) -> None:
    """So many seconds of CPU time."""
    until = time.thread_time() + job.header["seconds"]
    while time.thread_time() < until:
        pass
    job.send({})


def hang(job: WorkerJob) -> None:
    """A native call that nothing can stop."""
    job.send({})
    time.sleep(600)


def interruptible(job: WorkerJob) -> None:
    """A native call that can be told to end."""
    ended: list[bool] = []
    job.when_cancelled(lambda: ended.append(True))
    job.send({})
    while not ended:
        time.sleep(0.001)


def garbage(job: WorkerJob) -> None:
    """Something that is not a message, on the pipe for messages."""
    os.write(job.pipes._target, b"\x00\xff" * 50)
    time.sleep(600)


def stranger(job: WorkerJob) -> None:
    """A result of a job that nobody gave."""
    job.pipes.send({"job": 999, "result": {}})
    time.sleep(600)


def fail(job: WorkerJob) -> None:
    """An error that is to be expected."""
    raise BusyError("too much to do", "come back later")


def surprise(job: WorkerJob) -> None:
    """An error that is not."""
    raise ValueError("\x1b[31mnobody thought of this")


def die(job: WorkerJob) -> None:
    """A crash."""
    print("last words", file=sys.stderr, flush=True)
    os._exit(9)


KINDS = {
    job.__name__: job
    for job in (echo, count, compute, hang, interruptible, garbage, stranger, fail, surprise, die)
}
KINDS["warm"] = echo
