from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.__main__ import run
from workbench.cli.doctor import examine
from workbench.config import load_settings

FILES = ["[audio]", 'source = "question.wav"', 'sink = "none"']


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _findings(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> dict[str, dict[str, str]]:
    assert run(["doctor", "--json", *arguments]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] == (code == 0)
    return {finding["what"]: finding for finding in told["findings"]}


def test_a_script_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("workbench.toml").write_text("\n".join(FILES))
    found = _findings(capsys, "--profile", "scripted")
    assert {found[stage]["state"] for stage in ("vad", "turn", "stt", "llm", "tts", "recordings")} == {"ok"}
    assert "also installed: openai, whisper" in found["stt"]["found"]
    assert found["terminal"]["state"] == "note"


def test_a_key_that_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("workbench.toml").write_text("\n".join([*FILES, "[vad]", 'provider = "energy"']))
    found = _findings(capsys, "--profile", "openai", code=3)
    assert "OPENAI_API_KEY" in found["key"]["advice"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-123456")
    assert "key" not in _findings(capsys, "--profile", "openai")


def test_weights_that_are_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("workbench.toml").write_text("\n".join(FILES))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("WORKBENCH_MODELS_PATH", raising=False)
    found = _findings(capsys, code=3)
    assert found["weights"]["advice"].startswith("run `workbench models pull ")
    assert found["stt"]["state"] == "missing"


def test_a_provider_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    Path("workbench.toml").write_text(
        "\n".join([*FILES, "[stt]", 'provider = "wisper"', "[tts]", 'provider = "none"'])
    )
    found = _findings(capsys, "--profile", "scripted", code=3)
    assert "wisper" in found["stt"]["found"]
    assert found["tts"]["state"] == "note"


def test_devices_are_needed_for_a_microphone_only() -> None:
    talking = {one.what: one.state for one in examine(load_settings({"profile": "scripted"}, environ={}))}
    playing = {
        one.what: one.state
        for one in examine(
            load_settings({"profile": "scripted", "audio.source": "x.wav", "audio.sink": "none"}, environ={})
        )
    }
    assert talking["microphone"] in ("ok", "missing")
    assert playing["microphone"] in ("ok", "note")


def test_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    Path("workbench.toml").write_text("\n".join([*FILES, "echo_cancellation = false"]))
    assert run(["doctor", "--profile", "scripted"]) == 0
    said = capsys.readouterr().out
    assert "✓ stt" in said
    assert "→ wear headphones" in said
    assert "ready: talk with `workbench tui`" in said


def test_recordings_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    Path("workbench.toml").write_text("\n".join([*FILES, "[record]", 'dir = "file/sessions"']))
    assert _findings(capsys, "--profile", "scripted")["recordings"]["state"] == "note"
