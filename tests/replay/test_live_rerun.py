"""A session with the models on board, spoken in real time, runs again to the same decisions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from workbench import Agent, open_session
from workbench.config import load_settings
from workbench.model.events import ReplyPlaying
from workbench.replay.rerun import rerun
from workbench.replay.verdict import compare_traces

QUESTION = Path(__file__).parents[1] / "data" / "question.wav"


@pytest.mark.models
def test_a_live_session_gives_the_same_decisions(tmp_path: Path) -> None:
    flags = {"profile": "embedded", "audio.source": str(QUESTION), "audio.sink": "none"}
    settings = load_settings(flags | {"record.folder": str(tmp_path / "live")})

    async def talk() -> None:
        async with open_session(settings, agent=Agent(instructions="Answer in a few words.")) as session:
            async with asyncio.timeout(60):
                async for entry in session.trace.follow():
                    if isinstance(entry.event, ReplyPlaying):
                        break
            session.interrupt()
            await session.ended()

    asyncio.run(talk())
    again = rerun(tmp_path / "live")
    verdict = compare_traces(again.original, again.trace)
    assert again.changes == ()
    assert len(again.trace.turns) >= 1
    # a loop that was kept waiting decided so much later than it would have, and so played a word less
    late = {each.subject for each in verdict.differences if not each.subject.endswith("_ms")}
    assert late <= {"heard", "unheard", "agent_text"}
    for before, after in zip(again.original.turns, again.trace.turns, strict=True):
        assert (before.user_text, before.status) == (after.user_text, after.status)
