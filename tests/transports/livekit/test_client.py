"""What is sent settles, whenever the session transport; and what was asked for before it ran finds it at work."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from workbench.config import Settings
from workbench.config.room import RoomSettings
from workbench.model.conversation import Picture
from workbench.model.errors import StageError
from workbench.simulation.clock import run_virtual
from workbench.trace.trace import Trace
from workbench.transports.base import TransportOptions
from workbench.transports.livekit.client import Delivery, RoomClient
from workbench.transports.livekit.transport import RoomTransport


class Ended(Exception):
    pass


async def nothing() -> None:
    await asyncio.sleep(1)


def over(sent: Delivery[None]) -> bool:
    """Whether it is settled, as not in its room."""
    return sent._future.done() and "not in its room" in str(sent._future.exception())


async def fails() -> None:
    await asyncio.sleep(0)
    raise Ended


async def group_of(client: Any, *works: Coroutine[Any, Any, None]) -> None:
    """A session that one of its works transport."""
    try:
        async with asyncio.TaskGroup() as client._tasks:
            for work in works:
                client._tasks.create_task(work)
    finally:
        client._stop_sending()


def test_what_is_sent_while_the_session_ends_is_settled() -> None:
    async def main() -> list[bool]:
        client: Any = RoomClient(*[None] * 2)  # type: ignore[arg-type]  # neither is asked
        client._loop = asyncio.get_running_loop()
        late: list[Delivery[None]] = []

        async def slow() -> None:
            try:
                await asyncio.sleep(10)
            finally:
                late.append(client._send(nothing, 1.0))  # the group takes in nobody any more
                await asyncio.sleep(0)
                await asyncio.sleep(0)

        with pytest.raises(ExceptionGroup):
            await group_of(client, slow(), fails())
        return [over(one) for one in late]

    assert run_virtual(main()) == [True]


def test_what_is_cancelled_before_its_first_step_is_settled() -> None:
    async def main() -> tuple[bool, list[str]]:
        client: Any = RoomClient(*[None] * 2)  # type: ignore[arg-type]  # neither is asked
        client._loop = asyncio.get_running_loop()
        sent: list[Delivery[None]] = []
        begun: list[str] = []

        async def work() -> None:
            begun.append("work")

        async def sends() -> None:
            await asyncio.sleep(0)
            sent.append(client._send(work, 1.0))

        with pytest.raises(ExceptionGroup):
            await group_of(client, sends(), fails())
        return over(sent[0]), begun

    assert run_virtual(main()) == (True, [])


class NoRoom(RoomTransport):
    """In no room; `keep` transport when the test says so."""

    async def attend(self, until: asyncio.Event) -> None:
        async def keep() -> str:
            await until.wait()
            return "over"

        self.connection.keep = keep  # type: ignore[method-assign]
        quiet: Any = Quiet()
        await self.run(quiet)


class Quiet:
    """A session's verbs that do nothing."""

    def say(self, text: str) -> None: ...
    def type(self, text: str) -> None: ...
    def interrupt(self) -> None: ...
    def stop(self, reason: str = "stopped") -> None: ...
    def spoken(self) -> tuple[int, str] | None: ...


def test_a_look_that_was_asked_for_before_the_session_ran_finds_the_eyes_at_work() -> None:
    async def main() -> bool:
        settings = RoomSettings(
            name="r", url="ws://127.0.0.1:1", api_key="k", api_secret="s" * 32, video="tool"
        )
        transport = NoRoom(TransportOptions(Settings(room=settings), Trace(lambda: 0.0)))
        transport._loop = asyncio.get_running_loop()
        working: list[bool] = []

        async def picture(reply: int | None = None) -> Picture | None:
            working.append(transport.user_video._tasks is not None)
            return None

        transport.user_video.picture = picture  # type: ignore[method-assign]
        sent, done = transport.look(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(transport.attend(done))
            assert await sent is None
            done.set()
        with pytest.raises(StageError, match="not in its room"):
            await transport.look()
        return working == [True]

    assert run_virtual(main())
