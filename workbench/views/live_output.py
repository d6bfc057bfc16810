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
_lock = threading.Lock()
"""Of the outputs that follow their trace, and of the cells that they are in."""


class LiveOutput:
    """Shows what `draw` gives, and again when turns have ended; for the last time when the trace has.

    It begins when it is shown first. A thread follows the trace; an output that is shown several times is drawn once.
    It is drawn while nobody waits for the agent or listens to it: drawing takes the interpreter for 0.1 to 0.4 s, and
    sound that passes there would come late. An error of `draw` is shown in its place, until it is drawn again.
    """

    def __init__(self, trace: OpenTrace, draw: Callable[[], Bundle]) -> None:
        self._trace, self._draw = trace, draw
        self._id = secrets.token_hex(8)
        self._drawn: object = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._cells: dict[str, str] = {}
        """The cells that show it, with the request that ran each of them."""

    def show(self) -> None:
        """Show it in the cell that runs. Running the cell again ends what was shown there before."""
        from IPython.display import display  # it is there where there are cells

        with self._lock:
            self._drawn = self._state()
            display(self._bundle(), raw=True, display_id=self._id)
        goes_on = not self._trace.closed
        _draw_after_cells()
        cell, request = current_cell()
        with _lock:
            replaced = [other for other in _following if other is not self and other._leaves(cell, request)]
            if goes_on and cell:
                self._cells[cell] = request
            begins = goes_on and self not in _following
            if begins:
                _following.add(self)
                self._stopped = threading.Event()  # a thread that is to stop may not be gone yet
        for other in replaced:
            other.stop()
        if begins:
            threading.Thread(target=self._follow, name="notebook-live-output", daemon=True).start()

    _ipython_display_ = show

    def stop(self) -> None:
        """Draw no more; what is shown stays."""
        self._stopped.set()
        self._forget(self._stopped)

    def update(self) -> float:
        """Draw again if there is something new; return the time that took, s."""
        from IPython.display import display

        with self._lock:
            state = self._state()
            if state == self._drawn or self._stopped.is_set():
                return 0.0
            began = time.perf_counter()
            self._drawn = state
            display(self._bundle(), raw=True, display_id=self._id, update=True)
            return time.perf_counter() - began

    def _leaves(self, cell: str, request: str) -> bool:
        """Decide whether no cell shows it any more, now that this one is run by another request."""
        if self._cells.get(cell, request) == request:
            return False
        del self._cells[cell]
        return not self._cells

    def _bundle(self) -> Bundle:
        bundle: dict[str, object] = {}
        error = run_foreign("what is drawn here", lambda: bundle.update(self._draw()))
        if error is None:
            return bundle
        html = problem_html("", error.reason, error.hint)
        return {"text/html": html, "text/plain": plain(str(error))}

    def _state(self) -> object:
        closed, turns = self._trace.closed, self._trace.turns
        return closed, len(turns), turns[-1:]

    def _quiet(self) -> bool:
        live = self._trace.live
        return live.agent == "idle" and live.user != "paused"

    def _follow(self) -> None:
        over, due_s, stopped = False, 0.0, self._stopped
        try:
            while not over:
                over = self._trace.closed  # before the last look, which comes at once
                if over or (time.monotonic() >= due_s and self._quiet()):
                    took_s = self.update()
                    due_s = time.monotonic() + took_s / SHARE
                over = over or stopped.wait(POLL_S)
        finally:
            self._forget(stopped)

    def _forget(self, stopped: threading.Event) -> None:
        """Keep nothing of it here, unless it was begun anew."""
        with _lock:
            if self._stopped is stopped:
                _following.discard(self)
                self._cells.clear()


def current_cell() -> tuple[str, str]:
    """Return the ids of the cell that runs and of the request that runs it; where there are none, all cells are one."""
    try:
        from IPython import get_ipython

        header: dict[str, Any] = get_ipython().parent_header
    except (ImportError, AttributeError):
        return "", ""
    cell, request = (header.get(part) or {} for part in ("metadata", "header"))
    return str(cell.get("cellId", "")), str(request.get("msg_id", ""))


def _draw_after_cells() -> None:
    """Have outputs drawn at the end of each cell, as a part of it: without a page nobody listens longer than that."""
    from IPython import get_ipython

    shell: Any = get_ipython()
    if shell is not None and _draw_all not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _draw_all)


def _draw_all(*_: object) -> None:
    for output in list(_following):
        output.update()
