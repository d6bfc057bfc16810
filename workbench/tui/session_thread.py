"""A session in a thread of its own: opened after the first paint, closed whatever happens."""

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
    """Holds a session open from `start` until `close`."""

    def __init__(self, opener: SessionOpener) -> None:
        self._opener = opener
        self._reason = "stopped"
        self._closing = threading.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="session")
        self._future: Future[None] | None = None
        self.handle: SessionHandle | None = None
        """The session, from when it is open."""

    def start(self, on_closed: Callable[[], None]) -> None:
        """Open the session now; `on_closed` is called once, in its thread, when it is closed or could not be opened."""
        self._future = self._executor.submit(self._run)
        self._future.add_done_callback(lambda _: on_closed())

    def _run(self) -> None:
        with self._opener() as self.handle:
            self._closing.wait()
            self.handle.stop(self._reason)
            with suppress(WorkbenchError):  # `error` has it
                self.handle.wait()

    @property
    def closed(self) -> bool:
        """Whether the session is over and its recording whole, or it was never opened."""
        return self._future is None or self._future.done()

    @property
    def error(self) -> BaseException | None:
        """Why the session failed or could not be opened; None while all is well."""
        error = self._future.exception() if self._future is not None and self._future.done() else None
        return error or (self.handle.error if self.handle is not None else None)

    def close(self, reason: str = "stopped") -> None:
        """Let the session end; returns at once, `on_closed` is called when it has."""
        self._reason = reason
        self._closing.set()

    def wait(self) -> None:
        """Block until the session is closed."""
        self._closing.set()
        self._executor.shutdown(wait=True)
