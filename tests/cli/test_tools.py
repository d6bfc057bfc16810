"""`workbench tools`: the real program, on tools that behave and on tools that do not."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.__main__ import run

AGENT = '''
import os, time
from typing import Literal
from workbench import Agent, RunContext, tool
print("loading")

@tool(idempotent=True)
def weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """The weather forecast.

    Args:
        city: Name of the city.
        unit: Of the temperature.
    """
    print("looking")
    os.system("echo out of the window")
    return f"{city}: 12 degrees {unit}"

@tool(confirm="Shall I book {day}?")
def book(day: str) -> str:
    """Book a table."""
    return f"booked {day}"

@tool
def broken() -> str:
    """It fails."""
    raise RuntimeError("no luck")

@tool
async def slow(context: RunContext, length: int = 20_000) -> str:
    """It says much."""
    context.progress("half", 0.5)
    return "x" * length

@tool
def hang() -> str:
    """It does not come back."""
    print("hanging", flush=True)
    time.sleep(100)
    return ""

agent = Agent(instructions="", tools=[weather, book, broken, slow, hang])
'''


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("agent.py").write_text(AGENT)
    return "agent.py"


KELVIN = 'Error: unit: must be one of "celsius", "fahrenheit", not "kelvin"'
Caught = pytest.CaptureFixture[str]


def called(capfd: Caught, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error, from file descriptors."""
    capfd.readouterr()
    code = run(["tools", *words])
    return code, *capfd.readouterr()


def test_list_prints_each_tool_with_its_origin(agent: str, capfd: Caught) -> None:
    code, out, told = called(capfd, "list", agent)
    assert code == 0
    first = out.splitlines()[:3]
    assert first == ["weather(city, [unit])", "  The weather forecast.", "  agent.py:7 · changes nothing"]
    assert "asks the user" in out
    assert "5 tools, schemas made in" in told
    _, out, _ = called(capfd, "list", agent, "--json")
    assert [json.loads(line)["name"] for line in out.splitlines()] == [
        "weather",
        "book",
        "broken",
        "slow",
        "hang",
    ]


def test_show_describes_one_tool(agent: str, capfd: Caught) -> None:
    code, out, _ = called(capfd, "show", agent, "weather")
    assert code == 0
    assert "city: Name of the city." in out
    assert "unit, may be left out: Of the temperature." in out
    _, out, _ = called(capfd, "show", agent, "book", "--json")
    assert json.loads(out)["confirm"] == "Shall I book {day}?"


def test_schema_prints_what_openais_api_takes(agent: str, capfd: Caught) -> None:
    _, out, _ = called(capfd, "schema", agent)
    listed = json.loads(out)
    assert {one["type"] for one in listed} == {"function"}
    assert listed[0]["function"]["name"] == "weather"
    assert listed[0]["function"]["strict"] is True
    assert listed[0]["function"]["parameters"]["required"] == ["city", "unit"]
    _, out, _ = called(capfd, "schema", agent, "weather", "--format", "json", "--json")
    assert json.loads(out)["required"] == ["city"]
    assert len(out.splitlines()) == 1


def test_call_answers_on_standard_output_alone(agent: str, capfd: Caught) -> None:
    code, out, told = called(capfd, "call", agent, "weather", "--args", '{"city": "Oslo"}')
    assert (code, out) == (0, "Oslo: 12 degrees celsius\n")
    for line in ("loading", "looking", "out of the window", "done in"):
        assert line in told
    _, out, _ = called(capfd, "call", agent, "weather", "--args", '{"city": "Oslo"}', "--json")
    assert json.loads(out)["shown"] == "Oslo: 12 degrees celsius"


