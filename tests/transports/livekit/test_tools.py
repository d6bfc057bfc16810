"""Tools that reach the people in the room: from the tools' own thread and loop, over a real server."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from livekit import rtc

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import events, person, settings, until
from workbench import Agent, RunContext, open_session, tool
from workbench.model.errors import StageError, UsageError
from workbench.model.events import ToolReturned
from workbench.testing.tools import call_tool
from workbench.transports.livekit.ends import RoomEnds
from workbench.transports.livekit.look import look
from workbench.transports.livekit.server import LocalServer

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


async def _tree(room: RoomEnds) -> str:
    return await room.call("show", "a tree")


@pytest.mark.room
def test_tools_plain_and_async_call_the_page_and_send_to_it(with_server: Run, tmp_path: Path) -> None:
    async def talk(server: LocalServer) -> None:
        agent = Agent(instructions="x", tools=[show, draw])
        choose = [
            {
                "when": "show me (?P<what>.+)",
                "tool": "show",
                "arguments": {"what": "{what}"},
                "then": "{result}",
            },
            {"when": "draw", "tool": "draw", "then": "{result}"},
        ]
        given = settings(server, "tools", script={"user": ["x"], "agent": ["y"], "choose": choose})
        async with person(server, "tools") as ann, open_session(given, agent=agent) as session:
            came: list[tuple[str, ...]] = []

            async def shown(call: rtc.RpcInvocationData) -> str:
                if call.payload == "nothing":
                    raise rtc.RpcError(1500, "there is nothing to show")
                return f"{ann.identity} sees {call.payload}"

            async def read(reader: rtc.TextStreamReader | rtc.ByteStreamReader) -> None:
                if isinstance(reader, rtc.TextStreamReader):
                    came.append(("text", await reader.read_all()))
                else:
                    size = sum([len(piece) async for piece in reader])
                    came.append((reader.info.name, reader.info.mime_type, str(size)))

            def reading(reader: rtc.TextStreamReader | rtc.ByteStreamReader, _: str) -> None:
                tasks.create_task(read(reader))

            async with asyncio.TaskGroup() as tasks:
                ann.room.local_participant.register_rpc_method("show", shown)
                ann.room.register_text_stream_handler("lk.chat", reading)
                for topic in ("pictures", "papers"):
                    ann.room.register_byte_stream_handler(topic, reading)
                ann.room.on("data_received", lambda packet: came.append(("data", packet.data.decode())))
                await until(lambda: session.room and session.room.members.who)
                assert (await session.aask("show me a map")).agent_text == "ann sees a map"
                assert (await session.aask("draw")).agent_text == "ann sees a dot"
                assert "there is nothing to show" in (await session.aask("show me nothing")).agent_text
                assert len({*THREADS}) == 2  # one of the async tools', one of the plain one's
                assert threading.current_thread().name not in THREADS
                found = ann.agent()
                assert found
                await until(lambda: found.attributes.get("showing") == "nothing")

                room = session.room
                assert room
                paper = tmp_path / "paper.txt"
                paper.write_text("words")
                await room.send_file(paper, "papers", to="ann")
                await until(lambda: len(came) == 5)
                assert sorted(came) == [
                    ("data", "dot"),
                    ("dot.png", "image/png", "70000"),
                    ("paper.txt", "text/plain", "5"),
                    ("text", "here is a map"),
                    ("text", "here is nothing"),
                ]
                # from a loop of somebody else, and from a thread without one
                away = asyncio.to_thread(lambda: asyncio.run(_tree(room)))
                assert await away == "ann sees a tree"
                assert await asyncio.to_thread(lambda: room.call("show", "it").result(10)) == "ann sees it"
                with pytest.raises(UsageError, match="await"):
                    room.call("show").result()
                with pytest.raises(StageError, match="bob is not in the room"):
                    await room.send(b"x", "y", to="bob")
                with pytest.raises(UsageError, match=r"LiveKit's"):
                    room.set_attribute("lk.agent.state", "dancing")
                with pytest.raises(UsageError, match="send_bytes"):
                    room.send(bytes(16_000), "y")
        with pytest.raises(StageError, match="not in its room"):
            await room.call("show")
        assert [one.status for one in events(session, ToolReturned)] == ["done", "done", "failed"]

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
