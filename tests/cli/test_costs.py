"""What a session cost, from the turn's line to the list of sessions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_presets import AGENT, talk
from tests.providers.answering import served
from tests.stand_ins import Ollama
from workbench.__main__ import run
from workbench.simulation.synthesis import Score

PRICES = """
[[model]]
server = "127.0.0.1"
model = "llama*"
input = 1000
output = 2000
"""


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "shop.py").write_text(AGENT)
    return tmp_path


def settings(url: str, prices: str = "") -> None:
    Path("workbench.toml").write_text(f'{prices}\n[llm]\nprovider = "openai/llama3.2"\nbase_url = "{url}"\n')


def test_a_price_of_ones_own_is_used_and_summed_up(capsys: pytest.CaptureFixture[str], desk: Path) -> None:
    (desk / "prices.toml").write_text(PRICES)
    with served(Ollama().answer) as url:
        settings(url, 'prices = "prices.toml"')
        code, lines, err = talk(
            capsys, "shop.py", "--record", str(desk / "data" / "workbench" / "sessions" / "one")
        )
    assert code == 0, err
    cost = 2 * (21 * 1000 + 9 * 2000) / 1e6
    assert lines[0]["usage"]["cost"] == pytest.approx(cost)
    assert lines[-1]["summary"]["cost"] == pytest.approx(cost)
    run(["sessions", "--json"])
    (listed,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (listed["cost"], listed["cost_at_least"]) == (pytest.approx(cost), pytest.approx(cost))
    run(["sessions"])
    assert "$0.078" in capsys.readouterr().out
    run(["sessions", "show", "--json"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["cost"] == pytest.approx(cost)
    run(["sessions", "show"])
    assert re.search(r"1 turn: .*; cost \$0\.078$", capsys.readouterr().out, re.MULTILINE)


def test_a_price_that_is_not_known_is_shown_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Ollama().answer) as url:
        settings(url)
        wav = str(Score().silence(1.5).say("How much is the tea?").silence(4).write_wav(Path("question.wav")))
        said = ["run", "--source", wav, "--sink", "none", "--profile", "scripted", "--fast"]
        assert run(said) == 0
    out = capsys.readouterr().out
    assert "cost   –" in out
    assert re.search(r"; cost –$", out, re.MULTILINE)


def test_what_runs_on_board_costs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = talk(capsys)
    assert code == 0
    assert (lines[0]["usage"]["cost"], lines[-1]["summary"]["cost"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("prices", "says"),
    [
        ("[[model]]\nserver = 'x'\nmodel = 'y'\ninput = 'much'", "input is no price in USD"),
        (None, "cannot be read"),
    ],
)
def test_a_table_that_is_wrong_is_bad_input(
    prices: str | None, says: str, capsys: pytest.CaptureFixture[str], desk: Path
) -> None:
    if prices is not None:
        (desk / "prices.toml").write_text(prices)
    settings("http://127.0.0.1:9/v1", 'prices = "prices.toml"')
    for command in (["run", "--source", "none", "--profile", "scripted"], ["config", "validate"]):
        assert run(command) == 2
        assert says in capsys.readouterr().err


def test_a_list_of_sessions_without_costs_has_a_dash(capsys: pytest.CaptureFixture[str], desk: Path) -> None:
    folder = desk / "data" / "workbench" / "sessions" / "one"
    talk(capsys, "--record", str(folder))
    events = folder / "events.jsonl"
    entries: list[dict[str, Any]] = [json.loads(line) for line in events.read_text().splitlines()]
    kept = [entry for entry in entries if entry["type"] != "spent"]
    events.write_text("".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in kept))
    run(["sessions", "--json"])
    assert json.loads(capsys.readouterr().out)["cost"] is None
    run(["sessions"])
    assert " – " in capsys.readouterr().out
