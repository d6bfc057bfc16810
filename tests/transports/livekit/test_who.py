"""Who is listened to, and what is done to what is heard."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.transports.livekit.conftest import Run
from tests.transports.livekit.people import events, person, settings
from tests.waiting import eventually
from workbench import open_session
from workbench.model.audio import INPUT_RATE, level_db
from workbench.model.errors import UsageError
from workbench.model.events import ListeningStarted, TurnEnded
from workbench.simulation.synthesis import noise, speech
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.source import FRAME, noise_suppressor


@pytest.mark.room
@pytest.mark.parametrize(
    ("listen", "whom"),
    [
        ("identity:bob", {"bob"}),
        ("attribute:role=caller", {"bob"}),
        ("kind:standard", {"ann"}),
        ("kind:sip", set()),
        ("all", {"ann", "bob"}),
    ],
)
def test_those_who_fit_are_heard(with_server: Run, listen: str, whom: set[str]) -> None:
    async def talk(server: LocalServer) -> None:
        async with (
            person(server, "who", "ann") as ann,
            person(server, "who", "bob", attributes={"role": "caller"}) as bob,
            open_session(settings(server, "who", room__listen=listen)) as session,
        ):
            await eventually(lambda: events(session, ListeningStarted))
            room = session.room
            assert room
            await eventually(lambda: {voice.identity for voice in room.source.voices.values()} == whom)
            await asyncio.sleep(0.3)
            for one in (ann, bob):
                one.say(speech(1.0, seed=len(whom)))
            if whom:
                await eventually(lambda: events(session, TurnEnded))
                assert [turn.status for turn in events(session, TurnEnded)] == ["done"]
            else:
                await asyncio.sleep(2)
                assert not events(session, TurnEnded)

    with_server(talk)


@pytest.mark.room
def test_a_session_with_each_is_no_single_session(with_server: Run) -> None:
    async def talk(server: LocalServer) -> None:
        async with open_session(settings(server, "who", room__listen="each")) as session:
            with pytest.raises(UsageError, match="one session has one user"):
                await session.ended()

    with_server(talk)


def test_noise_is_lowered_where_that_is_wanted() -> None:
    clean, steady = noise_suppressor(), noise(4.0, db=-40)
    out = np.concatenate([clean(steady[at : at + FRAME]) for at in range(0, len(steady), FRAME)])
    assert len(out) == len(steady)
    assert level_db(out[-INPUT_RATE:]) < level_db(steady) - 6
