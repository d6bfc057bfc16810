"""Servers that refuse, vanish and come back; rooms that are deleted; agents that are removed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import jwt
import pytest
from livekit import api

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import Person, events, person, settings, token
from tests.waiting import PATIENCE_S, eventually
from workbench import Agent, open_session
from workbench.config import Settings
from workbench.model.errors import MissingError, UsageError, WorkbenchError
from workbench.model.events import ListeningStarted, ReplyEnded, RoomConnection, SessionEnded, TurnEnded
from workbench.simulation.synthesis import speech
from workbench.trace.trace import Trace
from workbench.transports.livekit.connection import RoomConnector
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.sink import RoomSink
from workbench.transports.livekit.token import LIFE_S, access

pytestmark = pytest.mark.room
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."


def states(session: Any) -> list[str]:
    return [one.state for one in events(session, RoomConnection)]


async def failure(given: Settings) -> WorkbenchError:
    async with open_session(given) as session:
        with pytest.raises(WorkbenchError) as failed:
            await asyncio.wait_for(session.ended(), PATIENCE_S)
        assert states(session)[-1] == "lost"
        told = " ".join(str(entry.event) for entry in session.trace.since(0))
        assert "eyJ" not in told
    assert "eyJ" not in str(failed.value)
    return failed.value


def finals(one: Person) -> list[str]:
    return [text for _, text, about in one.segments if about["lk.transcription_final"] == "true"]


async def outage(seconds: float, *, stays: bool = False) -> None:
    """The server is killed in the middle of an answer; afterwards the answer and the conversation go on, by voice, with
    somebody who comes back by the SDK's own means (`stays`), or anew."""
    async with LocalServer() as server, AsyncExitStack() as there:
        agent = Agent(instructions="x", greeting=LONG)
        session = await there.enter_async_context(open_session(settings(server, "out"), agent=agent))
        async with AsyncExitStack() as before:
            ann = await (there if stays else before).enter_async_context(person(server, "out", "ann"))
            await eventually(ann.loud_at)
            await asyncio.sleep(0.6)
            session.set(turn_silence_ms=321)
            await server.kill()
        await eventually(lambda: "reconnecting" in states(session))
        await asyncio.sleep(seconds)
        back_at = time.monotonic()
        await server.start()
        await eventually(lambda: states(session)[-1] == "connected", PATIENCE_S + seconds)
        assert not events(session, SessionEnded)
        if not stays:
            ann = await there.enter_async_context(person(server, "out", "ann"))
        await eventually(lambda: ann.loud_at(back_at))
        await eventually(lambda: events(session, ReplyEnded))
        assert events(session, ReplyEnded)[0].heard == LONG
        await eventually(lambda: session.room and session.room.source.voices)
        await eventually(lambda: ann.state() == "listening")
        await eventually(lambda: finals(ann) == [LONG])  # all of it, once, to who was not there when it began
        asked_at = time.monotonic()
        ann.say(speech(1.0))
        await eventually(lambda: any(turn.status == "done" for turn in events(session, TurnEnded)))
        assert events(session, TurnEnded)[0].user_text == "Hello there."
        assert ann.loud_at(asked_at)
        assert session.settings.turn.silence_ms == 321


async def never_back() -> None:
    """A server that is not started again: the session ends, and says so."""
    async with (
        LocalServer() as server,
        open_session(settings(server, "dead", room__reconnect_s=1)) as session,
    ):
        await eventually(lambda: events(session, ListeningStarted))
        await server.kill()
        with pytest.raises(MissingError, match="cannot be reached"):
            await asyncio.wait_for(session.ended(), 3 * PATIENCE_S)  # the SDK tries for a while by itself
        assert states(session)[-1] == "lost"


@pytest.fixture(scope="module", autouse=True)
def long_ones(request: pytest.FixtureRequest) -> Iterator[Future[Any]]:
    """What takes a minute of waiting runs beside the module's other tests; the last one asks how it went."""

    async def both() -> None:
        await asyncio.gather(outage(60), never_back())

    with ThreadPoolExecutor(1) as beside:
        wanted = any(item.name == test_the_long_ones.__name__ for item in request.session.items)
        yield beside.submit(asyncio.run, both()) if wanted else Future()


def test_a_server_that_was_killed_and_comes_back_goes_on_where_it_stopped() -> None:
    async def both() -> None:
        await asyncio.gather(outage(1), outage(10, stays=True))

    asyncio.run(both())


