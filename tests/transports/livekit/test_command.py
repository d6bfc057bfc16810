"""`workbench room …` and `--room`, as a user calls them."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys

import pytest

from tests.transports.livekit.command import environment, workbench
from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import person
from tests.waiting import PATIENCE_S, eventually
from workbench.transports.livekit.server import LocalServer

pytestmark = pytest.mark.room


def test_rooms_are_made_listed_shown_and_deleted(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        env = environment(server)
        assert (await workbench("room", "create", "desk", "--json", env=env))[0] == 0
        async with person(server, "desk", "\x1b[31mann"):
            code, out, _ = await workbench("room", "list", "--json", env=env)
            assert (code, json.loads(out)["name"]) == (0, "desk")
            code, out, _ = await workbench("room", "show", "desk", env=env)
            assert code == 0
            assert "ann  standard, active" in out
            assert "audio microphone (microphone)" in out
            assert "\x1b" not in out
            code, out, _ = await workbench("room", "show", "desk", "--json", env=env)
            assert json.loads(out)["people"][0]["tracks"][0]["source"] == "microphone"
            assert (await workbench("room", "delete", "desk", env=env))[0] == 0
        code, out, err = await workbench("room", "list", env=env)
        assert (code, out) == (0, "")
        code, _, err = await workbench("room", "show", "desk", env=env)
        assert (code, "there is no room 'desk'" in err) == (2, True)

    with_server(talk)


def test_a_signed_token_lets_somebody_in_and_does_no_more(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        words = ("room", "token", "desk", "--identity", "ann", "--json")
        code, out, _ = await workbench(*words, env=environment(server))
        signed = json.loads(out)
        assert (code, signed["identity"], signed["url"]) == (0, "ann", server.url)
        import jwt

        claims = jwt.decode(signed["token"], options={"verify_signature": False})
        assert claims["video"] == {
            "roomJoin": True,
            "room": "desk",
            "canPublish": True,
            "canSubscribe": True,
            "canPublishData": True,
        }
        assert claims["exp"] - claims["nbf"] == 600

    with_server(talk)


def test_what_is_missing_or_wrong_is_said(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        env = environment(server)
        bare = {name: value for name, value in env.items() if not name.startswith("LIVEKIT_")}
        code, _, err = await workbench("room", "list", env=bare)
        assert (code, "no LiveKit server is named" in err) == (3, True)
        code, _, err = await workbench("room", "list", env={**env, "LIVEKIT_API_SECRET": "wrong"})
        assert (code, "does not know this key and secret" in err) == (2, True)
        code, _, err = await workbench("run", "--room", "x-*", env={**env, "LIVEKIT_API_SECRET": "wrong"})
        assert (code, "does not know this key" in err, "Traceback" in err) == (2, True, False)
        code, _, err = await workbench("room", "list", "--url", "ws://127.0.0.1:9", env=env)
        assert (code, "cannot be reached" in err) == (3, True)
        code, _, err = await workbench("run", "--room", "x", "--source", "mic", env=env)
        assert (code, "source and sink at once" in err) == (2, True)
        code, _, err = await workbench("run", "--room", "x", "--fast", env=env)
        assert code == 2
        code, _, err = await workbench("room", "demo", "--no-browser", env={**bare, "PATH": "/nowhere"})
        assert (code, "there is no livekit-server on the path" in err) == (3, True)

    with_server(talk)


def listens(port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("number", "when"), [(signal.SIGTERM, "starting a LiveKit server"), (signal.SIGHUP, "talk at")]
)
def test_a_demo_that_is_ended_before_it_begins_takes_its_server_along(
    number: signal.Signals, when: str
) -> None:
    async def talk() -> None:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workbench", "room", "demo", "--no-browser", "--profile", "scripted"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert program.stderr
        told = ""
        async with asyncio.timeout(PATIENCE_S):
            while when not in told:
                told += (await program.stderr.readline()).decode()
            port = int(told.partition("ws://127.0.0.1:")[2].split()[0])
            await eventually(lambda: listens(port))
            program.send_signal(number)
            assert await program.wait() == 128 + number
        assert "Traceback" not in told + (await program.stderr.read()).decode()
        assert not listens(port)

    asyncio.run(talk())


def test_the_demo_starts_a_server_a_room_and_the_agent() -> None:
    async def talk() -> None:
        words = ("room", "demo", "--no-browser", "--json", "--profile", "scripted")
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workbench", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert program.stdout
        assert program.stderr
        page = json.loads(await asyncio.wait_for(program.stdout.readline(), PATIENCE_S))["page"]
        assert page.startswith("http://127.0.0.1:")
        told: list[str] = []

        async def read() -> None:
            assert program.stderr
            while line := await program.stderr.readline():
                told.append(line.decode())

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read())
            await eventually(lambda: any("listening" in line for line in told))
            program.terminate()
            assert await asyncio.wait_for(program.wait(), PATIENCE_S) == 143
        assert any("talk at" in line for line in told)

    asyncio.run(talk())
