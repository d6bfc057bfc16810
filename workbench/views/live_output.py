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

from workbench.model.errors import run_foreign
from workbench.model.text import plain
from workbench.views.html import problem_html

if TYPE_CHECKING:
    from workbench.views.trace import OpenTrace

POLL_S = 0.1
"""How often the trace is looked at, s."""
SHARE = 0.05
"""Of the time that drawing may take."""

Bundle = Mapping[str, object]
"""What is shown, by MIME type."""

_following: set[LiveOutput] = set()
_of_cells: dict[str, tuple[str, list[LiveOutput]]] = {}
"""By cell: the request that ran it last, and what of that is still followed."""
_lock = threading.Lock()
"""Of both."""


class LiveOutput:
    """Shows what `draw` gives, and again when turns have ended; for the last time when the trace has.

    It begins when it is shown first. A thread follows the trace; one that is shown several times is drawn once. It
    draws when nobody waits for the agent or hears it: drawing takes the interpreter for 0.1 to 0.4 s, and sound that
    passes there would come late. What drawing fails of is shown in its place, until it is drawn again.
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

        with self._lock:
            self._drawn = self._state()
            display(self._bundle(), raw=True, display_id=self._id)
        goes_on = not self._trace.closed
        replaced = _take_cell(self, goes_on)
        with _lock:
            begins = goes_on and self not in _following
            if begins:
                _following.add(self)
                self._enough = threading.Event()  # a thread that was told to stop may not be gone yet
        for other in replaced:
            other.stop()
        if begins:
            threading.Thread(target=self._follow, name="notebook-redrawn", daemon=True).start()

    _ipython_display_ = show

    def stop(self) -> None:
        """Draw no more; what is shown stays."""
        self._enough.set()
        self._left(self._enough)

    def update(self) -> float:
        """Draw again if there is something new; the time that took, s."""
        from IPython.display import display

        with self._lock:
            state = self._state()
            if state == self._drawn or self._enough.is_set():
                return 0.0
            began = time.perf_counter()
            self._drawn = state
            display(self._bundle(), raw=True, display_id=self._id, update=True)
            return time.perf_counter() - began

    def _bundle(self) -> Bundle:
        found: list[Bundle] = []
        error = run_foreign("what is drawn here", lambda: found.append(dict(self._draw())))
        if error is None:
            return found[0]
        html = problem_html("", error.reason, error.hint)
        return {"text/html": html, "text/plain": plain(str(error))}

    def _state(self) -> object:
        closed, turns = self._trace.closed, self._trace.turns
        return closed, len(turns), turns[-1:]

    def _quiet(self) -> bool:
        live = self._trace.live
        return live.agent == "idle" and live.user != "paused"

    def _follow(self) -> None:
        over, due_s, enough = False, 0.0, self._enough
        try:
            while not over:
                over = self._trace.closed  # before the last look, which comes at once
                if over or (time.monotonic() >= due_s and self._quiet()):
                    took_s = self.update()
                    due_s = time.monotonic() + took_s / SHARE
                over = over or enough.wait(POLL_S)
        finally:
            self._left(enough)

    def _left(self, enough: threading.Event) -> None:
        """Nothing of it is kept here, unless it was begun anew."""
        with _lock:
            if self._enough is not enough:
                return
            _following.discard(self)
            for cell, (request, there) in list(_of_cells.items()):
                if self in there:
                    _of_cells[cell] = request, [other for other in there if other is not self]
                if not _of_cells[cell][1]:
                    del _of_cells[cell]


def current_cell() -> tuple[str, str]:
    """Return the ids of the cell that runs and of the request that runs it; where there are none, all cells are one."""
    try:
        from IPython import get_ipython

        header: dict[str, Any] = get_ipython().parent_header
    except (ImportError, AttributeError):
        return "", ""
    cell, request = (header.get(part) or {} for part in ("metadata", "header"))
    return str(cell.get("cellId", "")), str(request.get("msg_id", ""))


def _take_cell(shown: LiveOutput, goes_on: bool) -> list[LiveOutput]:
    """It belongs to the cell that runs, for as long as it `goes_on`; what of before is shown in no cell any more."""
    from IPython import get_ipython

    shell: Any = get_ipython()
    cell, request = current_cell()
    if shell is not None and _after_cell not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _after_cell)
    if not cell:
        return []
    with _lock:
        before, there = _of_cells.pop(cell, (request, []))
        kept = there if before == request else []
        if goes_on and shown not in kept:
            kept = [*kept, shown]
        if kept:
            _of_cells[cell] = request, kept
        elsewhere = [other for _, those in _of_cells.values() for other in those]
    return [other for other in there if other not in elsewhere]


def _after_cell(*_: object) -> None:
    """What a cell changed is drawn as a part of it: who runs notebooks without a page listens no longer than that."""
    for shown in list(_following):
        shown.update()
