"""`workbench config init --for SERVER`, and a spoken turn with each, against a stand-in that answers as it does."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.providers.answering import served
from tests.stand_ins import HEARD, STAND_INS, WORDS, StandIn
from workbench.__main__ import run
from workbench.cli.presets import ServerNames, names, read_preset
from workbench.config import load_settings
from workbench.simulation.synthesis import Score

KEYS = {
    "GROQ_API_KEY": "gsk-1234567",
    "OPENROUTER_API_KEY": "sk-or-1234567",
    "AZURE_OPENAI_API_KEY": "azure-1234567",
}
PAGES = Path(__file__).parents[2] / "docs" / "servers"
AGENT = '''
from workbench import Agent, tool

@tool
def price(item: str) -> str:
    """What something costs."""
    return f"{item}: seven euros"

agent = Agent(instructions="You sell groceries.", greeting="Welcome!", tools=[price])
'''
TOOLS = ("ollama", "lmstudio", "groq", "openrouter", "azure", "localai")
"""Whose stand-ins take tools; vllm and llamacpp were started without the flags for them."""


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "shop.py").write_text(AGENT)
    return tmp_path


def test_every_server_has_a_stand_in_and_a_page() -> None:
    assert (
        sorted(STAND_INS)
        == names()
        == sorted(page.stem for page in PAGES.glob("*.md") if page.stem != "README")
    )


def init(*servers: str) -> dict[str, Any]:
    assert run(["config", "init", *(word for server in servers for word in ("--for", server))]) == 0
    return tomllib.loads(Path("workbench.toml").read_text("utf-8"))


def redirect(table: dict[str, Any], urls: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the stages of a settings file ask the stand-ins on loopback, at the paths that the file says."""
    for stage, url in urls.items():
        parts = urlsplit(table[stage]["base_url"])
        path = parts.path.removeprefix("/openai") if parts.path == "/openai/v1" else parts.path
        path = path.replace("/api/v1", "/v1")
        query = f"?{parts.query}" if parts.query else ""
        monkeypatch.setenv(f"WORKBENCH_{stage.upper()}__BASE_URL", f"{url.removesuffix('/v1')}{path}{query}")


