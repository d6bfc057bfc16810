"""The tool as a model calls it."""

from __future__ import annotations

from voice_workbench_jokes.plugin import JOKES, joke, workbench_tools

from workbench import Agent, load_settings, open_session
from workbench.simulation import run_virtual
from workbench.spi import events
from workbench.testing import check_tool


def test_the_tool_passes_the_contract_checks() -> None:
    check_tool(joke, arguments={"topic": "animals"})


def test_the_plugin_contributes_the_tool() -> None:
    assert workbench_tools() == [joke]


def test_no_joke_is_told_twice() -> None:
    async def talk() -> list[str]:
        told: list[str] = []
        settings = load_settings(
            {
                "profile": "scripted",
                "script": {"choose": [{"when": "music", "tool": "joke", "arguments": {"topic": "music"}}]},
                "audio.source": "none",
                "audio.sink": "none",
                "record.enabled": False,
            }
        )
        async with open_session(settings, agent=Agent(instructions="", tools=[joke])) as session:
            async for entry in session.trace.follow():
                match entry.event:
                    case events.TurnEnded(agent_text=text):
                        told.append(text)
                    case events.ListeningStarted():
                        pass
                    case _:
                        continue
                if len(told) == 3:
                    break
                session.type("One about music, please.")
        return told

    told = run_virtual(talk())
    assert told[:2] == [" ".join(one.split()) for one in JOKES["music"]]
    assert "no more jokes about music" in told[2]
