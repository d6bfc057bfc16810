"""A recorded conversation of the scripted profile, made once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from workbench.__main__ import run
from workbench.simulation.synthesis import Score

AGENT = """
from workbench import Agent, tool


@tool(idempotent=True)
def weather(city: str) -> str:
    \"\"\"Return the weather of a city.

    Args:
        city: where.
    \"\"\"
    return f"It rains in {{city}}."


agent = Agent(instructions="{instructions}", name="desk", tools=[weather])
"""
SETTINGS = """
profile = "scripted"

[script]
spoken = {spoken}
agent = ["Good morning to you.", "Very well."]
choose = [{{when = "weather in (?P<city>\\\\w+)", tool = "weather", arguments = {{city = "{{city}}"}}}}]
first_token_ms = 100
first_byte_ms = 80
"""


def write_agent(file: Path, instructions: str = "Be brief.") -> Path:
    file.write_text(AGENT.format(instructions=instructions), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def recorded_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The desk of somebody who recorded three turns: `before`, its agent and its settings."""
    desk = tmp_path_factory.mktemp("desk")
    score = Score(noise_db=-65.0).silence(0.5).say("good morning").silence(3.0)
    score.say("how is the weather in Oslo").silence(4.0).say("thank you").silence(3.0)
    score.write_wav(desk / "user.wav")
    spoken = [[line.text, line.start, line.end] for line in score.spoken]
    (desk / "workbench.toml").write_text(SETTINGS.format(spoken=spoken), encoding="utf-8")
    agent = write_agent(desk / "my_agent.py")
    words = [
        "run",
        str(agent),
        "--source",
        str(desk / "user.wav"),
        "--fast",
        "--record",
        str(desk / "before"),
    ]
    assert run([*words, "--config", str(desk / "workbench.toml"), "--sink", "none"]) == 0
    return desk


@pytest.fixture
def desk(recorded_session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to work in."""
    place = tmp_path / "desk"
    shutil.copytree(recorded_session, place)
    monkeypatch.chdir(place)
    for name in [name for name in os.environ if name.startswith("WORKBENCH_")]:
        monkeypatch.delenv(name)
    return place
