from __future__ import annotations

import json
import re
import socket
import tomllib
from pathlib import Path

import pytest

from workbench.__main__ import run
from workbench.cli.suggestions import suggestions
from workbench.config import Settings, load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_show_says_what_is_used_and_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("workbench.toml").write_text('[turn]\nsilence_ms = 500\n[llm]\nvoice = "x\\u001b[2J"')
    monkeypatch.setenv("WORKBENCH_VAD__THRESHOLD", "0.6")
    assert run(["config", "show", "--origin", "--profile", "scripted"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^silence_ms +\= 500 +# workbench\.toml:2$", said, re.MULTILINE)
    assert re.search(r"^threshold +\= 0\.6 +# WORKBENCH_VAD__THRESHOLD$", said, re.MULTILINE)
    assert re.search(r'^provider +\= "scripted" +# profile scripted$', said, re.MULTILINE)
    assert re.search(r'^profile +\= "scripted" +# flag$', said, re.MULTILINE)
    assert "\x1b" not in said


def test_show_as_json_without_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert run(["config", "show", "--json", "--profile", "openai"]) == 0
    said = capsys.readouterr().out
    assert json.loads(said)["llm"]["api_key"] == "set"
    assert "sk-very" not in said
    assert run(["config", "show", "--json", "--origin"]) == 0
    assert json.loads(capsys.readouterr().out)["stt.provider"] == {
        "value": "whisper/tiny.en",
        "origin": "profile embedded",
    }


def test_a_key_in_the_environment_is_suggested_not_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert run(["config", "show", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["llm"]["provider"] == "llama/smollm2-135m"
    assert "offer: there is an OPENAI_API_KEY" in said.err


def test_a_running_ollama_is_suggested() -> None:
    nobody = ("127.0.0.1", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        (offer,) = suggestions(Settings(), {}, address)
        assert f"127.0.0.1:{address[1]}" in offer
        assert "`workbench config init --for ollama`" in offer
        used = load_settings({"llm.base_url": f"http://127.0.0.1:{address[1]}/v1"}, environ={})
        assert [*suggestions(used, {}, address)] == []
    assert [*suggestions(Settings(), {}, nobody)] == []


def test_validate_names_file_line_and_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "validate"]) == 0
    assert "there is no workbench.toml" in capsys.readouterr().out
    for text, says in [
        ("[vad]\nthreshold = 0.4", ""),
        (
            "[vad]\ntreshold = 0.4",
            "workbench.toml:2: vad.treshold is no setting\n  → did you mean threshold?",
        ),
        (
            '[stt]\nprovider = "wisper"',
            "workbench.toml:2: stt.provider: no stt provider is called 'wisper'\n  → installed: ",
        ),
        ('[stt]\nprovider = "none"', ""),
        (
            '[script]\nagnet = ["x"]',
            "workbench.toml:1: [script] agnet: is no setting\n  → did you mean agent?",
        ),
        ("[profiles.mine]\nvad.threshold = 2", "workbench.toml:2: vad.threshold = 2: "),
        ("[vad", "workbench.toml:1: not TOML"),
    ]:
        Path("workbench.toml").write_text(text)
        assert run(["config", "validate"]) == (2 if says else 0)
        assert says in capsys.readouterr().err
    assert run(["config", "validate", "missing.toml"]) == 2


def test_init_writes_every_setting_as_a_comment(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "init"]) == 0
    text = Path("workbench.toml").read_text()
    assert all(value == {} for value in tomllib.loads(text).values())
    assert run(["config", "validate"]) == 0
    assert run(["config", "init"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(["config", "init", "--force"]) == 0


def test_its_comments_are_the_defaults() -> None:
    run(["config", "init"])
    before, _, _ = Path("workbench.toml").read_text().partition("# [script]")
    Path("all.toml").write_text(re.sub(r"^# (\w+ = \S)", r"\1", before, flags=re.MULTILINE))
    settings = load_settings(config_path=Path("all.toml"), environ={})
    assert settings.public() == Settings().public()
    assert settings.origin("limits.retries").startswith("all.toml:")


def test_init_makes_no_folders(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "init", "no/such/workbench.toml"]) == 2
    assert "cannot be written" in capsys.readouterr().err
