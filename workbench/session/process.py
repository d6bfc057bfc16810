"""What a conversation needs of the whole process: for programs that own it, such as our commands.

A session of the library leaves the process as it is. Beside a busy Python thread, frames are then handled later: p99
40 instead of 20 ms beside one, 470 instead of 60 beside two. So the commands and the notebook's live widget, which
talks while other cells compute, tune the process while they talk.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

SWITCH_S = 0.001
"""How long a busy Python thread may keep the interpreter from the loop, s; Python's own default is 0.005."""
FULL_COLLECTION = 200
"""Collections of the middle generation between two of everything, which stop the loop for 100 ms where many sessions
run. A conversation leaves no cycles behind, so they find nothing; Python's own default is 10."""

_lock = threading.Lock()
_holders = 0
_restore = ExitStack()


@contextmanager
def tuned_process() -> Iterator[None]:
    """Let threads take turns more often and collect all garbage less often, until the last holder has left.

    Safe from any thread; holders may overlap in any order.
    """
    global _holders
    with _lock:
        _holders += 1
        if _holders == 1:
            _tune()
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _restore.close()


def _tune() -> None:
    _restore.callback(sys.setswitchinterval, sys.getswitchinterval())
    _restore.callback(gc.set_threshold, *gc.get_threshold())
    sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, max(old, FULL_COLLECTION))
