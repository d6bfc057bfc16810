"""The command line, called as a user with a LiveKit server calls it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping

from tests.waiting import PATIENCE_S
from workbench.transports.livekit.server import LocalServer


def environment(server: LocalServer) -> dict[str, str]:
    return {
        **os.environ,
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.keys.api_key,
        "LIVEKIT_API_SECRET": server.keys.api_secret,
    }


async def workbench(*words: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workbench", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    out, err = await asyncio.wait_for(program.communicate(), PATIENCE_S)
    assert program.returncode is not None
    assert "Traceback" not in err.decode()
    return program.returncode, out.decode(), err.decode()
