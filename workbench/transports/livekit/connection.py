"""The connection to a room: the first try, the SDK's own reconnects, ours from scratch, and ends that are final."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, Literal

from workbench.config.room import RoomSettings
from workbench.engine.tasks import single
from workbench.model.clock import outside
from workbench.model.errors import UsageError, WorkbenchError
from workbench.model.events import RoomConnection
from workbench.trace.trace import Trace
from workbench.transports.livekit.join_errors import explain, no_answer
from workbench.transports.livekit.probe import Unreachable, probe
from workbench.transports.livekit.sdk import error_text, event_router, rtc
from workbench.transports.livekit.token import Access

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
"""Between two tries, s: doubled each time, with jitter, so that many agents do not come at once."""
TRY_S, LEAST_S = 10.0, 1.0
"""The longest and the least time of one try, s."""
SLOW_S = 2.0
"""A server that has not let us in by then is probed without the SDK, s."""
LEAVE_S = 2.0
"""The longest that leaving politely may take, s."""
REASON_S = 2.0
"""How long the reason of a connection's end is waited for, s: now and then the SDK ends one without any, and on a
machine that has much to do it may come long after the end itself."""

WireRoom = Callable[[Any], None]
"""Sets handlers on an `rtc.Room` before it connects."""
OnJoined = Callable[[Any, bool], Awaitable[None]]
"""Called with a room that was joined: from scratch (True), or reconnected by the SDK (False)."""


class RoomConnector:
    """One participant's place in one room. `room` is the connected `rtc.Room`, None while there is none."""

    def __init__(
        self, settings: RoomSettings, access: Access, identity: str, trace: Trace, wire: WireRoom, joined: OnJoined,
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
        self._renewed = ""
        """The token that the server gave in place of a ready one, which may be too old by now."""
        self._closed: asyncio.Future[int] | None = None
        self._reconnected = asyncio.Event()

    async def open(self) -> None:
        """Join. UsageError where the server refuses, MissingError where none answers within `connect_s`."""
        await self._join(self._settings.connect_s)

    async def keep(self) -> str:
        """Stay joined; return why that is over. MissingError where a lost server does not come back in time."""
        while True:
            reason = await self._disconnection()
            self.flowing = False
            if reason in (final := _final_reasons()):
                self._emit("lost", final[reason])
                return final[reason]
            self.room, self._state = None, "reconnecting"
            self._emit("reconnecting", f"the connection was lost: {_reason_name(reason)}")
            await self._join(self._settings.reconnect_s)

    async def close(self) -> None:
        """Leave, so that the others see it at once."""
        room, self.room, self.flowing = self.room, None, False
        if room is not None and room.isconnected():
            with suppress(TimeoutError), outside():
                async with asyncio.timeout(LEAVE_S):
                    await room.disconnect()
            self._emit("left")

    # --- joining -----------------------------------------------------------------------------------------------------

    async def _join(self, limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        for attempt, wait_s in enumerate(_waits(), 1):
            self._emit(self._state, attempt=attempt)
            try:
                await self._try(min(TRY_S, max(LEAST_S, deadline - loop.time())))
            except Unreachable as error:
                if loop.time() + wait_s > deadline:
                    self._emit("lost", error.reason, error.hint, attempt)
                    raise
                self._emit(self._state, error.reason, error.hint, attempt)
                await asyncio.sleep(wait_s)
                continue
            except UsageError as error:
                self._emit("lost", error.reason, error.hint, attempt)
                raise
            self._emit("connected")
            return

    async def _try(self, limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        room = await self._connected_room(limit_s)
        self.room, self.flowing = room, True
        try:
            _check_grants(room, self._settings.name)
            async with asyncio.timeout_at(max(deadline, loop.time() + LEAST_S)):
                await self._joined(room, True)
        except (
            WorkbenchError,
            TimeoutError,
            rtc().participant.PublishTrackError,
        ) as error:  # it went meanwhile, or lets us do too little
            self.room, self.flowing = None, False
            with suppress(TimeoutError), outside():
                async with asyncio.timeout(LEAVE_S):
                    await room.disconnect()
            if isinstance(error, WorkbenchError):
                raise
            why = f"not within {limit_s:.0f} s" if isinstance(error, TimeoutError) else error_text(error)
            raise Unreachable(
                f"the agent's track was not taken ({why})", "does the server run, and the network hold?"
            ) from None

    async def _connected_room(self, limit_s: float) -> Any:
        sdk = rtc()
        room = sdk.Room()
        self._closed = asyncio.get_running_loop().create_future()
        self._watch(room, self._closed)
        self._wire(room)
        options = sdk.RoomOptions(auto_subscribe=False, connect_timeout=limit_s)
        token = self._renewed or self._access.token(
            room=self._settings.name,
            identity=self.identity,
            kind="agent",
            name=self._name,
            attributes=self._attributes(),
        )
        url = self._access.url
        try:
            with outside():
                await _connect(room, room.connect(url, token, options), url, limit_s)
        except sdk.ConnectError as error:
            raise await explain(error, url, self._settings.name) from None
        event_router().settle(room)
        return room

    def _watch(self, room: Any, closed: asyncio.Future[int]) -> None:
        sdk, loop = rtc(), asyncio.get_running_loop()

        def disconnected(reason: int) -> None:
            if not closed.done():
                closed.set_result(reason)

        def state_changed(state: int) -> None:
            if state == sdk.ConnectionState.CONN_DISCONNECTED:
                loop.call_later(REASON_S, disconnected, sdk.DisconnectReason.UNKNOWN_REASON)

        def reconnecting() -> None:
            self.flowing, self._state = False, "reconnecting"
            self._emit("reconnecting", "the connection was interrupted")

        def reconnected() -> None:
            self.flowing = True
            self._emit("connected")
            self._reconnected.set()

        def renewed() -> None:
            self._renewed = room._token  # private: docs/decisions/0041

        room.on("disconnected", disconnected)
        room.on("connection_state_changed", state_changed)
        room.on("reconnecting", reconnecting)
        room.on("reconnected", reconnected)
        if self._access.ready:
            room.on("token_refreshed", renewed)

    async def _disconnection(self) -> int:
        """Return why the SDK gave up; meanwhile do what its own reconnects leave undone."""
        closed = self._closed
        assert closed is not None
        while True:
            with outside():
                async with asyncio.TaskGroup() as tasks:
                    reconnected = tasks.create_task(self._reconnected.wait())
                    await asyncio.wait((closed, reconnected), return_when=asyncio.FIRST_COMPLETED)
                    reconnected.cancel()
            if closed.done():
                return closed.result()
            self._reconnected.clear()
            await self._joined(self.room, False)

    def _emit(
        self, state: Literal["connecting", "connected", "reconnecting", "lost", "left"],
        reason: str = "", hint: str = "", attempt: int = 0,
    ) -> None:  # fmt: skip
        self._trace.emit(RoomConnection(self._settings.name, state, error_text(reason), hint, attempt))


async def _connect(room: Any, connect: Coroutine[Any, Any, None], url: str, limit_s: float) -> None:
    """Connect; where that takes long, a probe of the server says why.

    A connection that was begun must be awaited: some seconds after one that was not, the SDK's native part ends the
    whole process. So a cancellation waits for it, as long as that is bearable, and hangs up.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(connect)
            try:
                await _connected(connecting, url, limit_s)
            except BaseException:
                if not connecting.done():
                    await asyncio.wait((connecting,), timeout=LEAVE_S)
                    connecting.cancel()
                    await asyncio.wait((connecting,))
                if not connecting.cancelled() and connecting.exception() is None:
                    await room.disconnect()
                raise
    except BaseExceptionGroup as group:
        raise single(group) from None


async def _connected(connecting: asyncio.Task[None], url: str, limit_s: float) -> None:
    """Wait for a connection that was begun; raise what keeps it from coming."""
    await asyncio.wait((connecting,), timeout=min(SLOW_S, limit_s))
    if not connecting.done():
        if (result := await probe(url)).error is not None:
            raise result.error
        await asyncio.wait((connecting,), timeout=max(0.0, limit_s - SLOW_S))
        if not connecting.done():
            raise no_answer(url, result)
    connecting.result()


def _check_grants(room: Any, name: str) -> None:
    """Raise UsageError where the token lets the agent in, but not speak or listen."""
    grants = room.local_participant.permissions
    microphone = (
        not grants.can_publish_sources or rtc().TrackSource.SOURCE_MICROPHONE in grants.can_publish_sources
    )
    for verb, grant, allowed in (
        ("speak", "canPublish, for the microphone", grants.can_publish and microphone),
        ("hear", "canSubscribe", grants.can_subscribe),
    ):
        if not allowed:
            raise UsageError(
                f"the token does not allow to {verb} in {error_text(name, 60)}",
                f"sign one with {grant}: key and secret in the settings do",
            )


def _waits() -> Iterator[float]:
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s * random.uniform(0.75, 1.25)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _final_reasons() -> dict[int, str]:
    """Return the server's reasons that no new try would change."""
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
