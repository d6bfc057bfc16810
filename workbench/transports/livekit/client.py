"""What tools and other code may do with the participants of a room, from any thread and on any loop."""

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
"""The longest that sending may take, s; …"""
FILE_S = 60.0
"""… a text or a file."""
MOST_DATA = 15_000
"""Bytes of a data message; WebRTC takes no more in one."""
RESERVED = "lk."
"""Attributes that begin so mean something to LiveKit's clients."""


class Delivery(Generic[T]):
    """A message or call on its way to the room. It goes whether or not it is waited for: `await` it on any loop, or,
    where no loop runs (in a plain function), ask for its `result()`. A StageError says why it did not arrive."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self._future).__await__()

    def result(self, timeout_s: float | None = None) -> T:
        """Return what came of it. UsageError where that would keep a loop waiting, TimeoutError after `timeout_s`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._future.result(timeout_s)
        raise UsageError("this thread runs a loop and cannot wait", "write `await` before the call")


class RoomClient:
    """RPC, messages and attributes. All return at once; `to` is an identity, None means everybody, or for `call` the
    linked participant."""

    def __init__(self, connection: RoomConnector, participants: Participants) -> None:
        self.connection = connection
        self.participants = participants
        self._loop: asyncio.AbstractEventLoop
        self._tasks: asyncio.TaskGroup | None = None
        """While the session runs."""
        self._pending: list[Callable[[], None]] | None = []
        """What is sent as soon as the session runs; None when it has ended."""
        self._attributes: dict[str, str] = {}
        """As set, for when we join again."""

    def call(
        self, method: str, payload: str = "", *, to: str | None = None, timeout_s: float = 5.0
    ) -> Delivery[str]:
        """Call a method of a client by RPC: its answer, at most 15 kB. StageError where nobody is there, the method is
        not, fails, or does not answer in time."""

        async def work() -> str:
            callee = to or self.participants.linked
            if callee is None:
                raise StageError("nobody is in the room to be called", "wait until somebody is listened to")
            answer: str = await self._local_participant(callee).perform_rpc(
                destination_identity=callee, method=method, payload=payload, response_timeout=timeout_s
            )
            return answer

        return self._send(work, timeout_s + SEND_S, "the client in the room")

    def send(self, data: bytes | str, topic: str, *, to: str | None = None) -> Delivery[None]:
        """Send a data message of at most 15 kB; messages arrive in their order."""
        size = len(data.encode() if isinstance(data, str) else data)
        if size > MOST_DATA:
            raise UsageError(f"{size} bytes are too many for a data message", "use send_bytes")

        async def work() -> None:
            await self._local_participant(to).publish_data(
                data, topic=topic, destination_identities=[to] if to else []
            )

        return self._send(work, SEND_S)

    def send_text(self, text: str, topic: str = "lk.chat", *, to: str | None = None) -> Delivery[None]:
        """Send a text stream: on `lk.chat` it is a chat message of the agent's."""

        async def work() -> None:
            await self._local_participant(to).send_text(
                text, topic=topic, destination_identities=[to] if to else []
            )

        return self._send(work, FILE_S)

    def send_bytes(
        self, data: bytes, topic: str, *, name: str = "", mime: str = "", to: str | None = None
    ) -> Delivery[None]:
        """Send a byte stream, as clients receive files: `name` and `mime` tell them what it is."""

        async def work() -> None:
            await self._local_participant(to).send_bytes(
                data,
                topic=topic,
                name=name or None,
                mime_type=mime or None,
                destination_identities=[to] if to else [],
            )

        return self._send(work, FILE_S)

    def send_file(self, path: str | Path, topic: str, *, to: str | None = None) -> Delivery[None]:
        """Send a file of this machine as a byte stream, under its own name."""
        file = Path(path)
        if not file.is_file():
            raise UsageError(f"{file} is no file", "send_bytes takes what is in memory")

        async def work() -> None:
            await self._local_participant(to).send_file(
                str(file), topic=topic, destination_identities=[to] if to else []
            )

        return self._send(work, FILE_S)

    def set_attribute(self, name: str, value: str) -> Delivery[None]:
        """Set an attribute of the agent's participant, which everybody sees; an empty value removes it."""
        if name.startswith(RESERVED):
            raise UsageError(
                f"{name}: attributes that begin with {RESERVED} are LiveKit's", "choose another name"
            )

        async def work() -> None:
            await self._local_participant().set_attributes({name: value})
            self._attributes[name] = value

        return self._send(work, SEND_S)

    # --- on the session's loop ---------------------------------------------------------------------------------------

    def _local_participant(self, to: str | None = None) -> Any:
        """Return our participant. StageError where it cannot reach anybody, or not `to`."""
        if not self.connection.flowing:
            raise StageError("the room is not connected", "wait until it is again")
        if to is not None and to not in self.participants.remote:
            raise StageError(
                f"{plain(to, 100, one_line=True)} is not in the room", "see `session.room.participants`"
            )
        return self.connection.room.local_participant

    def _send(self, make: Callable[[], Awaitable[T]], limit_s: float, peer: str = "LiveKit") -> Delivery[T]:
        """Have `make()` awaited on the session's loop."""
        future: Future[T] = Future()

        def begin() -> None:
            if self._tasks is None:
                if self._pending is None:
                    _settle(future, error=_session_over())
                else:
                    self._pending.append(begin)
                return
            work = _settle_with(make, limit_s, peer, future)
            try:
                task = self._tasks.create_task(work)
            except RuntimeError:  # the session is ending
                work.close()
                _settle(future, error=_session_over())
                return
            task.add_done_callback(
                lambda _: _settle(future, error=_session_over())
            )  # cancelled before it began
            future.add_done_callback(lambda _: self._cancel(task) if future.cancelled() else None)

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:  # the session's loop is closed
            _settle(future, error=_session_over())
        return Delivery(future)

    def _start_sending(self) -> None:
        """Send what waits for the session to run."""
        pending, self._pending = self._pending or [], []
        for begin in pending:
            begin()

    def _stop_sending(self) -> None:
        """Refuse whatever is sent from now on."""
        pending, self._pending, self._tasks = self._pending or [], None, None
        for begin in pending:
            begin()

    def _cancel(self, task: asyncio.Task[None]) -> None:
        with suppress(RuntimeError):  # the session's loop is closed
            self._loop.call_soon_threadsafe(task.cancel)


async def _settle_with(
    make: Callable[[], Awaitable[T]], limit_s: float, peer: str, future: Future[T]
) -> None:
    try:
        with foreign(peer, "tools"), outside():
            try:
                async with asyncio.timeout(limit_s):
                    result = await make()
            except TimeoutError:
                raise DeadlineError(f"{peer} did not take it within {limit_s:.0f} s", "try again") from None
    except WorkbenchError as error:
        _settle(future, error=error)
    except asyncio.CancelledError:
        _settle(future, error=_session_over())
        raise
    else:
        _settle(future, result)


def _settle(future: Future[Any], result: Any = None, error: Exception | None = None) -> None:
    with suppress(InvalidStateError):  # the caller does not wait any more
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _session_over() -> StageError:
    return StageError("the session is not in its room", "it has ended", stage="tools")
