"""An output of a notebook's cell that is drawn again when turns have ended, until the trace does.

What is saved with the notebook is then what there was at last, not what there was when the cell ran: nothing. No page
has to run anything for it, and no kernel has to be there later.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.readers.opened import OpenTrace

POLL_S = 0.25
"""How often the trace is looked at, s."""
SHARE = 0.05
"""Of the time that drawing may take: it holds the interpreter, which speaks and listens beside it."""

Bundle = Mapping[str, object]
"""What is shown, by MIME type."""

_following: set[Redrawn] = set()
_of_cells: dict[str, tuple[str, list[Redrawn]]] = {}
"""By cell: the request that ran it last, and what that showed."""


class Redrawn:
    """Shows what `draw` gives, and again when turns have ended; for the last time when the trace has.

    It begins when it is shown first. A thread follows the trace; one that is shown several times is drawn once.
    """

    def __init__(self, trace: OpenTrace, draw: Callable[[], Bundle]) -> None:
        self._trace, self._draw = trace, draw
        self._id = secrets.token_hex(8)
        self._drawn: object = None
        self._lock = threading.Lock()
        self._enough = threading.Event()

    def show(self) -> None:
        """An output of the cell that runs. Running the cell again ends what was shown there before."""
        from IPython.display import display  # it is there where there are cells

        _take_cell(self)
        with self._lock:
            self._drawn = self._state()
            display(dict(self._draw()), raw=True, display_id=self._id)
        if self not in _following and not self._trace.closed:
            _following.add(self)
            self._enough.clear()
            threading.Thread(target=self._follow, name="notebook-redrawn", daemon=True).start()

    _ipython_display_ = show

    def stop(self) -> None:
        """Draw no more; what is shown stays."""
        self._enough.set()

    def update(self) -> float:
        """Draw again if there is something new; the time that took, s."""
        from IPython.display import display

        with self._lock:
            state = self._state()
            if state == self._drawn or self._enough.is_set():
                return 0.0
            began = time.perf_counter()
            self._drawn = state
            display(dict(self._draw()), raw=True, display_id=self._id, update=True)
            return time.perf_counter() - began

    def _state(self) -> object:
        closed, turns = self._trace.closed, self._trace.turns
        return closed, len(turns), turns[-1:]

    def _follow(self) -> None:
        over, due_s = False, 0.0
        while not over:
            over = self._trace.closed  # before the last look, which comes at once
            if over or time.monotonic() >= due_s:
                took_s = self.update()
                due_s = time.monotonic() + took_s / SHARE
            over = over or self._enough.wait(POLL_S)
        _following.discard(self)


def _take_cell(shown: Redrawn) -> None:
    """It belongs to the cell that runs; what the cell showed when it ran before is replaced."""
    from IPython import get_ipython

    shell: Any = get_ipython()
    header: dict[str, Any] = getattr(shell, "parent_header", None) or {}
    cell = str(header.get("metadata", {}).get("cellId", ""))
    request = str(header.get("header", {}).get("msg_id", ""))
    if shell is not None and _after_cell not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _after_cell)
    before, there = _of_cells.get(cell, (request, []))
    if cell and before != request:
        for other in there:
            if other is not shown:
                other.stop()
        there = []
    if cell:
        _of_cells[cell] = request, [*there, shown]


def _after_cell(*_: object) -> None:
    """What a cell changed is drawn as a part of it: who runs notebooks without a page listens no longer than that."""
    for shown in list(_following):
        shown.update()
