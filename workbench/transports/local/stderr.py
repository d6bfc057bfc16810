"""PortAudio writes what goes wrong to standard error as well as returning it: keep its lines off the screen."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator

CHATTER = re.compile(rb"Expression '[^\n]*' failed in '[^\n]*', line: \d+\n")
"""What PortAudio writes, in one piece each."""
DRAIN_S = 0.2
"""How long leaving waits for what was written meanwhile, s; a child that was started then keeps the pipe open."""


@contextlib.contextmanager
def without_portaudio_lines() -> Iterator[None]:
    """Leave PortAudio's own lines out of standard error (descriptor 2); what others write meanwhile goes on.

    The descriptor belongs to the whole process: only one thread at a time may be in here, and briefly.
    """
    try:
        before = os.dup(2)
    except OSError:  # it is closed: nothing to keep clean
        yield
        return
    reader, writer = os.pipe()
    passing = threading.Thread(target=_pass_on, args=(reader, before), name="hush", daemon=True)
    passing.start()
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        os.dup2(before, 2)
        passing.join(DRAIN_S)


def _pass_on(reader: int, to: int) -> None:
    """Everything but chatter, as soon as it comes, until nobody can write any more."""
    with open(reader, "rb", buffering=0) as pipe, open(to, "wb", buffering=0) as screen:
        while data := pipe.read(1 << 16):
            rest = memoryview(CHATTER.sub(b"", data))
            with contextlib.suppress(OSError):  # where nobody reads: the pipe must be emptied all the same
                while rest:
                    rest = rest[screen.write(rest) or 0 :]
