"""Which rooms get a session: real sessions without a room, under the virtual clock; the server's answers are given."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from workbench.cli import dispatch
from workbench.cli.dispatch import POLL_S, RoomDispatcher
from workbench.config import Settings, load_settings
from workbench.model.errors import MissingError, UsageError
from workbench.session import Session, open_session
from workbench.simulation.clock import run_virtual
from workbench.transports.livekit import admin

GONE = UsageError("there is no room 'desk-b'", "`workbench room list` lists those there are")


class Desks(RoomDispatcher):
    """Its sessions have no sound; `sessions` are those that were opened, by room and user."""

    def __init__(self, listen: str) -> None:
        given = {
            "profile": "scripted",
            "audio.source": "room",
            "audio.sink": "room",
            "record.enabled": False,
            "room.name": "desk-*",
            "room.listen": listen,
            "room.url": "ws://127.0.0.1:9",
            "room.api_key": "key",
            "room.api_secret": "secret",
        }
        super().__init__(load_settings(given, environ={}), None, False, io.StringIO())
        self.sessions: list[tuple[str, str, Session]] = []

    def _session_settings(self, room: str, user: str) -> Settings:
        own = super()._session_settings(room, user)
        own.audio.source = own.audio.sink = "none"
        return own

    def names(self) -> list[str]:
        return [f"{name} {whom}".strip() for name, whom, _ in self.sessions]


class Server:
    """Who is in which room. What is an error is raised."""

    def __init__(self, **rooms: Any) -> None:
        self.rooms: dict[str, Any] = {name.replace("_", "-"): people for name, people in rooms.items()}
        self.down: Exception | None = None

    async def list(self, _: object) -> list[dict[str, Any]]:
        if self.down is not None:
            raise self.down
        return [
            {"name": name, "sid": f"RM_{name}", "participants": 1} for name, who in self.rooms.items() if who
        ]

    async def show(self, _: object, name: str) -> dict[str, Any]:
        if isinstance(self.rooms[name], Exception):
            raise self.rooms[name]
        return {"people": [{"identity": one, "kind": "standard"} for one in self.rooms[name]]}


Play = Callable[[Server, "Desks"], AsyncIterator[None]]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Desks]:
    """Runs a `RoomDispatcher` against a server; each `yield` of the play is the time of some looks."""

    def run(server: Server, play: Play, listen: str = "each") -> Desks:
        desks = Desks(listen)

        @asynccontextmanager
        async def opened(settings: Settings, **given: Any) -> AsyncIterator[Session]:
            async with open_session(settings, **given) as session:
                whom = settings.room.listen.removeprefix("identity:") if listen == "each" else ""
                desks.sessions.append((settings.room.name, whom, session))
                yield session

        monkeypatch.setattr(admin, "rooms", server.list)
        monkeypatch.setattr(admin, "participants", server.show)
        monkeypatch.setattr(dispatch, "open_session", opened)

        async def main() -> Desks:
            running = asyncio.ensure_future(desks.run())
            try:
                async for _ in play(server, desks):
                    await asyncio.wait((running,), timeout=3 * POLL_S)
                    if running.done():
                        running.result()
            finally:
                running.cancel()
                await asyncio.wait((running,))
            return desks

        return run_virtual(main())

    return run


def test_a_room_that_closes_between_two_requests_harms_no_other(
    looked: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def play(server: Server, desks: Desks) -> AsyncIterator[None]:
        yield
        server.rooms |= {"desk-b": GONE, "desk-c": ["eve"]}
        yield
        assert desks.names() == ["desk-a ann", "desk-b bob", "desk-c eve"]
        assert not any(session.over for *_, session in desks.sessions)

    looked(Server(desk_a=["ann"], desk_b=["bob"], other=["x"]), play)
    assert capsys.readouterr().err.count("there is no room 'desk-b'") == 1


@pytest.mark.parametrize("trouble", [UsageError("the certificate …", "…"), MissingError("nobody", "…")])
def test_errors_after_the_first_poll_are_printed_once_and_sessions_go_on(
    looked: Any, capsys: pytest.CaptureFixture[str], trouble: Exception
) -> None:
    async def play(server: Server, desks: Desks) -> AsyncIterator[None]:
        yield
        server.down = trouble
        yield
        assert not desks.sessions[0][2].over
        server.down, server.rooms["desk-b"] = None, ["bob"]
        yield
        assert desks.names() == ["desk-a", "desk-b"]

    looked(Server(desk_a=["ann"]), play, listen="first")
    assert capsys.readouterr().err.count(str(trouble.args[0])) == 1


def test_a_refusal_at_the_first_poll_ends_the_command(looked: Any) -> None:
    async def play(server: Server, desks: Desks) -> AsyncIterator[None]:
        yield

    server = Server()
    server.down = UsageError("the server does not know this key and secret", "…")
    with pytest.raises(UsageError, match="this key"):
        looked(server, play)


@pytest.mark.parametrize("listen", ["first", "each"])
def test_a_user_who_comes_back_gets_a_new_session_and_one_who_stays_does_not(
    looked: Any, listen: str
) -> None:
    async def play(server: Server, desks: Desks) -> AsyncIterator[None]:
        yield
        for *_, session in desks.sessions:
            session.stop("enough")
        yield
        assert len(desks.sessions) == 2  # both stayed
        server.rooms["desk-a"] = []
        if listen == "each":
            server.rooms["desk-b"] = GONE  # nothing is known of who is in there
        yield
        server.rooms |= {"desk-a": ["ann"], "desk-b": ["bob"]}
        yield
        assert [name.split()[0] for name in desks.names()] == ["desk-a", "desk-b", "desk-a"]

    looked(Server(desk_a=["ann"], desk_b=["bob"]), play, listen=listen)
