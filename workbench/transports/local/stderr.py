"""Keeping off the screen what ALSA and PortAudio write to standard error beside returning it as an error."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

PORTAUDIO_LINE = re.compile(rb"Expression '[^\n]*' failed in '[^\n]*', line: \d+\n")
"""What PortAudio writes, in one piece each."""
DRAIN_S = 0.2
"""How long leaving waits for what was written meanwhile, s; a child that was started then keeps the pipe open."""


@functools.cache
def silence_alsa() -> tuple[Any, ...]:
    """Take ALSA's error handler away, for the process."""
    try:
        alsa = ctypes.CDLL("libasound.so.2")
    except OSError:
        return ()
    kind = ctypes.CFUNCTYPE(
        None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p
    )
    handler = kind(lambda *_: None)
    alsa.snd_lib_error_set_handler(handler)
    return alsa, handler  # kept: ALSA goes on calling it


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
    filtering = threading.Thread(target=_filter, args=(reader, before), name="stderr", daemon=True)
    filtering.start()
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        os.dup2(before, 2)
        filtering.join(DRAIN_S)


def _filter(reader: int, to: int) -> None:
    """Pass on all but PortAudio's lines, as soon as it comes, until nobody can write any more."""
    with open(reader, "rb", buffering=0) as pipe, open(to, "wb", buffering=0) as screen:
        while data := pipe.read(1 << 16):
            rest = memoryview(PORTAUDIO_LINE.sub(b"", data))
            with contextlib.suppress(OSError):  # where nobody reads: the pipe must be emptied all the same
                while rest:
                    rest = rest[screen.write(rest) or 0 :]
