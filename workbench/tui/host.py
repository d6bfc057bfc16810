"""A session in a thread of its own: opened after the first paint, left whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol

from workbench.trace.bus import Trace


class Handle(Protocol):
    """What the screen needs of a session: its trace, and verbs that any thread may call and that return at once."""

    @property
    def trace(self) -> Trace: ...
    def mute(self, on: bool) -> None: ...
    def type(self, text: str) -> None: ...
    def interrupt(self) -> None: ...
    def bookmark(self, label: str = "") -> None: ...
    def set(self, name: str, value: Any) -> None: ...


Opener = Callable[[], AbstractContextManager[Handle]]
"""Opens a session; importing, opening and entering may take as long as warming up the models does."""


class Host:
    """Holds a session open from `start` until `leave`."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._leaving = threading.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="session")
        self._held: Future[None] | None = None
        self.handle: Handle | None = None
        """The session, from when it is open."""

    def start(self, ended: Callable[[], None]) -> None:
        """Open the session now; `ended` is called once, from its thread, when it was left or could not be opened."""
        self._held = self._executor.submit(self._hold)
        self._held.add_done_callback(lambda _: ended())

    def _hold(self) -> None:
        with self._opener() as self.handle:
            self._leaving.wait()

    @property
    def error(self) -> BaseException | None:
        """What ended the session, None while it is open or when all was well."""
        return self._held.exception() if self._held is not None and self._held.done() else None

    @property
    def left(self) -> bool:
        """Whether the session is over and whole, or was never opened."""
        return self._held is None or self._held.done()

    def leave(self) -> None:
        """Let the session end; returns at once, `ended` tells when it has."""
        self._leaving.set()

    def wait(self) -> None:
        """Block until the session has been left."""
        self.leave()
        self._executor.shutdown(wait=True)
