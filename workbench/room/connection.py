"""Being connected: the first try, the SDK's own reconnects, ours from scratch, and the ends that are for good."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import urlsplit

from workbench.config.room import RoomSettings
from workbench.model.clock import outside
from workbench.model.errors import MissingError, UsageError, WorkbenchError
from workbench.model.events import RoomConnection
from workbench.room.sdk import exchange, rtc, told
from workbench.room.token import Access
from workbench.trace.bus import Trace

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
"""Between two tries: doubled each time, and shaken so that many agents do not come at once."""
TRY_S = 10.0
"""The longest that one try may take, s."""
LEAVE_S = 2.0
"""The longest that leaving politely may take, s."""

Wire = Callable[[Any], None]
"""Puts handlers on an `rtc.Room` before it connects."""
Joined = Callable[[Any, bool], Awaitable[None]]
"""What is to be done in a room that was joined: from scratch (True), or again by the SDK (False)."""


class Unreachable(MissingError):
    """No server answers: trying again may help."""


def refused(error: BaseException, url: str, room: str) -> WorkbenchError:
    """What kept us out, in words, with what to do about it."""
    said, host = told(error), urlsplit(url).netloc.rpartition("@")[2]
    lower = said.lower()
    signs: tuple[str, ...]
    for signs, reason, hint in _REFUSALS:
        if any(sign in lower for sign in signs):
            return UsageError(f"{host}: {reason.format(room=room)} ({said})", hint)
    for signs, reason, hint in _TROUBLES:
        if any(sign in lower for sign in signs):
            return Unreachable(f"{host}: {reason} ({said})", hint)
    return Unreachable(
        f"{host} cannot be reached ({said or 'no answer'})",
        "is the LiveKit server running? see `workbench room list`",
    )


_REFUSALS = (
    (
        ("signature", "invalid api key", "unknown api key"),
        "the server does not know this key and secret",
        "are LIVEKIT_API_KEY and LIVEKIT_API_SECRET those of this server?",
    ),
    (
        ("not valid yet", "nbf", "used before issued"),
        "the token is not valid yet",
        "is the clock of this machine right, or that of the server?",
    ),
    (("expired",), "the token has expired", "get a new one; is the clock of this machine right?"),
    (
        ("permissions denied", "permission denied", "403"),
        "the token does not allow to join {room}",
        "sign one with the grant roomJoin for this room: `workbench room token ROOM --identity ID`",
    ),
    (
        ("could not find room", "room not found", "not_found", "404", "does not exist"),
        "there is no room {room}, and the server makes none",
        "make it first: `workbench room create NAME`",
    ),
    (
        ("401", "unauthorized", "invalid token"),
        "the server refused the token",
        "get a new token, or set key and secret",
    ),
    (
        ("contenttype", "certificate", "unknownissuer", "tls", "ssl", "handshake failure"),
        "no secure connection",
        "a server without TLS is reached by ws://; else its certificate must be one that this machine trusts",
    ),
    (("url scheme", "invalid url"), "this is no address of a LiveKit server", "write wss://HOST"),
)
"""Trying again is useless."""
_TROUBLES = (
    (
        ("lookup address", "dns", "name or service"),
        "there is no such host",
        "is the url right, and the network there?",
    ),
    (
        ("region",),
        "the server named no region to connect to",
        "try again; is the project's url right?",
    ),
    (("429", "too many", "quota", "limit exceeded"), "the server has too much to do", "try again later"),
)


class Connection:
    """One participant's place in one room. `room` is the connected `rtc.Room`, None while there is none."""

    def __init__(
        self, settings: RoomSettings, access: Access, identity: str, trace: Trace, wire: Wire, joined: Joined,
        *, name: str = "", attributes: Callable[[], dict[str, str]] = dict,
    ) -> None:  # fmt: skip
        self.identity = identity
        self.room: Any = None
        self.flowing = False
        """Whether what we send goes out."""
        self._settings = settings
        self._access = access
        self._name = name
        self._attributes = attributes
        self._trace = trace
        self._wire = wire
        self._joined = joined
        self._state: Literal["connecting", "reconnecting"] = "connecting"
        self._gone: asyncio.Future[int] | None = None
        self._again = asyncio.Event()

    async def open(self) -> None:
        """Join. UsageError where the server refuses, MissingError where none answers within `connect_s`."""
        await self._join(self._settings.connect_s)

    async def keep(self) -> str:
        """Stay joined; why it is over for good. MissingError where a lost server does not come back in time."""
        while True:
            reason = await self._lost()
            self.flowing = False
            if reason in (ends := _ends()):
                self._tell("lost", ends[reason])
                return ends[reason]
            self.room, self._state = None, "reconnecting"
            self._tell("reconnecting", f"the connection was lost: {_reason_name(reason)}")
            await self._join(self._settings.reconnect_s)

    async def close(self) -> None:
        """Leave, so that the others see it at once."""
        room, self.room, self.flowing = self.room, None, False
        if room is not None and room.isconnected():
            with suppress(TimeoutError), outside():
                async with asyncio.timeout(LEAVE_S):
                    await room.disconnect()
            self._tell("left")

    # --- joining -----------------------------------------------------------------------------------------------------

    async def _join(self, limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        for attempt, wait_s in enumerate(_waits(), 1):
            self._tell(self._state, attempt=attempt)
            try:
                room = await self._once(min(TRY_S, max(1.0, deadline - loop.time())))
            except Unreachable as error:
                if loop.time() + wait_s > deadline:
                    self._tell("lost", error.reason, error.hint, attempt)
                    raise
                self._tell(self._state, error.reason, error.hint, attempt)
                await asyncio.sleep(wait_s)
                continue
            except UsageError as error:
                self._tell("lost", error.reason, error.hint, attempt)
                raise
            self.room, self.flowing = room, True
            await self._joined(room, True)
            self._tell("connected")
            return

    async def _once(self, limit_s: float) -> Any:
        sdk = rtc()
        room = sdk.Room()
        self._gone = asyncio.get_running_loop().create_future()
        self._watch(room, self._gone)
        self._wire(room)
        options = sdk.RoomOptions(auto_subscribe=False, connect_timeout=limit_s)
        token = self._access.token(
            room=self._settings.name,
            identity=self.identity,
            kind="agent",
            name=self._name,
            attributes=self._attributes(),
        )
        try:
            with outside():
                async with asyncio.timeout(limit_s + 1):
                    await room.connect(self._access.url, token, options)
        except TimeoutError:
            raise Unreachable(
                f"{urlsplit(self._access.url).netloc} does not answer", "is the server running?"
            ) from None
        except sdk.ConnectError as error:
            raise refused(error, self._access.url, self._settings.name) from None
        exchange().settle(room)
        return room

    def _watch(self, room: Any, gone: asyncio.Future[int]) -> None:
        def disconnected(reason: int) -> None:
            if not gone.done():
                gone.set_result(reason)

        def reconnecting() -> None:
            self.flowing, self._state = False, "reconnecting"
            self._tell("reconnecting", "the connection was interrupted")

        def reconnected() -> None:
            self.flowing = True
            self._tell("connected")
            self._again.set()

        room.on("disconnected", disconnected)
        room.on("reconnecting", reconnecting)
        room.on("reconnected", reconnected)

    async def _lost(self) -> int:
        """Wait until the SDK has given up; meanwhile look after what its own reconnects leave undone."""
        gone = self._gone
        assert gone is not None
        while True:
            with outside():
                again = asyncio.ensure_future(self._again.wait())
                try:
                    await asyncio.wait((gone, again), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    again.cancel()
            if gone.done():
                return gone.result()
            self._again.clear()
            await self._joined(self.room, False)

    def _tell(
        self, state: Literal["connecting", "connected", "reconnecting", "lost", "left"],
        reason: str = "", hint: str = "", attempt: int = 0,
    ) -> None:  # fmt: skip
        self._trace.emit(RoomConnection(self._settings.name, state, told(reason), hint, attempt))


def _waits() -> Iterator[float]:
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s * random.uniform(0.75, 1.25)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _ends() -> dict[int, str]:
    """Reasons of the server that no new try would change."""
    reasons = rtc().DisconnectReason
    return {
        reasons.DUPLICATE_IDENTITY: "somebody joined the room under the agent's identity",
        reasons.PARTICIPANT_REMOVED: "the agent was removed from the room",
        reasons.ROOM_DELETED: "the room was deleted",
        reasons.ROOM_CLOSED: "the room was closed",
    }


def _reason_name(reason: int) -> str:
    name: str = rtc().DisconnectReason.Name(reason)
    return name.lower().replace("_", " ")