def test_no_server_and_no_host_are_told_apart_from_a_refusal(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        nowhere = settings(server, "x", room__url="ws://127.0.0.1:9", room__connect_s=1)
        error = await failure(nowhere)
        assert isinstance(error, MissingError)
        assert "127.0.0.1:9 cannot be reached" in error.reason
        error = await failure(settings(server, "x", room__url=server.url.replace("ws:", "wss:")))
        assert isinstance(error, UsageError)
        assert "no secure connection" in error.reason
        error = await failure(settings(server, "x", room__api_secret="x" * 40))
        assert isinstance(error, UsageError)
        assert "does not know this key and secret" in error.reason

    with_server(talk)


def test_a_server_that_goes_before_the_track_is_taken_is_not_waited_for(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        given, trace = settings(server, "gone", room__connect_s=1).room, Trace(lambda: 0.0)
        async with RoomSink(trace, "gone") as sink:

            async def joined(room: Any, anew: bool) -> None:
                await server.kill()
                await sink.publish(room)

            connection = RoomConnector(given, access(given), "agent", trace, lambda room: None, joined)
            with pytest.raises(MissingError, match=r"track was not taken \(not within \d+ s\)"):
                await connection.open()
            assert connection.room is None

    with_server(talk)


def test_tokens_that_are_refused_are_told_apart(with_server: Run) -> None:
    def signed(server: LocalServer, life_s: float = LIFE_S, **grants: Any) -> str:
        made = api.AccessToken(server.keys.api_key, server.keys.api_secret).with_identity("me")
        made.claims.video = api.VideoGrants(room="x", **grants)
        return made.with_ttl(timedelta(seconds=life_s)).to_jwt()

    def ready(server: LocalServer, made: str) -> Settings:
        return settings(server, "x", room__token=made, room__api_key=None, room__api_secret=None)

    async def talk(server: LocalServer) -> None:
        error = await failure(ready(server, signed(server, -3600, room_join=True)))
        assert "expired" in error.reason
        assert "clock" in error.hint
        error = await failure(ready(server, signed(server, room_join=False)))
        assert "does not allow to join x" in error.reason
        ahead = jwt.decode(signed(server, room_join=True), options={"verify_signature": False})
        ahead |= {"nbf": ahead["nbf"] + 3600, "exp": ahead["exp"] + 3600}
        error = await failure(ready(server, jwt.encode(ahead, server.keys.api_secret)))
        assert "not valid yet" in error.reason
        assert "clock" in error.hint
        error = await failure(ready(server, signed(server, room_join=True, can_publish=False)))
        assert isinstance(error, UsageError)
        assert "does not allow to speak" in error.reason
        error = await failure(ready(server, "nonsense"))
        assert "refused the token" in error.reason
        async with open_session(ready(server, token(server, "me", "x", kind="agent"))) as session:
            await eventually(lambda: events(session, ListeningStarted))

    with_server(talk)


def test_a_server_that_makes_no_rooms_says_how_to_make_one() -> None:
    class Strict(LocalServer):
        def _config(self) -> str:
            return json.dumps({**json.loads(super()._config()), "room": {"auto_create": False}})

    async def talk() -> None:
        async with Strict() as server:
            error = await failure(settings(server, "nowhere"))
            assert isinstance(error, UsageError)
            assert "there is no room nowhere" in error.reason
            assert "workbench room create" in error.hint

    asyncio.run(talk())


@pytest.mark.parametrize("how", ["deleted", "removed", "replaced"])
def test_what_ends_for_good_ends_the_session_with_its_reason(with_server: Run, how: str) -> None:
    async def talk(server: LocalServer) -> None:
        given = settings(server, "end", room__identity="agent")
        async with (
            open_session(given) as session,
            api.LiveKitAPI(
                server.url.replace("ws", "http"), server.keys.api_key, server.keys.api_secret
            ) as asked,
        ):
            await eventually(lambda: events(session, ListeningStarted))

            async def end() -> None:
                joined = states(session).count("connected")
                over = lambda: events(session, SessionEnded) or states(session).count("connected") > joined  # noqa: E731
                if how == "deleted":
                    await asked.room.delete_room(api.DeleteRoomRequest(room="end"))
                elif how == "removed":
                    await asked.room.remove_participant(
                        api.RoomParticipantIdentity(room="end", identity="agent")
                    )
                else:
                    async with person(server, "end", "agent", microphone=False):
                        await eventually(over)
                await eventually(over)

            # The server says why, and hangs up; now and then the SDK sees that it hung up first, and is back at once.
            while not events(session, SessionEnded):
                await end()
            await asyncio.wait_for(session.ended(), PATIENCE_S)
            (ended,) = events(session, SessionEnded)
            assert (
                ended.reason
                == {
                    "deleted": "the room was deleted",
                    "removed": "the agent was removed from the room",
                    "replaced": "somebody joined the room under the agent's identity",
                }[how]
            )

    with_server(talk)


def test_two_agents_in_one_room_do_not_talk_to_each_other(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        first = Agent(instructions="x", greeting="Good morning to everybody.")
        async with (
            open_session(settings(server, "two"), agent=first) as one,
            open_session(settings(server, "two")) as other,
        ):
            await eventually(lambda: events(one, ReplyEnded) and events(other, ListeningStarted))
            await asyncio.sleep(1)
            assert not events(other, TurnEnded)
            assert not events(one, TurnEnded)
            assert other.room
            assert not other.room.source.voices

    with_server(talk)


def test_ctrl_c_leaves_the_room_at_once(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with person(server, "ctrl") as ann:
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "workbench", "run", "--profile", "scripted", "--room", "ctrl"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={
                    **os.environ,
                    "LIVEKIT_URL": server.url,
                    "LIVEKIT_API_KEY": server.keys.api_key,
                    "LIVEKIT_API_SECRET": server.keys.api_secret,
                },
            )
            assert program.stderr
            told = ""
            async with asyncio.timeout(PATIENCE_S):
                while "heard" not in told:
                    told += (await program.stderr.readline()).decode()
            await eventually(lambda: ann.state() == "listening")
            began = time.monotonic()
            program.terminate()
            await eventually(lambda: ann.agent() is None)
            assert time.monotonic() - began < 10  # a server misses one that is gone after 20 s
            told += (await program.stderr.read()).decode()
            assert await program.wait() == 143
            assert "room ctrl: connected" in told
            assert "ann (standard): heard" in told
            assert server.keys.api_secret not in told

    with_server(talk)


def test_a_native_part_that_cannot_be_loaded_says_what_to_install() -> None:
    program = "import workbench.transports.livekit.sdk as sdk; sdk.rtc()"
    broken = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LIVEKIT_LIB_PATH": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "MissingError" in broken.stderr
    assert "pip install --force-reinstall livekit" in broken.stderr


def test_a_ready_token_is_renewed_by_the_server_and_good_for_a_lost_connection(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        made = token(server, "me", "x", kind="agent", life_s=5)
        given = settings(server, "x", room__token=made, room__api_key=None, room__api_secret=None)
        async with open_session(given) as session:
            await eventually(lambda: events(session, ListeningStarted))
            until_s = jwt.decode(made, options={"verify_signature": False})["exp"]
            room = session.room
            assert room
            await eventually(lambda: room.connection._renewed and time.time() > until_s + 1)
            await room.connection.room.disconnect()  # as if the SDK had given up
            await eventually(lambda: states(session).count("connected") == 2)

    with_server(talk)


LEAVES = """
import asyncio, os
from workbench import open_session
from workbench.config import load_settings

given = load_settings({"profile": "scripted", "audio.source": "room", "audio.sink": "room", "room.name": "x"})

async def join():
    async with open_session(given) as session:
        await session.ended()

async def main():
    joining = asyncio.ensure_future(join())
    await asyncio.sleep(1)  # everything is imported
    for wait_ms in range(0, 60, 10):
        joining.cancel()
        await asyncio.wait((joining,))
        joining = asyncio.ensure_future(join())
        await asyncio.sleep(wait_ms / 1000)
    joining.cancel()
    await asyncio.wait((joining,))
    print("left", flush=True)
    await asyncio.sleep(14)

asyncio.run(main())
print("fine")
"""


def test_leaving_while_it_connects_ends_no_process(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LEAVES),
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "WORKBENCH_RECORD__ENABLED": "false",
                "LIVEKIT_URL": server.url,
                "LIVEKIT_API_KEY": server.keys.api_key,
                "LIVEKIT_API_SECRET": server.keys.api_secret,
            },
        )
        told, _ = await asyncio.wait_for(program.communicate(), PATIENCE_S)
        assert (program.returncode, told.split()) == (0, [b"left", b"fine"])

    with_server(talk)


def test_the_long_ones(long_ones: Future[Any]) -> None:
    """A server that is away for a minute, and one that does not come back (see the fixture)."""
    long_ones.result()