def talk(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """A spoken question through `workbench run`, and the lines that it prints."""
    score = Score().silence(1.5).say("How much is the tea?").silence(4)
    wav = str(score.write_wav(Path("question.wav")))
    capsys.readouterr()
    code = run(
        ["run", *arguments, "--source", wav, "--sink", "none", "--profile", "scripted", "--fast", "--json"]
    )
    printed = capsys.readouterr()
    return code, [json.loads(line) for line in printed.out.splitlines()], printed.err


@pytest.mark.parametrize("name", STAND_INS)
def test_a_spoken_turn_with_each_server(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server: StandIn = STAND_INS[name]()
    table = init(name)
    assert set(table) == set(server.stages)
    with served(server.answer) as url:
        redirect(table, dict.fromkeys(server.stages, url), monkeypatch)
        code, lines, err = talk(capsys, "shop.py")
    turn = lines[0]
    assert (code, turn["status"]) == (0, "done"), err
    if "stt" in server.stages:
        assert turn["user_text"] == HEARD
    if "llm" in server.stages:
        assert turn["agent_text"] == "".join(WORDS).strip()
        asked = [body for kind, body in server.requests if kind == "/chat/completions"]
        results = [message for message in asked[-1]["messages"] if message["role"] == "tool"]
        assert bool(results) == (name in TOOLS)
        assert turn["usage"]["input_tokens"] == 21 * (len(asked) - server.refused_chats)
    check_cost(name, turn["usage"], lines[-1]["summary"])
    if "tts" in server.stages:
        assert turn["usage"]["tts_seconds"] > 0.4
    if name in ("vllm", "llamacpp"):
        assert "the agent's tools are not used" in err
    assert not any(key in err + json.dumps(lines) for key in KEYS.values())


def check_cost(name: str, usage: dict[str, Any], summary: dict[str, Any]) -> None:
    """OpenRouter says what it charges; of the others no price is known at this address."""
    if name == "openrouter":
        assert usage["cost"] == usage["cost_at_least"] == pytest.approx(2 * 0.00042)
        assert summary["cost"] == pytest.approx(2 * 0.00042)
    else:
        assert (usage["cost"], summary["cost"]) == (None, None)
        assert usage["cost_at_least"] == summary["cost_at_least"] == 0


def test_two_servers_share_a_conversation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ollama, kokoro = STAND_INS["ollama"](), STAND_INS["kokoro"]()
    table = init("ollama,kokoro")
    with served(ollama.answer) as chat, served(kokoro.answer) as voice:
        redirect(table, {"llm": chat, "tts": voice}, monkeypatch)
        code, lines, err = talk(capsys, "shop.py")
    assert code == 0, err
    assert lines[0]["agent_text"] == "".join(WORDS).strip()
    assert "/audio/speech" in {kind for kind, _ in kokoro.requests}


@pytest.mark.parametrize("name", STAND_INS)
def test_doctor_finds_nothing_wrong_with_a_server_that_runs(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = STAND_INS[name]()
    table = init(name)
    with served(server.answer) as url:
        redirect(table, dict.fromkeys(server.stages, url), monkeypatch)
        capsys.readouterr()
        assert run(["doctor", "--profile", "scripted", "--json", "--config", "workbench.toml"]) in (0, 3)
    findings = json.loads(capsys.readouterr().out)["findings"]
    stages = {finding["what"]: finding["state"] for finding in findings}
    assert {stages[stage] for stage in server.stages} == {"ok"}
    told = [finding["found"] for finding in findings if finding["what"] == "model"]
    assert bool(told) == (name == "llamacpp"), told


def test_a_key_that_is_not_set_is_named_by_run_and_doctor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    init("groq")
    said = capsys.readouterr().err
    assert "export GROQ_API_KEY=…" in said
    monkeypatch.delenv("GROQ_API_KEY")
    assert run(["run", "--source", "none", "--profile", "scripted"]) == 3
    assert "stt.api_key: GROQ_API_KEY is not set" in capsys.readouterr().err
    assert run(["doctor", "--profile", "scripted"]) == 3
    assert "GROQ_API_KEY is not set" in capsys.readouterr().out


def test_the_first_server_gets_a_stage_that_two_have(capsys: pytest.CaptureFixture[str]) -> None:
    table = init("ollama", "groq")
    assert table["llm"]["provider"] == "openai/llama3.2"
    assert table["tts"]["provider"].endswith("orpheus-v1-english")
    assert run(["config", "init", "--for", "groq,ollama", "--force"]) == 2
    assert "--for ollama sets nothing that groq does not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--for", "ollam"], "did you mean ollama?"),
        (["--for", "nothing-like-it"], "there are: azure, groq, kokoro"),
        (["--for", ","], "--for names no server"),
    ],
)
def test_what_is_no_server_is_said(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "init", *words]) == 2
    assert says in capsys.readouterr().err
    assert not Path("workbench.toml").exists()


def test_a_file_that_is_there_is_kept_without_force(capsys: pytest.CaptureFixture[str]) -> None:
    Path("workbench.toml").write_text("# mine")
    assert run(["config", "init", "--for", "kokoro"]) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("workbench.toml").read_text() == "# mine"
    assert run(["config", "init", "--for", "kokoro", "--force"]) == 0
    assert load_settings().tts.provider == "openai/kokoro"


def test_names_are_completed_one_after_the_other() -> None:
    def complete(text: str) -> list[str]:
        items = ServerNames().shell_complete(None, None, text)  # type: ignore[arg-type]
        return [item.value for item in items]

    assert complete("ll") == ["llamacpp"]
    assert complete("ollama,ko") == ["ollama,kokoro"]


@pytest.mark.parametrize("name", names())
def test_a_preset_says_what_the_server_lacks(name: str) -> None:
    preset = read_preset(name)
    lacks = {"stt", "llm", "tts"} - set(preset.tables)
    words = ("no speech", "Its speech", "neither", "no language model", "the same way")
    assert bool(lacks) == any(word in preset.comment for word in words)
    page = (PAGES / f"{name}.md").read_text("utf-8")
    assert "\n".join(preset.tables.values()).strip() in page
    assert f"config init --for {name}\n" in page
