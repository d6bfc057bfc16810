"""The command `workbench tui`, without a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from workbench.__main__ import run

DATA = Path(__file__).parents[1] / "data"


def words(svg: Path) -> str:
    return "".join(ElementTree.parse(svg).getroot().itertext()).replace("\xa0", " ")


def test_a_picture_of_a_conversation_and_of_its_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk, look, folder = tmp_path / "talk.svg", tmp_path / "look.svg", tmp_path / "rec"
    agent = tmp_path / "my_agent.py"
    agent.write_text(
        "from workbench import Agent\nagent = Agent(instructions='Be brief.', name='my_agent')\n"
    )
    source = ["--profile", "scripted", "--source", str(DATA / "question.wav"), "--record", str(folder)]
    size = ["--size", "90x30", "--set", "turn.silence_ms=300"]
    assert run(["tui", str(agent), *source, *size, "--screenshot", str(talk)]) == 0
    assert f"recorded in {folder}" in capsys.readouterr().err
    for text in ("Ended", "my_agent", "Turn 1", "heard after", "session ended: source ended"):
        assert text in words(talk)
    assert run(["replay", str(folder), "--screenshot", str(look)]) == 0
    for text in ("Recording", "my_agent", "Turn 1 (1 of 1)", "space plays", "Turn 1: spoke", "over"):
        assert text in words(look)


def test_decisions_are_printed_without_a_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rec"
    source = [
        "--profile",
        "scripted",
        "--source",
        str(DATA / "question.wav"),
        "--record",
        str(folder),
        "--fast",
    ]
    assert run(["run", *source]) == 0
    capsys.readouterr()
    assert run(["replay", str(folder), "--json"]) == 0
    (account,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (account["turn"], account["outcome"]) == (1, "spoke")
    assert {"VAD", "end of turn", "floor", "reply"} <= {it["judge"] for it in account["decisions"]}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere"),
        ([str(DATA)], "not a readable session folder"),
        ([str(DATA), "--json", "--screenshot", "x.svg"], "two answers"),
        ([str(DATA), "--size", "huge"], "columns x rows"),
    ],
)
def test_a_replay_of_what_is_none_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_session_that_cannot_start_can_be_pictured_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "not.wav", tmp_path / "out.svg"
    source.write_text("not a wav file")
    code = run(
        ["tui", "--profile", "scripted", "--source", str(source), "--no-record", "--screenshot", str(out)]
    )
    assert code == 2
    assert "not a sound" in words(out)
    assert "not a sound file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--record", "x", "--no-record"], "contradict"),
        (["--set", "turn.silence_ms"], "there is no ="),
        (["--set", "turn.no_such=1"], "no_such"),
        (["--profile", "nobody"], "nobody"),
        (["--size", "huge"], "columns x rows"),
        (["nobody.py"], "nobody.py"),
    ],
)
def test_bad_input_is_reported_before_the_screen_opens(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["tui", "--screenshot", str(tmp_path / "out.svg"), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_the_screen_imports_neither_engine_nor_providers() -> None:
    program = """
import sys, workbench.tui.app, workbench.tui.live, workbench.tui.replay, workbench.tui.screenshot
for name in ("workbench.engine", "workbench.providers", "sounddevice", "soxr", "pydantic", "openai"):
    assert name not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
