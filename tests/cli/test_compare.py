"""`workbench compare` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli.recordings import record
from workbench.cli.compare import compare
from workbench.model.errors import UsageError
from workbench.model.events import Event, Heard, TurnDecided, TurnEnded


def session(name: str, latencies_ms: list[float], *, text: str = "Where is my | refund?") -> Path:
    events: list[Event] = []
    for number, latency_ms in enumerate(latencies_ms, 1):
        events += [
            TurnDecided(number, number, end_sample=0),
            Heard(number, 0, 0.0, 100, latency_ms),
            TurnEnded(number, "done", text, "On its \x1b[31mway.", cold=False),
        ]
    return record(name, len(name), events)


@pytest.fixture(autouse=True)
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    session("a", [400.0] * 6)
    session("bb", [500.0] * 6, text="Where is the refund?")


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(compare, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_words_that_changed_are_shown_beside_the_difference_in_time() -> None:
    text = run("a", "bb").stdout
    assert "400\xa0ms → 500\xa0ms (+100\xa0ms)" in text
    assert "user: Where is [-my |-]{+the+} refund?" in text
    assert "+100\xa0ms (6 pairs, 95 % +100 … +100\xa0ms)" in text
    assert "\x1b" not in text


def test_a_table_for_a_pull_request_survives_what_was_said() -> None:
    rows = [line for line in run("a", "bb", "--markdown").stdout.splitlines() if "refund" in line]
    assert len(rows) == 6
    assert all(row.replace(r"\|", "").count("|") == 4 for row in rows)


def test_programs_read_a_line_for_each_pair_and_a_summary() -> None:
    *pairs, last = map(json.loads, run("a", "bb", "bb", "--json").stdout.splitlines())
    assert pairs[0]["difference_ms"] == 100.0
    assert pairs[0]["a"]["user_text"] == "Where is my | refund?"
    assert last["summary"]["b"]["p95"] == 500.0
    assert last["summary"]["difference_ms"]["p50"]["low_ms"] == 100.0
    assert sum("summary" in each for each in pairs) == 1


@pytest.mark.parametrize(
    ("condition", "code"),
    [("p95 > 900", 0), ("p95>450ms", 1), ("turns < 6", 0), ("cut >= 0%", 1), ("cost > 1", 1)],
)
def test_a_gate_that_holds_or_cannot_be_told_ends_with_1(condition: str, code: int) -> None:
    result = run("a", "bb", "--fail-if", condition, code=code)
    assert bool(result.stderr) == bool(code)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a"], "one session alone"),
        (["a", "bb", "--fail-if", "p95"], "no condition"),
        (["a", "bb", "--fail-if", "speed > 1"], "no figure 'speed'"),
        (["a", "bb", "--fail-if", "p95 > 2%"], "not in %"),
        (["a", "bb", "--json", "--markdown"], "different answers"),
        (["a", "no\x1bwhere"], "no sessions are called"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(arguments: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        run(*arguments)
