"""Two servers that speak OpenAI's API: the first one fails in every way, the second one answers within the turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from workbench import load_settings, open_session
from workbench.model.events import FallbackStarted, VoiceChanged
from workbench.simulation.clock import run_virtual
from workbench.simulation.faults import ANSWER, SAID, Fault, FaultyApi
from workbench.simulation.synthesis import Score

TRIED: dict[str, tuple[Fault, ...]] = {
    "stt": ("error", "hangs", "html"),
    "llm": ("unauthorized", "busy", "hangs", "hangs_midway", "stops", "garbage"),
    "tts": ("unknown_model", "hangs_midway", "stops", "garbage"),
}


@pytest.mark.parametrize(
    ("stage", "fault"), [(stage, fault) for stage, faults in TRIED.items() for fault in faults]
)
def test_a_server_that_fails_is_hardly_noticed(stage: str, fault: Fault, tmp_path: Path) -> None:
    sound = tmp_path / "question.wav"
    Score().silence(0.3).say("hello").silence(3).write_wav(sound)

    async def talk() -> None:
        async with FaultyApi() as first, FaultyApi() as second:
            table = {"provider": "openai/model", "api_key": "none"}
            servers = {
                f"providers.{name}.{key}": value
                for name, api in (("first", first), ("second", second))
                for key, value in {**table, "base_url": api.base_url}.items()
            }
            deadlines = {"llm_first_token_ms", "llm_gap_ms", "tts_first_byte_ms", "tts_gap_ms", "stt_ms"}
            values = {
                "profile": "scripted",
                "audio.source": str(sound),
                "audio.sink": "none",
                "record.enabled": False,
                "limits.hedge_ms": 0,
                stage: "first,second",
                **servers,
                **{f"limits.{name}": 2000 for name in deadlines},
            }
            async with open_session(load_settings(values, environ={})) as session:
                async for entry in session.trace.follow():
                    if type(entry.event).__name__ == "ListeningStarted":
                        break
                first.fault = fault
                await session.ended()
            assert [turn.status for turn in session.turns] == ["done"], session.turns
            turn = session.turns[0]
            assert turn.providers[stage][-1] == "second"
            if stage == "llm":
                assert turn.agent_text == "".join(ANSWER)
            if stage == "stt":
                assert turn.user_text == SAID
            kinds = [type(entry.event) for entry in session.trace.since(0)]
            assert FallbackStarted in kinds
            assert VoiceChanged not in kinds
            assert second.calls.total() > 1

    run_virtual(asyncio.wait_for(talk(), 600))
