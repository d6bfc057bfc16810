"""A LiveKit server of our own on loopback: for `workbench room demo` and for tests."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Self

from workbench.model.errors import MissingError
from workbench.model.text import plain

BINARY = "livekit-server"
MODULE = "github.com/livekit/livekit-server/cmd/server@v1.13.5"
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
START_S = 15.0
"""The longest that it may take to answer, s; 0.3 s is usual."""
STOP_S = 3.0
"""After a polite request it is killed, s."""
TRIES = 3
"""With other ports, where it does not start."""
OUTPUT_BYTES = 16_384
"""Of its output that are read."""
HINT = f"is its port taken, or the binary of another machine? `{BINARY} --dev` says more"
HOW = (
    f"install it (`brew install livekit`; or with Go: `GOBIN=/tmp/lk go install {MODULE}`, the binary is called "
    f"`server`: put it on the path as `{BINARY}`), or name a server: --url ws://…"
)


@dataclass(frozen=True, slots=True)
class Keys:
    """What tokens are signed with; never shown."""

    api_key: str
    api_secret: str

    def __repr__(self) -> str:
        return "Keys(…)"


def new_keys() -> Keys:
    """Return a new pair."""
    return Keys(f"API{secrets.token_hex(6)}", secrets.token_urlsafe(32))


class LocalServer:
    """`async with LocalServer() as server`: runs the binary with keys of its own, reachable on this machine only.

    Entering raises MissingError where there is no binary, or it does not start. `start` and `kill` may be called in
    between: the address and the keys stay.
    """

    def __init__(self, *, address: str = "127.0.0.1", port: int = 0, keys: Keys | None = None) -> None:
        self.keys = keys or new_keys()
        self._address = address
        self._port = port
        self._media: tuple[int, int] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"ws://{self._address}:{self._port}"

    @property
    def pid(self) -> int:
        """Of the process, while it runs; 0 if it does not."""
        return self._process.pid if self._process else 0

    def claim(self) -> str:
        """Choose a free port now; return the address."""
        self._port = self._port or _free(self._address, socket.SOCK_STREAM)
        return self.url

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it (again) and wait until it answers. MissingError, with what it said, where it does not."""
        binary = shutil.which(BINARY)
        if binary is None:
            raise MissingError(f"there is no {BINARY} on the path", HOW)
        chosen = self._port
        for tries_left in reversed(range(TRIES)):
            self.claim()
            try:
                await self._try(binary)
            except MissingError:
                if not tries_left:
                    raise
                # somebody took a port between our choosing and its listening
                self._port, self._media = chosen, None
            else:
                return

    async def _try(self, binary: str) -> None:
        self._media = self._media or (
            _free(self._address, socket.SOCK_STREAM),
            _free(self._address, socket.SOCK_DGRAM),
        )
        with tempfile.TemporaryFile() as output:
            self._process = await asyncio.create_subprocess_exec(
                binary,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "LIVEKIT_CONFIG": self._config()},  # not in the list of processes
                start_new_session=True,  # Ctrl-C is for us: we stop it when we have left the room
            )
            try:
                await asyncio.wait_for(self._answering(self._process), START_S)
            except BaseException as error:
                await self.stop()
                if isinstance(error, (TimeoutError, MissingError)):
                    raise MissingError(f"{BINARY} does not start{_last_line(output)}", HINT) from None
                raise

    async def stop(self) -> None:
        """Ask it to leave, then make it."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """As if the machine had lost power."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_S)
        finally:
            if process.returncode is None:  # also where nobody waits any longer: it has no other owner
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _answering(self, process: asyncio.subprocess.Process) -> None:
        while process.returncode is None:
            try:
                reader, writer = await asyncio.open_connection(self._address, self._port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = await reader.read(64)
            writer.close()
            if b" 200 " in answer:
                return
            await asyncio.sleep(0.02)
        raise MissingError(f"{BINARY} ended as it started")

    def _config(self) -> str:
        """Return the settings; JSON is YAML too."""
        assert self._media is not None
        tcp, udp = self._media
        here = self._address == "127.0.0.1"
        return json.dumps(
            {
                "port": self._port,
                "bind_addresses": [self._address],
                "rtc": {
                    "tcp_port": tcp,
                    "udp_port": udp,
                    "interfaces": {"includes" if here else "excludes": [LOOPBACK]},
                    "node_ip": self._address,
                    "use_external_ip": False,
                    "enable_loopback_candidate": here,
                },
                "keys": {self.keys.api_key: self.keys.api_secret},
                "logging": {"level": "error"},
            }
        )


def _last_line(output: IO[bytes]) -> str:
    """Return the last line that it wrote, where there is one."""
    output.seek(0)
    lines = output.read(OUTPUT_BYTES).decode("utf-8", "replace").strip().splitlines()
    return f": {plain(lines[-1], 200, one_line=True)}" if lines else ""


def _free(address: str, kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
