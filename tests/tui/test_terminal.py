"""The real program in a real terminal."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.terminal
ROOT = Path(__file__).parents[2]


class Tmux:
    """A terminal of 80×24 with a shell in it, on a server of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = str(folder / "tmux")
        self("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-s", "t", "env PS1='$ ' sh")

    def __call__(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self("send-keys", "-t", "t", *keys)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return self("capture-pane", "-p", "-t", "t")

    def shows(self, *texts: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until all of these are on the screen."""
        waited_for(lambda: all(text in self.text for text in texts), lambda: self.text, timeout_s)


def waited_for(
    condition: Callable[[], object], told: Callable[[], str], timeout_s: float = PATIENCE_S
) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)  # another process: there is nothing to wait on


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    terminal = Tmux(tmp_path)
    yield terminal
    subprocess.run(
        ["tmux", "-S", str(tmp_path / "tmux"), "kill-server"],
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


def begin(tmux: Tmux, tmp_path: Path, *more: str) -> Path:
    """Run the program in the terminal; it listens to ten minutes of silence. The folder that it records into."""
    with wave.open(str(tmp_path / "silence.wav"), "wb") as silence:
        silence.setparams((1, 2, 16_000, 0, "NONE", ""))
        silence.writeframes(bytes(2 * 16_000 * 600))
    program = [sys.executable, "-m", "workbench", "tui", *more, "--profile", "scripted"]
    ends = ["--source", str(tmp_path / "silence.wav"), "--record", str(tmp_path / "rec")]
    tmux.type(f"cd {shlex.quote(str(ROOT))}; {shlex.join([*program, *ends])}; echo code=$?", "Enter")
    tmux.shows("● Listening", "Speak, or type")
    return tmp_path / "rec"


@pytest.fixture
def talking(tmux: Tmux, tmp_path: Path) -> Path:
    """The program runs and listens."""
    return begin(tmux, tmp_path)


def events(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def pid_of(folder: Path) -> int:
    """The process that records into the folder, and not the shell above it."""
    for process in Path("/proc").iterdir():
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder).encode() in arguments and b"tui" in arguments:
            return int(process.name)
    raise AssertionError("the program is not there")


def test_a_typed_conversation_to_its_end(tmux: Tmux, talking: Path) -> None:
    tmux.type("Good day", "Enter")
    tmux.shows("you     Good day", "agent   ", "Turn 1")
    tmux.type("C-l")
    tmux.shows("turn_ended turn=1")
    tmux.type("C-q")
    tmux.shows(f"recorded in {talking}"[:60], "code=0")
    tmux.type("echo still $((40+2))", "Enter")
    tmux.shows("still 42")
    assert events(talking)[-1]["type"] == "session_ended"


AGENT = """
from workbench import Agent, tool

@tool
async def weather(city: str, days: int = 1) -> str:
    \"\"\"The weather of a city.\"\"\"
    return f"fine in {city}, day {days}"

agent = Agent(instructions="Be brief.", tools=[weather])
"""
SCRIPT = """
[[script.choose]]
when = "weather in (?P<city>\\\\w+)"
tool = "weather"
arguments = {city = "{city}"}
then = "It is {result}."
"""
PLUGIN = """
from workbench import hookimpl
from workbench.plugin.values import Panel

def make():
    from textual.widgets import Static

    class Count(Static):
        def feed(self, entries):
            self.update(f"as far as event {entries[-1].i}")

    return Count()

@hookimpl
def workbench_tui_panels():
    return [Panel("count", "Counted", make)]
"""


def test_tools_are_looked_at_called_again_and_mocked(tmux: Tmux, tmp_path: Path) -> None:
    files = {"agent.py": AGENT, "workbench.toml": SCRIPT, "count.py": PLUGIN}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    agent, config, plugin = (str(tmp_path / name) for name in files)
    folder = begin(tmux, tmp_path, agent, "--config", config, "--plugin", plugin)
    tmux.type("What is the weather in Oslo?", "Enter")
    tmux.shows('weather(city="Oslo") →', "It is fine in Oslo, day 1.")
    tmux.type("C-g")
    tmux.shows("1 tool", "✓ weather  done", "turn 1 · ", "after typing")
    tmux.type("C-r")
    tmux.shows("Call a tool", "✓ a JSON object")
    tmux.type("BSpace")
    tmux.shows("✗ line 3, column 1", "Ctrl+S calls it all the same")
    tmux.type(', "days": 7}')
    tmux.shows("✓ a JSON object")
    tmux.type("Enter")
    tmux.shows("fine in Oslo, day 7", "by you")
    tmux.type("C-n")
    tmux.shows("Answer in a tool's place", "text of 19 characters")
    tmux.type(" or wet", "Enter")
    tmux.shows("1 tool · mocked: weather")
    tmux.type("And the weather in Bergen?", "Enter")
    tmux.shows("It is fine in Oslo, day 7 or wet.", "mocked")
    tmux.type("C-n")
    tmux.shows("Ctrl+R runs it again")
    tmux.type("C-r")
    tmux.shows("weather is run again")
    tmux.type("C-g")
    tmux.shows("Counted", "as far as event")
    tmux.type("C-q")
    tmux.shows("code=0")
    told = [(event["type"], event.get("mocked")) for event in events(folder)]
    assert [mocked for kind, mocked in told if kind == "tool_started"] == [False, False, True]
    assert [kind for kind, _ in told].count("tool_mocked") == 2
    tmux.type(f"clear; {shlex.join([sys.executable, '-m', 'workbench', 'replay', str(folder)])}", "Enter")
    tmux.shows("Recording", "Turn 1: ")
    tmux.type("End")
    tmux.shows("Turn 2: ", "weather(city=")
    tmux.type("C-g")
    tmux.shows("✓ weather  done", "mocked", "turn 2 · ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_session_and_restores_the_terminal(
    tmux: Tmux, talking: Path, number: signal.Signals
) -> None:
    os.kill(pid_of(talking), number)
    tmux.shows(f"code={128 + number}")
    tmux.type("echo still $((40+2))", "Enter")
    tmux.shows("still 42")
    assert events(talking)[-1]["reason"] == f"signal {number.name}"


def test_a_closed_terminal_ends_the_session_and_its_recording(tmux: Tmux, talking: Path) -> None:
    pid = pid_of(talking)
    tmux("kill-session", "-t", "t")
    waited_for(lambda: not Path(f"/proc/{pid}").exists(), lambda: "it goes on without a terminal")
    assert events(talking)[-1]["reason"] == "signal SIGHUP"


def test_without_a_terminal_the_error_names_what_to_use_instead() -> None:
    program = [sys.executable, "-m", "workbench", "tui"]
    done = subprocess.run(
        program,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "workbench run" in done.stderr
