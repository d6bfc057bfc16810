from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_S
from workbench import open_trace
from workbench.model.events import PARTS, SessionEnded
from workbench.readers import entries
from workbench.simulation.synthesis import Score

SCRIPTED = ["--profile", "scripted", "--sink", "none"]


@pytest.fixture
def wav(tmp_path: Path) -> str:
    score = Score().silence(0.5).say("Good morning.").silence(4)
    return str(score.write_wav(tmp_path / "user.wav"))


def workbench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_json_gives_a_line_a_turn_and_a_summary(wav: str) -> None:
    done = workbench("run", "--source", wav, *SCRIPTED, "--fast", "--json")
    assert done.returncode == 0, done.stderr
    turn, last = lines(done.stdout)
    assert set(turn) == {
        "turn",
        "status",
        "user_text",
        "agent_text",
        "heard_latency_ms",
        "parts_ms",
        "lanes_ms",
        "discarded_replies",
        "reopened",
        "overlap_ms",
        "usage",
        "cold",
        "error",
        "providers",
    }
    assert (turn["turn"], turn["status"], turn["error"]) == (1, "done", None)
    assert set(turn["parts_ms"]) == {*PARTS, "unexplained"}
    assert sum(turn["parts_ms"].values()) == pytest.approx(turn["heard_latency_ms"], abs=0.01)
    counts = {"turns", "done", "cut", "failed", "n", "p50", "p90", "p95", "p99"}
    assert set(last["summary"]) == counts | {"cost", "cost_at_least"}
    assert last["summary"]["p50"] == pytest.approx(turn["heard_latency_ms"], abs=0.1)


def test_a_person_reads_a_waterfall(wav: str) -> None:
    done = workbench("run", "--source", wav, *SCRIPTED, "--fast")
    assert "endpointing" in done.stdout
    assert "heard after" in done.stdout
    assert "listening" in done.stderr
    assert "\x1b" not in done.stdout


def test_an_agent_file_is_run_and_its_reply_written_to_a_file(wav: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from workbench import Agent\nagent = Agent(instructions='x', greeting='Welcome aboard.')\n"
    )
    sink = tmp_path / "out.wav"
    done = workbench(
        "run",
        str(tmp_path / "mine.py"),
        "--source",
        wav,
        "--profile",
        "scripted",
        "--sink",
        str(sink),
        "--fast",
    )
    assert done.returncode == 0, done.stderr
    assert sink.stat().st_size > 24_000


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--source", "absent.wav", *SCRIPTED], 2, "absent.wav"),
        (["--source", __file__, *SCRIPTED], 2, "test_run.py"),
        (["--profile", "scriptd"], 2, "scripted"),
        (["--set", "turn.silence_msec=3", *SCRIPTED], 2, "silence_ms"),
        (["--set", "nonsense", *SCRIPTED], 2, "="),
        (["absent.py", *SCRIPTED], 2, "absent.py"),
        (["--fast", "--profile", "scripted"], 2, "--fast"),
        (["--fast", "--source", "none", *SCRIPTED], 2, "--fast"),
        (["--set", "stt.provider=nobody", "--source", "none", *SCRIPTED], 2, "whisper"),
        (["--set", "stt.provider=openai/x", "--source", "none", *SCRIPTED], 3, "OPENAI_API_KEY"),
        (["--nonsense"], 2, "--nonsense"),
    ],
)
def test_bad_input_is_named_with_its_exit_code(arguments: list[str], code: int, says: str) -> None:
    done = workbench("run", *arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_what_an_agent_file_prints_is_no_result(wav: str, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "from workbench import Agent\n"
        "def speakable(text: str) -> str:\n"
        "    print('at work')\n"
        "    return text\n"
        "print('loaded')\n"
        "agent = Agent(instructions='x', speakable=speakable)\n"
    )
    done = workbench("run", str(tmp_path / "loud.py"), "--source", wav, *SCRIPTED, "--fast", "--json")
    assert ["turn" in line for line in lines(done.stdout)] == [True, False]
    assert "loaded" in done.stderr
    assert "at work" in done.stderr


def test_a_turn_that_fails_is_exit_code_4(wav: str) -> None:
    dead = [
        "--set",
        "llm.provider=openai/x",
        "--set",
        "llm.base_url=http://127.0.0.1:9/v1",
        "--set",
        "limits.retries=0",
    ]
    done = workbench("run", "--source", wav, *SCRIPTED, *dead, "--json")
    assert done.returncode == 4, done.stderr
    turn, last = lines(done.stdout)
    assert turn["status"] == "failed"
    assert turn["error"]["stage"] == "llm"
    assert turn["error"]["hint"]
    assert last["summary"]["failed"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_session_whole(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "rec"
    command = [
        sys.executable,
        "-m",
        "workbench",
        "run",
        "--source",
        "none",
        *SCRIPTED,
        "--record",
        str(folder),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stderr
        for line in program.stderr:
            if line.startswith("listening"):
                break
        program.send_signal(number)
        _, told = program.communicate(timeout=PATIENCE_S)
    assert program.returncode == 128 + number
    assert "Traceback" not in told
    *_, last = entries(open_trace(folder))
    assert last.event == SessionEnded(f"signal {number.name}")


def test_kill_leaves_a_recording_that_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "rec"
    command = [
        sys.executable,
        "-m",
        "workbench",
        "run",
        "--source",
        "none",
        *SCRIPTED,
        "--record",
        str(folder),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        events = folder / "events.jsonl"
        while not events.exists() or b'"levels"' not in events.read_bytes():
            assert program.poll() is None
        program.kill()
    trace = open_trace(folder)
    found = list(entries(trace))
    assert found
    heard_ms = trace.tracks["user"].end / 16
    assert found[-1].t_ms - heard_ms < 1000


def test_a_recording_that_stopped_is_said_to_be_incomplete(wav: str, tmp_path: Path) -> None:
    run = [sys.executable, "-m", "workbench", "run", "--source", wav, *SCRIPTED, "--fast", "--record"]
    whole = subprocess.run([*run, str(tmp_path / "a")], capture_output=True, text=True, check=True)
    assert whole.stderr.splitlines()[-1] == f"recorded in {tmp_path / 'a'}"
    limited = shlex.join([*run, str(tmp_path / "b")])  # files of 40 KiB: as a disk that fills up
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 40; {limited}"], capture_output=True, text=True, check=True
    )
    assert "stopped: File too large" in done.stderr
    assert done.stderr.splitlines()[-1] == f"recorded in {tmp_path / 'b'}, but not to the end"


def test_help_has_an_example() -> None:
    done = workbench("run", "--help")
    assert "Examples:" in done.stdout
    assert "--fast" in done.stdout
