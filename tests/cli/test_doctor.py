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
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] == (code == 0)
    return {finding["what"]: finding for finding in report["findings"]}


def test_the_scripted_profile_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("workbench.toml").write_text("\n".join(FILES))
    checks = _findings(capsys, "--profile", "scripted")
    assert {checks[stage]["state"] for stage in ("vad", "turn", "stt", "llm", "tts", "recordings")} == {"ok"}
    assert "also installed: openai, whisper" in checks["stt"]["found"]
    assert checks["terminal"]["state"] == "note"


def test_a_missing_api_key_is_named_with_the_variable_to_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("workbench.toml").write_text("\n".join([*FILES, "[vad]", 'provider = "energy"']))
    checks = _findings(capsys, "--profile", "openai", code=3)
    assert "OPENAI_API_KEY" in checks["key"]["advice"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-123456")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    checks = _findings(capsys, "--profile", "openai", code=3)
    assert "key" not in checks
    assert "cannot reach http://127.0.0.1:9" in checks["server"]["found"]


def test_missing_weights_are_named_with_the_command_that_pulls_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("workbench.toml").write_text("\n".join(FILES))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("WORKBENCH_MODELS_PATH", raising=False)
    checks = _findings(capsys, code=3)
    assert checks["weights"]["advice"].startswith("run `workbench models pull ")
    assert checks["stt"]["state"] == "missing"


def test_an_unknown_provider_is_missing_and_a_stage_without_one_is_noted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("workbench.toml").write_text(
        "\n".join([*FILES, "[stt]", 'provider = "wisper"', "[tts]", 'provider = "none"'])
    )
    checks = _findings(capsys, "--profile", "scripted", code=3)
    assert "wisper" in checks["stt"]["found"]
    assert checks["tts"]["state"] == "note"


def test_devices_are_needed_only_to_talk_through_them() -> None:
    talking = {
        check.what: check.state for check in examine(load_settings({"profile": "scripted"}, environ={}))
    }
    playing = {
        check.what: check.state
        for check in examine(
            load_settings({"profile": "scripted", "audio.source": "x.wav", "audio.sink": "none"}, environ={})
        )
    }
    assert talking["microphone"] in ("ok", "missing")
    assert playing["microphone"] in ("ok", "note")


def test_without_json_each_check_is_a_line_with_its_advice_below(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    Path("workbench.toml").write_text("\n".join([*FILES, "echo_cancellation = false"]))
    assert run(["doctor", "--profile", "scripted"]) == 0
    text = capsys.readouterr().out
    assert "✓ stt" in text
    assert "→ wear headphones" in text
    assert "ready: talk with `workbench tui`" in text


def test_a_folder_that_cannot_be_written_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    Path("workbench.toml").write_text("\n".join([*FILES, "[record]", 'dir = "file/sessions"']))
    assert _findings(capsys, "--profile", "scripted")["recordings"]["state"] == "note"


PLUGIN = """
from workbench import hookimpl
from workbench.spi import Check

@hookimpl
def workbench_checks(settings):
    return [Check("quota", "missing", f"no minutes left for {settings.stt.provider}", "buy some", stage="stt")]
"""


def test_what_a_plugin_misses_for_a_stage_stands_below_the_stage(capsys: pytest.CaptureFixture[str]) -> None:
    Path("workbench.toml").write_text("\n".join(FILES))
    Path("minutes.py").write_text(PLUGIN)
    checks = _findings(capsys, "--profile", "scripted", "--plugin", "minutes.py", code=3)
    assert checks["stt"]["state"] == "missing"
    names = list(checks)
    assert names[names.index("stt") + 1] == "minutes: quota"
    assert checks["minutes: quota"]["found"] == "no minutes left for scripted"
