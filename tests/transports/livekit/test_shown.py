"""The commands about rooms that README and docs show, run as they stand there."""

from __future__ import annotations

import asyncio
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation import in_a_room, lines
from tests.transports.livekit.command import environment, workbench
from tests.transports.livekit.conftest import Run
from tests.waiting import PATIENCE_S, eventually
from workbench.transports.livekit.server import LocalServer

pytestmark = pytest.mark.room
COMMANDS = sorted({line for line in lines() if in_a_room(line)})


def test_there_are_some() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_shown_works(
    command: str, with_server: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_PROFILE", "scripted")
    (tmp_path / "my_agent.py").write_text(
        "from workbench import Agent\nagent = Agent(instructions='Be brief.')\n"
    )
    words = shlex.split(command, comments=True)[1:]

    async def call(server: LocalServer) -> None:
        env = environment(server)
        if words[:2] in (["room", "show"], ["room", "delete"]):
            assert (await workbench("room", "create", words[2], env=env))[0] == 0
        if words[0] == "tui":
            words.extend(("--no-record", "--screenshot", "picture.svg"))
        if words[:2] == ["room", "demo"]:
            words.append("--no-browser")
            env = {name: value for name, value in env.items() if not name.startswith("LIVEKIT_")}
        if words[0] == "run" or words[:2] == ["room", "demo"]:
            assert await _until_it_listens(words, env) == 130
        else:
            code, _, told = await workbench(*words, env=env)
            assert code == 0, told

    with_server(call)


async def _until_it_listens(words: list[str], env: dict[str, str]) -> int:
    """Run it until it says that it listens, or waits; Ctrl-C; the exit code."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workbench", *words),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=env,
    )
    told: list[str] = []

    async def read() -> None:
        assert program.stderr
        while line := await program.stderr.readline():
            told.append(line.decode())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        await eventually(
            lambda: any(word in line for line in told for word in ("listening", "waiting for rooms")), 30
        )
        program.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(program.wait(), PATIENCE_S)
    assert not any("Traceback" in line for line in told)
    return code
