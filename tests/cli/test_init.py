from __future__ import annotations

from pathlib import Path

import pytest

from workbench.__main__ import run
from workbench.agent import load_agent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_writes_an_agent_file_that_loads(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init"]) == 0
    assert "workbench tui agent.py" in capsys.readouterr().err
    agent = load_agent("agent.py")
    assert agent.greeting == "Hello! What would you like to know?"
    assert "workbench tui agent.py" in Path("agent.py").read_text()


def test_the_comments_of_the_agent_file_are_code(folder: Path) -> None:
    run(["init", "other.py"])
    text = Path("other.py").read_text()
    for field in ("on_silence", "language", "stt", "llm", "tts", "speakable"):
        text = text.replace(f"# {field}=", f"{field}=")
    Path("other.py").write_text(text)
    agent = load_agent(folder / "other.py")
    assert (agent.on_silence, agent.tts) == ("Are you still there?", "piper/en_US-joe-medium")
    assert agent.speakable is not None
    assert agent.speakable("API") == "A P I"


def test_init_overwrites_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("agent.py").write_text("mine")
    assert run(["init"]) == 2
    assert "agent.py is there already" in capsys.readouterr().err
    assert Path("agent.py").read_text() == "mine"


def test_init_in_a_folder_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "no/such/folder/agent.py"]) == 2
    assert "cannot be written: No such file" in capsys.readouterr().err
