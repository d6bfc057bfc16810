"""`workbench rerun` as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.replay.conftest import write_agent
from workbench import open_trace
from workbench.__main__ import run

Output = pytest.CaptureFixture[str]


def rerun(capsys: Output, *words: str, code: int = 0) -> str:
    """What it prints on standard output, where it ends with that code."""
    capsys.readouterr()
    done = run(["rerun", *words])
    out, err = capsys.readouterr()
    assert done == code, f"{out}\n{err}"
    assert "Traceback" not in err
    return out


def as_json(capsys: Output, *words: str, code: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(rerun(capsys, *words, "--json", code=code))
    return answer


def test_as_it_was_it_is_the_same_bytes_and_faster(desk: Path, capsys: Output) -> None:
    there = sorted(desk.rglob("*"))
    assert rerun(capsys, "before").startswith("= same bytes: 3 turns, ")
    answer = as_json(capsys, "before")
    assert (answer["verdict"], answer["differences"], answer["not_in_cassette"]) == ("same bytes", [], [])
    assert answer["times_real_time"] > 1
    assert answer["folder"] is None
    assert sorted(desk.rglob("*")) == there


def test_a_changed_setting_is_named_by_what_differs(desk: Path, capsys: Output) -> None:
    text = rerun(capsys, "before", "--set", "turn.hold_ms=900", "--out", "after")
    assert text.startswith("≠ differs: 3 turns")
    assert "turn 2   reply start" in text
    capsys.readouterr()
    assert run(["compare", "before", "after"]) == 0
    assert "3 pairs" in capsys.readouterr().out
    assert rerun(capsys, "after").startswith("= same bytes: 3 turns")


def test_another_prompt_asks_what_was_not_recorded(desk: Path, capsys: Output) -> None:
    (desk / "prompt.txt").write_text("Be rude.")
    answer = as_json(capsys, "before", "--prompt", "prompt.txt", code=4)
    assert {it["stage"] for it in answer["not_in_cassette"]} == {"llm"}
    assert answer["not_in_cassette"][0]["request"] == "good morning"
    assert "its input is not what was recorded; no answer" in rerun(
        capsys, "before", "--prompt", "prompt.txt", code=4
    )
    answer = as_json(capsys, "before", "--prompt", "prompt.txt", "--live")
    assert all(it["live"] for it in answer["not_in_cassette"])


def test_a_fork_leaves_the_turns_before_as_they_were(desk: Path, capsys: Output) -> None:
    (desk / "prompt.txt").write_text("Be rude.")
    answer = as_json(capsys, "before", "--prompt", "prompt.txt", "--from-turn", "2", code=4)
    assert {it["turn"] for it in answer["differences"]} <= {2, 3}
    assert 2 in {it["turn"] for it in answer["differences"]}


def test_todays_agent_on_yesterdays_audio(desk: Path, capsys: Output) -> None:
    assert as_json(capsys, "before", "--agent", "my_agent.py")["not_in_cassette"] == []
    write_agent(desk / "my_agent.py", "Be rude.")
    assert as_json(capsys, "before", "--agent", "my_agent.py", code=4)["not_in_cassette"]


def test_a_swapped_stage_runs_for_real(desk: Path, capsys: Output) -> None:
    answer = as_json(capsys, "before", "--swap", "turn=silence", "--set", "turn.silence_ms=900")
    assert answer["verdict"] == "differs"
    assert answer["not_in_cassette"] == []


def test_the_prompt_is_edited_in_the_users_editor(
    desk: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i s/brief/rude/")
    assert as_json(capsys, "before", "--edit-prompt", "--live")["not_in_cassette"]
    monkeypatch.setenv("EDITOR", "true")
    assert run(["rerun", "before", "--edit-prompt"]) == 2
    assert "the prompt was not changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason", "hint"),
    [
        (["nowhere"], "no sessions are called 'nowhere'", "workbench sessions"),
        (["before", "--swap", "sst=local"], "no stage 'sst'", "stt, llm, tts, turn, vad"),
        (["before", "--set", "turn.silence_m=3", "--from-turn", "2"], "turn.silence_m", "silence_ms?"),
        (["before", "--swap", "llm"], "--swap llm: there is no =", "--swap llm=openai/"),
        (["before", "--swap", "llm="], "names no provider", "plugins list"),
        (["before", "--swap", "llm=nobody"], "nobody", ""),
        (["before", "--swap", "turn=nobody"], "nobody", ""),
        (["before", "--set", "turn.silence=1"], "turn.silence", "silence_ms"),
        (["before", "--set", "turn.silence_ms=long"], "turn.silence_ms", ""),
        (["before", "--from-turn", "9"], "no turn 9", "turns 1 to 3"),
        (["before", "--out", "before"], "not empty", "new or empty"),
        (["before", "--prompt", "none.txt"], "none.txt: No such file", "text file"),
        (["before", "--prompt", "empty.txt"], "empty.txt is empty", "instructions"),
        (["before", "--prompt", "noise.txt"], "not UTF-8", "UTF-8"),
        (["before", "--agent", "none.py"], "no agent file none.py", "workbench init"),
        (["before", "--agent", "my_agent.py", "--edit-prompt"], "three prompts", "one of them"),
        (["bare"], "no cassette", "record again"),
        (["mute"], "user.wav", ""),
    ],
)
def test_bad_input_is_one_error_with_a_next_step(
    desk: Path, capsys: Output, words: list[str], reason: str, hint: str
) -> None:
    shutil.copytree("before", "bare")
    shutil.rmtree("bare/cassette")
    shutil.copytree("before", "mute")
    Path("mute/user.wav").unlink()
    Path("empty.txt").write_text(" \n")
    Path("noise.txt").write_bytes(b"\xff\xfe\x00")
    there = {path: path.stat().st_mtime_ns for path in Path("before").rglob("*")}
    capsys.readouterr()
    assert run(["rerun", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ") or "\nError: " in err
    assert reason in err
    assert hint in err
    assert there == {path: path.stat().st_mtime_ns for path in Path("before").rglob("*")}


@pytest.mark.parametrize("name", ["events.jsonl", "cassette/rows.jsonl", "cassette/data.bin", "user.wav"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_recording_that_ends_early_is_run_as_far_as_it_goes(
    desk: Path, capsys: Output, name: str, share: float
) -> None:
    file = desk / "before" / name
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    capsys.readouterr()
    assert run(["rerun", "before"]) in (0, 1, 2)
    out, err = capsys.readouterr()
    assert out or err.startswith("Error: ")


def test_a_recording_that_goes_on_is_run_up_to_where_it_is(desk: Path, capsys: Output) -> None:
    rows = desk / "before" / "cassette" / "rows.jsonl"
    events = desk / "before" / "events.jsonl"
    for file in (rows, events):
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(lines[: len(lines) // 2]) + b'{"v":1')
    rerun(capsys, "before", "--out", "after", code=run(["rerun", "before"]))
    assert len(open_trace(desk / "after").turns) >= 1
