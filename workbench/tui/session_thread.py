"""A session in a thread of its own: opened after the first paint, left whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress

from workbench.handle import SessionHandle
from workbench.model.errors import WorkbenchError

SessionOpener = Callable[[], AbstractContextManager[SessionHandle]]
"""Opens a session; importing and opening may take as long as they do."""


class SessionThread:
    """Holds a session open from `start` until `leave`."""

    def __init__(self, opener: SessionOpener) -> None:
        self._opener = opener
        self._reason = "stopped"
        self._leaving = threading.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="session-host")
        self._held: Future[None] | None = None
        self.handle: SessionHandle | None = None
        """The session, from when it is open."""

    def start(self, left: Callable[[], None]) -> None:
        """Open the session now; `left` is called once, from its thread, when it was left or could not be opened."""
        self._held = self._executor.submit(self._hold)
        self._held.add_done_callback(lambda _: left())

    def _hold(self) -> None:
        with self._opener() as self.handle:
            self._leaving.wait()
            self.handle.stop(self._reason)
            with suppress(WorkbenchError):  # `error` has it
                self.handle.wait()

    @property
    def left(self) -> bool:
        """Whether the session is over and whole, or was never opened."""
        return self._held is None or self._held.done()

    @property
    def error(self) -> BaseException | None:
        """What the session failed of, or could not be opened for; None while all is well."""
        broken = self._held.exception() if self._held is not None and self._held.done() else None
        return broken or (self.handle.error if self.handle is not None else None)

    def leave(self, reason: str = "stopped") -> None:
        """Let the session end; returns at once, `left` is called when it has."""
        self._reason = reason
        self._leaving.set()

    def wait(self) -> None:
        """Block until the session has been left."""
        self._leaving.set()
        self._executor.shutdown(wait=True)