def test_call_reads_arguments_from_a_file_or_standard_input(
    agent: str, capfd: Caught, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "given.json"
    file.write_text('{"city": "Bergen"}')
    assert called(capfd, "call", agent, "weather", "--args", f"@{file}")[1].startswith("Bergen")
    with file.open() as opened:
        monkeypatch.setattr(sys, "stdin", opened)
        assert called(capfd, "call", agent, "weather", "--args", "-")[1].startswith("Bergen")
    code, _, told = called(capfd, "call", agent, "weather", "--args", "@nothing.json")
    assert code == 2
    assert "nothing.json cannot be read: No such file" in told


def test_call_shows_what_the_model_would_be_shown(agent: str, capfd: Caught) -> None:
    code, out, told = called(capfd, "call", agent, "slow")
    assert code == 0
    assert len(out) == 20_001, "all of it"
    assert "the model is shown 8,000 of 20,000 characters" in told
    assert "slow: 50 % half" in told
    _, out, _ = called(capfd, "call", agent, "slow", "--json")
    assert json.loads(out)["shown"].endswith(
        "[These are the first 8,000 of 20,000 characters. Ask for less to see the rest.]"
    )


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (
            ("weather", "--args", '{"city": "Oslo", "unit": "kelvin"}'),
            2,
            KELVIN,
        ),
        (("weather", "--args", "{"), 2, "Error: The arguments are not valid JSON"),
        (("wether",), 2, "did you mean weather?"),
        (("broken",), 4, "Error: broken failed: RuntimeError: no luck"),
        (("book", "--args", '{"day": "Monday"}'), 2, "book asks the user first: Shall I book Monday?"),
        ((), 2, "no name of a tool is given"),
        (("weather", "more"), 2, "'more' is too much"),
    ],
)
def test_call_that_fails_says_why_with_its_exit_code(
    agent: str, capfd: Caught, words: tuple[str, ...], code: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        found, out, err = called(capfd, "call", agent, *words)
    assert (found, out) == (code, "")
    assert told in err


def test_call_with_yes_asks_nobody(agent: str, capfd: Caught) -> None:
    code, out, _ = called(capfd, "call", agent, "book", "--args", '{"day": "Monday"}', "--yes")
    assert (code, out) == (0, "booked Monday\n")


def test_a_file_with_tools_and_no_agent_is_accepted(agent: str, capfd: Caught) -> None:
    Path("alone.py").write_text(
        "from workbench import tool\n@tool\ndef one() -> str:\n    'One.'\n    return '1'\n"
    )
    assert called(capfd, "call", "alone.py", "one")[:2] == (0, "1\n")
    Path("empty.py").write_text("x = 1\n")
    code, _, told = called(capfd, "list", "empty.py")
    assert code == 2
    assert "empty.py has no `agent`" in told
    assert called(capfd, "list", "absent.py")[0] == 2


def test_test_checks_each_tool_without_calling_it(agent: str, capfd: Caught) -> None:
    code, out, told = called(capfd, "test", agent)
    assert code == 0
    assert [line[:9] for line in out.splitlines() if "✓" in line] == [
        "✓ weather",
        "✓ book: 2",
        "✓ broken:",
        "✓ slow: 2",
        "✓ hang: 2",
    ]
    assert "! the model is told nothing about day" in out
    assert "hanging" not in told, "none is called"
    Path("alone.py").write_text("from workbench import tool\n@tool\ndef one() -> str:\n    return '1'\n")
    code, out, _ = called(capfd, "test", "alone.py", "--json")
    assert code == 1
    assert json.loads(out)["problem"] == "the model is not told what it does"


def test_ctrl_c_ends_a_tool_that_hangs(agent: str) -> None:
    command = [sys.executable, "-m", "workbench", "tools", "call", agent, "hang"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr
        assert any("hanging" in line for line in program.stderr)
        program.send_signal(signal.SIGINT)
        out, told = program.communicate(timeout=60)
    assert (program.returncode, out) == (130, "")
    assert "Traceback" not in told


async def _used(server: Any) -> list[Any]:
    from mcp import Client

    async with Client(server) as client:
        listed = await client.list_tools()
        assert [one.name for one in listed.tools] == ["weather", "book", "broken", "slow", "hang"]
        assert listed.tools[0].annotations
        assert listed.tools[0].annotations.read_only_hint
        assert listed.tools[1].annotations
        assert listed.tools[1].annotations.destructive_hint
        good = await client.call_tool("weather", {"city": "Oslo"})
        bad = await client.call_tool("weather", {"city": "Oslo", "unit": "kelvin"})
        return [(one.is_error, one.content[0].text) for one in (good, bad)]  # type: ignore[union-attr]


ANSWERS = [
    (False, "Oslo: 12 degrees celsius"),
    (True, 'unit: must be one of "celsius", "fahrenheit", not "kelvin".'),
]


def test_serve_speaks_mcp_on_standard_input_and_output(agent: str) -> None:
    from mcp.client.stdio import StdioServerParameters

    words = ["-m", "workbench", "tools", "serve", agent]
    with Path("told.txt").open("w") as told:
        from mcp.client.stdio import stdio_client

        server = stdio_client(StdioServerParameters(command=sys.executable, args=words, cwd=Path.cwd()), told)
        assert asyncio.run(_used(server)) == ANSWERS
    assert "looking" in Path("told.txt").read_text(), "what tools print is no protocol"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_serve_speaks_mcp_over_http_until_a_signal(agent: str, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "workbench", "tools", "serve", agent, "--http", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout
        url = json.loads(program.stdout.readline())["url"]
        assert asyncio.run(_used(url)) == ANSWERS
        taken = subprocess.run(
            [*command[:7], "--port", url.split(":")[2].split("/")[0]],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert taken.returncode == 2
        assert "cannot be used: Address already in use" in taken.stderr
        program.send_signal(number)
        out, told = program.communicate(timeout=60)
    assert (program.returncode, out) == (code, "")
    assert "Traceback" not in told


def test_serve_ends_when_standard_input_is_closed(agent: str) -> None:
    words = [sys.executable, "-m", "workbench", "tools", "serve", agent]
    ended = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "")
