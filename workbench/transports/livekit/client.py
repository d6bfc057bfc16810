"""What tools and other code may do with those who are in the room, from any thread and on any loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from workbench.model.clock import outside
from workbench.model.errors import DeadlineError, StageError, UsageError, WorkbenchError, foreign
from workbench.model.text import plain
from workbench.transports.livekit.connection import RoomConnector
from workbench.transports.livekit.participants import Participants

T = TypeVar("T")

SEND_S = 10.0
"""What is not sent within this is given up, s; a file may take longer, see `FILE_S`."""
FILE_S = 60.0
MOST_DATA = 15_000
"""Bytes of a data message; WebRTC takes no more in one."""
OURS = "lk."
"""How the names of attributes begin that mean something to LiveKit's clients."""


class Delivery(Generic[T]):
    """Something on its way to the room. It goes whether or not it is waited for: `await` it on any loop, or, where no
    loop runs (in a plain function), ask for its `result()`. A StageError says why it did not arrive."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self._future).__await__()

    def result(self, timeout_s: float | None = None) -> T:
        """What came of it. UsageError where that would keep a loop waiting, TimeoutError after `timeout_s`."""
        if asyncio._get_running_loop() is not None:
            raise UsageError("this thread runs a loop and cannot wait", "write `await` before the call")
        return self._future.result(timeout_s)


class RoomClient:
    """The verbs. They return at once; `to` is somebody's identity, None means everybody, or for `call` the one who is
    listened to."""

    def __init__(self, connection: RoomConnector, participants: Participants) -> None:
        self.connection = connection
        self.participants = participants
        self._loop: asyncio.AbstractEventLoop
        self._tasks: asyncio.TaskGroup | None = None
        """While the session runs."""
        self._first: list[Callable[[], None]] | None = []
        """What is to be sent as soon as the session runs; None when it has ended."""
        self._attributes: dict[str, str] = {}
        """That were set, for when we join again."""

    def call(
        self, method: str, payload: str = "", *, to: str | None = None, timeout_s: float = 5.0
    ) -> Delivery[str]:
        """Call a method of a client by RPC: its answer, at most 15 kB. StageError where nobody is there, the method is
        not, fails, or does not answer in time."""

        async def calling() -> str:
            whom = to or self.participants.who
            if whom is None:
                raise StageError("nobody is in the room to be called", "wait until somebody is listened to")
            answer: str = await self._me(whom).perform_rpc(
                destination_identity=whom, method=method, payload=payload, response_timeout=timeout_s
            )
            return answer

        return self._send(calling, timeout_s + SEND_S, "the client in the room")

    def send(self, data: bytes | str, topic: str, *, to: str | None = None) -> Delivery[None]:
        """Send a data message of at most 15 kB; messages arrive in their order."""
        size = len(data.encode() if isinstance(data, str) else data)
        if size > MOST_DATA:
            raise UsageError(f"{size} bytes are too many for a data message", "use send_bytes")

        async def sending() -> None:
            await self._me(to).publish_data(data, topic=topic, destination_identities=_only(to))

        return self._send(sending, SEND_S)

    def send_text(self, text: str, topic: str = "lk.chat", *, to: str | None = None) -> Delivery[None]:
        """Send a text stream: on `lk.chat` it is a chat message of the agent's."""

        async def sending() -> None:
            await self._me(to).send_text(text, topic=topic, destination_identities=_only(to))

        return self._send(sending, FILE_S)

    def send_bytes(
        self, data: bytes, topic: str, *, name: str = "", mime: str = "", to: str | None = None
    ) -> Delivery[None]:
        """Send a byte stream, as clients receive files: `name` and `mime` tell them what it is."""

        async def sending() -> None:
            await self._me(to).send_bytes(
                data,
                topic=topic,
                name=name or None,
                mime_type=mime or None,
                destination_identities=_only(to),
            )

        return self._send(sending, FILE_S)

    def send_file(self, path: str | Path, topic: str, *, to: str | None = None) -> Delivery[None]:
        """Send a file of this machine as a byte stream, under its own name."""
        file = Path(path)
        if not file.is_file():
            raise UsageError(f"{file} is no file", "send_bytes takes what is in memory")

        async def sending() -> None:
            await self._me(to).send_file(str(file), topic=topic, destination_identities=_only(to))

        return self._send(sending, FILE_S)

    def set_attribute(self, name: str, value: str) -> Delivery[None]:
        """Set an attribute of the agent's participant, which everybody sees; an empty value removes it."""
        if name.startswith(OURS):
            raise UsageError(
                f"{name}: attributes that begin with {OURS} are LiveKit's", "choose another name"
            )

        async def setting() -> None:
            await self._me().set_attributes({name: value})
            self._attributes[name] = value

        return self._send(setting, SEND_S)

    # --- the way there -----------------------------------------------------------------------------------------------

    def _me(self, to: str | None = None) -> Any:
        """Our participant. StageError where it cannot reach anybody, or not that one."""
        if not self.connection.flowing:
            raise StageError("the room is not connected", "wait until it is again")
        if to is not None and to not in self.participants.there:
            raise StageError(
                f"{plain(to, 100, one_line=True)} is not in the room", "see `session.room.participants`"
            )
        return self.connection.room.local_participant

    def _send(self, make: Callable[[], Awaitable[T]], limit_s: float, who: str = "LiveKit") -> Delivery[T]:
        """Have it done on the session's loop."""
        future: Future[T] = Future()

        def begin() -> None:
            if self._tasks is None:
                if self._first is None:
                    _settle(future, error=_over())
                else:
                    self._first.append(begin)
                return
            telling = _told(make, limit_s, who, future)
            try:
                task = self._tasks.create_task(telling)
            except RuntimeError:  # the session is ending
                telling.close()
                _settle(future, error=_over())
                return
            task.add_done_callback(lambda _: _settle(future, error=_over()))  # cancelled before it began
            future.add_done_callback(lambda _: self._unwanted(task) if future.cancelled() else None)

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:  # the session's loop is closed
            _settle(future, error=_over())
        return Delivery(future)

    def _begin(self) -> None:
        """The session runs: send what waits for that."""
        waiting, self._first = self._first or [], []
        for begin in waiting:
            begin()

    def _end(self) -> None:
        """Nothing is sent any more."""
        waiting, self._first, self._tasks = self._first or [], None, None
        for begin in waiting:
            begin()

    def _unwanted(self, task: asyncio.Task[None]) -> None:
        with suppress(RuntimeError):  # the session's loop is closed
            self._loop.call_soon_threadsafe(task.cancel)


async def _told(make: Callable[[], Awaitable[T]], limit_s: float, who: str, future: Future[T]) -> None:
    try:
        with foreign(who, "tools"), outside():
            try:
                async with asyncio.timeout(limit_s):
                    result = await make()
            except TimeoutError:
                raise DeadlineError(f"{who} did not take it within {limit_s:.0f} s", "try again") from None
    except WorkbenchError as error:
        _settle(future, error=error)
    except asyncio.CancelledError:
        _settle(future, error=_over())
        raise
    else:
        _settle(future, result)


def _settle(future: Future[Any], result: Any = None, error: Exception | None = None) -> None:
    with suppress(InvalidStateError):  # who asked does not wait any more
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _over() -> StageError:
    return StageError("the session is not in its room", "it has ended", stage="tools")


def _only(to: str | None) -> list[str]:
    return [] if to is None else [to]
