"""Tools that reach the people in the room: from the tools' own thread and loop, over a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from livekit import rtc

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import Person, events, person, settings
from tests.waiting import eventually
from workbench import Agent, RunContext, open_session, tool
from workbench.model.errors import StageError, UsageError
from workbench.model.events import ToolReturned
from workbench.session import Session
from workbench.testing.tools import call_tool
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.transport import RoomTransport
from workbench.transports.livekit.video import look

THREADS: list[str] = []


@tool
async def show(context: RunContext[None], what: str) -> str:
    """Show something on the user's page."""
    THREADS.append(threading.current_thread().name)
    await context.room.set_attribute("showing", what)
    await context.room.send_text(f"here is {what}")
    answer: str = await context.room.call("show", what)
    return answer


@tool
def draw(context: RunContext[None]) -> str:
    """Draw on the user's page: a plain function."""
    THREADS.append(threading.current_thread().name)
    context.room.send(b"dot", "canvas")
    context.room.send_bytes(bytes(70_000), "pictures", name="dot.png", mime="image/png").result()
    answer: str = context.room.call("show", "a dot").result()
    return answer


async def _tree(room: RoomTransport) -> str:
    return await room.call("show", "a tree")


CHOOSE = [
    {
        "when": "show me (?P<what>.+)",
        "tool": "show",
        "arguments": {"what": "{what}"},
        "then": "{result}",
    },
    {"when": "draw", "tool": "draw", "then": "{result}"},
]


class Page:
    """A user's page that has a method `show`, and keeps what is sent to it."""

    def __init__(self, ann: Person, tasks: asyncio.TaskGroup) -> None:
        self.received: list[tuple[str, ...]] = []
        self._name = ann.identity
        self._tasks = tasks
        ann.room.local_participant.register_rpc_method("show", self._show)
        ann.room.register_text_stream_handler("lk.chat", self._take)
        for topic in ("pictures", "papers"):
            ann.room.register_byte_stream_handler(topic, self._take)
        ann.room.on("data_received", lambda packet: self.received.append(("data", packet.data.decode())))

    async def _show(self, call: rtc.RpcInvocationData) -> str:
        if call.payload == "nothing":
            raise rtc.RpcError(1500, "there is nothing to show")
        return f"{self._name} sees {call.payload}"

    def _take(self, reader: rtc.TextStreamReader | rtc.ByteStreamReader, _: str) -> None:
        self._tasks.create_task(self._read(reader))

    async def _read(self, reader: rtc.TextStreamReader | rtc.ByteStreamReader) -> None:
        if isinstance(reader, rtc.TextStreamReader):
            self.received.append(("text", await reader.read_all()))
        else:
            size = sum([len(piece) async for piece in reader])
            self.received.append((reader.info.name, reader.info.mime_type, str(size)))


@asynccontextmanager
async def conversation(server: LocalServer) -> AsyncIterator[tuple[Session, Person, Page]]:
    """A session in a room with one person, whose page is open."""
    agent = Agent(instructions="x", tools=[show, draw])
    given = settings(server, "tools", script={"user": ["x"], "agent": ["y"], "choose": CHOOSE})
    async with (
        person(server, "tools") as ann,
        open_session(given, agent=agent) as session,
        asyncio.TaskGroup() as tasks,
    ):
        page = Page(ann, tasks)
        await eventually(lambda: session.room and session.room.participants.linked)
        yield session, ann, page


@pytest.mark.room
def test_tools_plain_and_async_call_the_page_and_send_to_it(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with conversation(server) as (session, ann, page):
            assert (await session.aask("show me a map")).agent_text == "ann sees a map"
            assert (await session.aask("draw")).agent_text == "ann sees a dot"
            assert "there is nothing to show" in (await session.aask("show me nothing")).agent_text
            assert len({*THREADS}) == 2  # one of the async tools', one of the plain one's
            assert threading.current_thread().name not in THREADS
            agent = ann.agent()
            assert agent
            await eventually(lambda: agent.attributes.get("showing") == "nothing")
            await eventually(lambda: len(page.received) == 4)
            assert sorted(page.received) == [
                ("data", "dot"),
                ("dot.png", "image/png", "70000"),
                ("text", "here is a map"),
                ("text", "here is nothing"),
            ]
        assert [event.status for event in events(session, ToolReturned)] == ["done", "done", "failed"]

    with_server(talk)


@pytest.mark.room
def test_the_page_is_reached_from_any_loop_and_thread_until_the_session_ends(
    with_server: Run, tmp_path: Path
) -> None:
    paper = tmp_path / "paper.txt"
    paper.write_text("words")

    async def talk(server: LocalServer) -> None:
        async with conversation(server) as (session, _, page):
            room = session.room
            assert room
            await room.send_file(paper, "papers", to="ann")
            await eventually(lambda: page.received == [("paper.txt", "text/plain", "5")])
            elsewhere = asyncio.to_thread(lambda: asyncio.run(_tree(room)))
            assert await elsewhere == "ann sees a tree"
            assert await asyncio.to_thread(lambda: room.call("show", "it").result(10)) == "ann sees it"
        with pytest.raises(StageError, match="not in its room"):
            await room.call("show")

    with_server(talk)


@pytest.mark.room
def test_what_cannot_be_sent_to_the_room_is_refused_with_the_way_that_works(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with conversation(server) as (session, _, _):
            room = session.room
            assert room
            with pytest.raises(UsageError, match="await"):
                room.call("show").result()
            with pytest.raises(StageError, match="bob is not in the room"):
                await room.send(b"x", "y", to="bob")
            with pytest.raises(UsageError, match=r"LiveKit's"):
                room.set_attribute("lk.agent.state", "dancing")
            with pytest.raises(UsageError, match="send_bytes"):
                room.send(bytes(16_000), "y")

    with_server(talk)


def test_without_a_room_the_model_is_told_so() -> None:
    for one, arguments in ((show, {"what": "x"}), (draw, {})):
        called = call_tool(one, arguments)
        assert called.status == "failed"
        assert "needs a LiveKit room" in called.told

    @tool
    def where(context: RunContext[None]) -> str:
        return "in a room" if context.room else "at the desk"

    assert call_tool(where).told == "at the desk"

    @tool
    def listen(context: RunContext[None]) -> None:
        context.room.on_received(print)

    assert "listen needs a LiveKit room" in call_tool(listen).told
    assert "look needs a LiveKit room" in call_tool(look).told


def test_a_bug_of_the_tools_own_is_told_as_one() -> None:
    @tool
    def broken() -> None:
        sock: Any = None
        sock.send(b"x")

    told = call_tool(broken).told
    assert "'NoneType' object has no attribute 'send'" in told
    assert "room" not in told
