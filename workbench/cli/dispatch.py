"""`workbench run --room 'demo-*'`: dispatch a session to each matching room, or each participant, on one loop."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import partial
from typing import NoReturn, TextIO

from workbench.agent import Agent
from workbench.cli.output import err, out, short
from workbench.cli.run import print_turn
from workbench.cli.signals import until_signal
from workbench.config import Settings
from workbench.engine.tasks import beside, single
from workbench.model.errors import MissingError, WorkbenchError, foreign
from workbench.model.text import plain
from workbench.readers import Readers
from workbench.readers.timeline import Turn
from workbench.session import Session, open_session
from workbench.transports.livekit import admin
from workbench.transports.livekit.token import access
from workbench.views.trace import on_turn

POLL_S = 1.0
"""The server is asked for its rooms so often, s."""
EACH = "each"
"""`[room] listen`: a session with each participant."""

Job = tuple[str, str]
"""A room's sid, and the participant whom the session is with (empty: by the settings)."""


def many_sessions(settings: Settings) -> bool:
    """Decide whether the settings ask for more than one session."""
    return settings.audio.source == "room" and (
        any(sign in settings.room.name for sign in "*?[") or settings.room.listen == EACH
    )


class RoomDispatcher:
    """Opens sessions where participants are, and forgets them when they end. One that fails ends alone."""

    def __init__(self, settings: Settings, agent: Agent | None, as_json: bool, to: TextIO) -> None:
        self.counts: Counter[str] = Counter()
        """Turns by their status, and sessions that failed (`broken`)."""
        self._settings = settings
        self._agent = agent
        self._as_json = as_json
        self._to = to
        self._access = access(settings.room, keys=True)
        self._sessions: dict[Job, asyncio.Task[None]] = {}
        self._finished: set[Job] = set()
        """Where a session ended, and its user is still there."""
        self._connected = False
        """The server has answered."""
        self._reported: set[str] = set()
        """What went wrong at the last poll."""

    async def run(self) -> NoReturn:
        """Poll the server until cancelled. Raises UsageError if it refuses the first time; later that is printed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    for job, room in (await self._jobs()).items():
                        if job not in self._sessions and job not in self._finished:
                            self._sessions[job] = tasks.create_task(self._run_session(job, room))
                    await asyncio.sleep(POLL_S)
        except BaseExceptionGroup as group:
            raise single(group) from None

    async def _jobs(self) -> dict[Job, str]:
        """Return where sessions should be, with the room's name; nowhere new while the server does not answer."""
        try:
            rooms = [room for room in await admin.rooms(self._access) if room["participants"]]
        except WorkbenchError as error:
            if not self._connected and not isinstance(error, MissingError):
                raise
            self._report([error])
            return {}
        self._connected = True
        jobs: dict[Job, str] = {}
        errors: dict[str, WorkbenchError] = {}
        for room in rooms:
            if fnmatchcase(room["name"], self._settings.room.name):
                try:
                    users = await self._users(room["name"])
                except WorkbenchError as error:  # it closed meanwhile, mostly: no matter of the others
                    errors[room["sid"]] = error
                else:
                    jobs |= {(room["sid"], user): room["name"] for user in users}
        self._report(errors.values())
        # who has left and comes back is welcome; a session that ended is not tried again while its user stays
        self._finished = {job for job in self._finished if job in jobs or job[0] in errors}
        return jobs

    async def _users(self, room: str) -> list[str]:
        """Return the identities of those who should have a session; an empty one where that is anybody."""
        if self._settings.room.listen != EACH:
            return [""]
        people = (await admin.participants(self._access, room))["people"]
        return [person["identity"] for person in people if person["kind"] not in ("agent", "egress")]

    def _report(self, errors: Iterable[WorkbenchError]) -> None:
        """Print what went wrong at a poll: once, not at each poll."""
        reports = {plain(f"{error.reason} – {error.hint}") for error in errors}
        for report in sorted(reports - self._reported):
            err(report)
        self._reported = reports

    async def _run_session(self, job: Job, room: str) -> None:
        """Hold one session from its beginning to its end, whatever that is."""
        user = job[1]
        label = short(f"{room} {user}".strip(), 60)
        try:
            with foreign(f"the session in {label}", "host", keep=True):
                async with open_session(self._session_settings(room, user), agent=self._agent) as session:
                    readers = Readers(
                        session.trace, [on_turn(session.trace, partial(self._turn_ended, label))]
                    )
                    async with beside(readers.run()), beside(_leave_when_empty(session)):
                        err(f"{label}: joined")
                        await session.ended()
                    readers.catch_up()
                err(f"{label}: over")
        except WorkbenchError as error:
            self.counts["broken"] += 1
            err(plain(f"{label}: {error}"))
        finally:
            self._finished.add(job)
            del self._sessions[job]

    def _session_settings(self, room: str, user: str) -> Settings:
        settings = self._settings.model_copy(deep=True)
        settings.room.name = room
        settings.room.identity = ""
        if user:
            settings.room.listen = f"identity:{user}"
        if settings.record.folder is not None:  # a folder for each, in the one that was named
            settings.record.dir, settings.record.folder = settings.record.folder, None
        return settings

    def _turn_ended(self, label: str, turn: Turn) -> None:
        self.counts[turn.status] += 1
        print_turn(turn, self._as_json, self._to, room=label)


async def _leave_when_empty(session: Session) -> None:
    """Stop the session when nobody is left to talk to, or the room would never close."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    while True:
        await asyncio.sleep(POLL_S)
        room = session.room
        if room is None or not room.connection.flowing or room.participants.occupied:
            since = loop.time()
        elif loop.time() - since >= session.settings.room.grace_s:
            session.stop("everybody has left")


async def run_dispatcher(settings: Settings, agent: Agent | None, as_json: bool, to: TextIO) -> int:
    """Dispatch sessions until a signal comes; return the exit code."""
    dispatcher = RoomDispatcher(settings, agent, as_json, to)
    err(f"waiting for rooms like {plain(settings.room.name, one_line=True)}; Ctrl-C ends it")
    code = await until_signal(dispatcher.run())
    counts = {status: dispatcher.counts[status] for status in ("done", "cut", "failed", "broken")}
    out(json.dumps({"summary": counts}) if as_json else f"\n{counts}", to)
    return code
