"""One process, many rooms: a session in each, and none disturbs another."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from livekit import api

from tests.transports.livekit.command import environment
from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import person
from tests.waiting import PATIENCE_S, eventually
from workbench.simulation.synthesis import speech
from workbench.transports.livekit.server import LocalServer

pytestmark = pytest.mark.room


def test_each_room_that_fits_has_a_session_and_one_that_ends_ends_alone(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        words = ("run", "--profile", "scripted", "--room", "desk-*", "--json", "--set", "room.grace_s=1")
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workbench", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(server),
        )
        assert program.stdout
        turns: list[dict[str, Any]] = []
        async with person(server, "desk-a", "ann") as ann, person(server, "other", "eve") as eve:
            async with person(server, "desk-b", "bob") as bob:
                await eventually(lambda: ann.state() == bob.state() == "listening")
                for one in (ann, bob):
                    await one.listened_to()
                for one in (ann, bob):
                    one.say(speech(1.0))
                turns += [
                    json.loads(await asyncio.wait_for(program.stdout.readline(), PATIENCE_S))
                    for _ in range(2)
                ]
                assert sorted(turn["room"] for turn in turns) == ["desk-a", "desk-b"]
                assert {turn["status"] for turn in turns} == {"done"}
                assert eve.agent() is None
                url = server.url.replace("ws", "http")
                async with api.LiveKitAPI(url, server.keys.api_key, server.keys.api_secret) as asked:
                    await asked.room.delete_room(api.DeleteRoomRequest(room="desk-b"))
            ann.say(speech(1.0))
            turn = json.loads(await asyncio.wait_for(program.stdout.readline(), PATIENCE_S))
            assert (turn["room"], turn["turn"], turn["status"]) == ("desk-a", 2, "done")
        async with person(server, "desk-a", "watcher", kind="agent", microphone=False) as watcher:
            await eventually(lambda: not watcher.room.remote_participants)
            async with person(server, "desk-a", "ann") as ann:  # is back, in the same room
                there = ann.room.remote_participants
                await eventually(
                    lambda: any(
                        one.attributes.get("lk.agent.state") == "listening" for one in there.values()
                    ),
                    30,
                )
        program.terminate()
        last = json.loads(await program.stdout.readline())
        assert last["summary"] == {"done": 3, "cut": 0, "failed": 0, "broken": 0}
        assert await asyncio.wait_for(program.wait(), PATIENCE_S) == 143

    with_server(talk)


def test_a_session_with_each_of_two_people(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        words = ("run", "--profile", "scripted", "--room", "both", "--json", "--set", "room.listen=each")
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workbench", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(server),
        )
        assert program.stdout
        async with person(server, "both", "ann") as ann, person(server, "both", "bob") as bob:
            await eventually(lambda: ann.states() == ["listening", "listening"])
            await bob.listened_to()
            bob.say(speech(1.0))
            turn = json.loads(await asyncio.wait_for(program.stdout.readline(), PATIENCE_S))
            assert turn["room"] == "both bob"
        program.terminate()
        assert await asyncio.wait_for(program.wait(), PATIENCE_S) == 143

    with_server(talk)
