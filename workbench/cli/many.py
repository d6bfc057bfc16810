"""`workbench run --room 'demo-*'`: a session in each room that fits, or with each participant, all on one loop."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, NoReturn, TextIO

from workbench.agent import Agent
from workbench.cli.run import err, out, print_turn
from workbench.cli.signals import until_signal
from workbench.config import Settings
from workbench.engine.flow import beside, single
from workbench.model.errors import MissingError, WorkbenchError, foreign
from workbench.model.text import plain
from workbench.readers import Readers
from workbench.readers.timeline import Timeline, Turn
from workbench.session import Session, open_session
from workbench.transports.livekit import admin
from workbench.transports.livekit.token import access

LOOK_S = 1.0
"""The server is asked for its rooms so often, s."""
EACH = "each"
"""`[room] listen`: a session with each participant."""

Place = tuple[str, str]
"""A room's sid, and whom the session there is with (empty: by the settings)."""


def means_many(settings: Settings) -> bool:
    """Whether the settings ask for more than one session."""
    return settings.audio.source == "room" and (
        any(sign in settings.room.name for sign in "*?[") or settings.room.listen == EACH
    )


class Many:
    """Opens sessions where somebody is, and forgets them when they end. One that fails ends alone."""

    def __init__(self, settings: Settings, agent: Agent | None, as_json: bool, to: TextIO) -> None:
        self.counts: Counter[str] = Counter()
        """Turns by their status, and sessions that failed."""
        self._settings = settings
        self._agent = agent
        self._as_json = as_json
        self._to = to
        self._access = access(settings.room, keys=True)
        self._sessions: dict[Place, asyncio.Task[None]] = {}
        self._over: set[Place] = set()
        """Where a session ended, and its user is still there."""
        self._known = False
        """The server has answered."""
        self._told: set[str] = set()
        """What the last look failed of."""

    async def run(self) -> NoReturn:
        """Until cancelled. UsageError where the server refuses the first look; later ones are told."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    for place, name in (await self._wanted()).items():
                        if place not in self._sessions and place not in self._over:
                            self._sessions[place] = tasks.create_task(self._one(place, name))
                    await asyncio.sleep(LOOK_S)
        except BaseExceptionGroup as group:
            raise single(group) from None

    async def _wanted(self) -> dict[Place, str]:
        """Where sessions should be, with the room's name; nowhere new while the server does not answer."""
        try:
            rooms = [one for one in await admin.rooms(self._access) if one["participants"]]
        except WorkbenchError as error:
            if not self._known and not isinstance(error, MissingError):
                raise
            self._tell([error])
            return {}
        self._known = True
        wanted: dict[Place, str] = {}
        silent: dict[str, WorkbenchError] = {}
        for one in rooms:
            if fnmatchcase(one["name"], self._settings.room.name):
                try:
                    wanted |= {(one["sid"], whom): one["name"] for whom in await self._whom(one["name"])}
                except WorkbenchError as error:  # it closed meanwhile, mostly: no matter of the others
                    silent[one["sid"]] = error
        self._tell(silent.values())
        # who has left and comes back is welcome; a session that ended is not tried again while its user stays
        self._over = {place for place in self._over if place in wanted or place[0] in silent}
        return wanted

    async def _whom(self, name: str) -> list[str]:
        """The identities of those in a room who should have a session; one without a name where that is anybody."""
        if self._settings.room.listen != EACH:
            return [""]
        there = await admin.participants(self._access, name)
        return [one["identity"] for one in there["people"] if one["kind"] not in ("agent", "egress")]

    def _tell(self, errors: Iterable[WorkbenchError]) -> None:
        """What a look failed of: once, not at each look."""
        said = {plain(f"{error.reason} – {error.hint}") for error in errors}
        for one in sorted(said - self._told):
            err(one)
        self._told = said

    async def _one(self, place: Place, name: str) -> None:
        """One session, from its beginning to its end, whatever that is."""
        whom = place[1]
        shown = plain(f"{name} {whom}".strip(), 60, one_line=True)
        try:
            with foreign(f"the session in {shown}", "host", keep=True):
                async with open_session(self._own(name, whom), agent=self._agent) as session:
                    readers = Readers(session.trace, [Timeline(lambda turn: self._ended(shown, turn))])
                    async with beside(readers.run()), beside(_leave_when_empty(session)):
                        err(f"{shown}: joined")
                        await session.ended()
                    readers.catch_up()
                err(f"{shown}: over")
        except WorkbenchError as error:
            self.counts["broken"] += 1
            err(plain(f"{shown}: {error}"))
        finally:
            self._over.add(place)
            del self._sessions[place]

    def _own(self, name: str, whom: str) -> Settings:
        settings = self._settings.model_copy(deep=True)
        settings.room.name = name
        settings.room.identity = ""
        if whom:
            settings.room.listen = f"identity:{whom}"
        if settings.record.folder is not None:  # a folder for each, in the one that was named
            settings.record.dir, settings.record.folder = settings.record.folder, None
        return settings

    def _ended(self, shown: str, turn: Turn) -> None:
        self.counts[turn.status] += 1
        if self._as_json:
            out(json.dumps({**turn.to_json(), "room": shown}), self._to)
        else:
            out(f"\n{shown}", self._to)
            print_turn(turn, False, self._to)


async def _leave_when_empty(session: Session) -> None:
    """Where nobody is left who could be talked to, the agent leaves too, or the room would never close."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    while True:
        await asyncio.sleep(LOOK_S)
        room = session.room
        if room is None or not room.connection.flowing or room.members.somebody:
            since = loop.time()
        elif loop.time() - since >= session.settings.room.grace_s:
            session.stop("everybody has left")


async def talk_in_many(settings: Settings, agent: Agent | None, as_json: bool, to: TextIO) -> int:
    """Until a signal comes; the exit code."""
    many = Many(settings, agent, as_json, to)
    err(f"waiting for rooms like {plain(settings.room.name, one_line=True)}; Ctrl-C ends it")
    code = await until_signal(many.run())
    counts: dict[str, Any] = {status: many.counts[status] for status in ("done", "cut", "failed", "broken")}
    out(json.dumps({"summary": counts}) if as_json else f"\n{counts}", to)
    return code
