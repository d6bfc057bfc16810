"""Tools of MCP servers: programs that speak the protocol as they should, and some that do not."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually
from workbench import Agent, open_session, tool
from workbench.config import load_settings
from workbench.engine.settings import LimitSettings
from workbench.model.errors import UsageError
from workbench.model.events import (
    ListeningStarted,
    Notice,
    ToolProgressed,
    ToolReturned,
    ToolsChanged,
    TurnEnded,
)
from workbench.simulation.clock import run_virtual
from workbench.tools.executor import ThreadExecutor
from workbench.tools.invocation import ToolEnvironment
from workbench.tools.mcp import McpServer, connection
from workbench.tools.mcp.manager import McpServers
from workbench.tools.mcp.server import from_settings
from workbench.tools.registry import Toolbox
from workbench.tools.runner import Runner
from workbench.trace.trace import Trace

HERE = Path(__file__).parent
DEMO = (sys.executable, str(HERE / "demo_server.py"))
LATE_S = 60.0


def hostile(mode: str, **options: Any) -> McpServer:
    return McpServer.stdio(sys.executable, str(HERE / "hostile_server.py"), mode, name="h", **options)


class ServerBench:
    """Tools of servers, and what runs them, without a session."""

    def __init__(self, *own: Any) -> None:
        self.trace = Trace(lambda: time.monotonic() * 1000)
        self.tools = Toolbox(self.trace, lambda name, arguments: None)
        self.tools.add(*own)
        self.runner: Runner

    @asynccontextmanager
    async def with_servers(self, *servers: McpServer) -> AsyncIterator[McpServers]:
        async with (
            ThreadExecutor("tools") as executor,
            McpServers(self.tools, self.trace) as opened,
            Runner(self.tools, self.trace, LimitSettings(), executor, ToolEnvironment()) as self.runner,
        ):
            await opened.exchange(servers)
            yield opened

    async def call(self, name: str, **arguments: Any) -> ToolReturned:
        return await self.runner.perform(name, json.dumps(arguments))

    def all(self, kind: type[Any]) -> list[Any]:
        return [entry.event for entry in self.trace.since(0) if isinstance(entry.event, kind)]

    @property
    def notices(self) -> str:
        """All notices."""
        return "\n".join(f"{one.level}: {one.reason} – {one.hint}" for one in self.all(Notice))


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine."""

    @wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(test(**given))

    return run


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def demo_by_http(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The server of the SDK on a port, once it listens."""

    def listens() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    program = await asyncio.create_subprocess_exec(*DEMO, str(port), stdout=DEVNULL, stderr=DEVNULL)
    try:
        await eventually(listens)
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


def children(pid: int | str = "self") -> set[int]:
    return {
        int(one) for file in Path(f"/proc/{pid}/task").glob("*/children") for one in file.read_text().split()
    }


async def demo_works(bench: ServerBench) -> None:
    assert bench.tools.names == ("add", "slow")
    assert (await bench.call("add", a=1, b="2")).result == "3"
    refused = await bench.call("add", a="many")
    assert refused.error == 'a: must be a whole number, not "many". b: must be given.'
    assert (await bench.call("slow")).result == "counted"
    told = [(one.text, one.fraction) for one in bench.all(ToolProgressed)]
    assert told == [("step 0", 0.0), ("step 1", 0.5)]


@on_loop
async def test_tools_of_a_program_are_listed_and_called() -> None:
    bench = ServerBench()
    async with bench.with_servers(McpServer.stdio(*DEMO, name="demo", start_s=LATE_S)):
        await demo_works(bench)
        assert bench.tools.find("add").origin == "MCP server demo"
        assert bench.tools.find("add").description == "Add two numbers."
    assert bench.tools.names == ()
    assert not bench.notices


@on_loop
async def test_a_server_over_http_is_used_again_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.5)
    bench, port = ServerBench(), free_port()
    server = McpServer.http(f"http://127.0.0.1:{port}/mcp", headers={"X": "y"}, start_s=LATE_S)
    async with demo_by_http(port) as program, bench.with_servers(server):
        await demo_works(bench)
        program.kill()
        await program.wait()
        gone = await bench.call("add", a=1, b=2)
        assert gone.status == "failed"
        assert f"nobody answers at 127.0.0.1:{port}/mcp" in (gone.error or "")
        async with demo_by_http(port):
            await eventually(lambda: "is there again" in bench.notices)
            assert (await bench.call("add", a=1, b=2)).result == "3"
    assert "warning: MCP server 127.0.0.1" in bench.notices


@on_loop
async def test_a_server_that_is_absent_is_a_notice_without_secrets() -> None:
    bench = ServerBench()
    server = McpServer.http(f"http://user:hunter22@127.0.0.1:{free_port()}/mcp?key=topsecret")
    async with bench.with_servers(server, McpServer.stdio("there-is-no-such-program", name="none")):
        assert bench.tools.names == ()
    assert (
        "error: MCP server none cannot be used: there-is-no-such-program: No such file or directory"
        in bench.notices
    )
    assert "nobody answers at 127.0.0.1" in bench.notices
    assert "tries again" in bench.notices
    assert "hunter22" not in bench.notices
    assert "topsecret" not in bench.notices


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        (
            "dies",
            'MCP server h was lost in the middle of the call (its program has ended; it said: "out of memory")',
        ),
        ("large", "MCP server h was lost in the middle of the call (it sent more than 4 MB at once)"),
        ("nonsense", "MCP server h answered with what is no result of a tool"),
        ("refuses", "MCP server h refused: not with me"),
        ("fails", "no luck"),
        ("silent", "did not answer within 500 ms"),
    ],
)
@on_loop
async def test_a_call_that_fails_says_why(mode: str, error: str) -> None:
    bench = ServerBench()
    async with bench.with_servers(hostile(mode, timeout_s=0.5 if mode == "silent" else 10)):
        end = await bench.call("echo", text="hi")
        assert end.status == "failed"
        assert error in (end.error or "")


@on_loop
async def test_a_server_that_died_is_started_again_for_the_next_call() -> None:
    bench = ServerBench()
    async with bench.with_servers(hostile("dies")):
        await bench.call("echo")
        await eventually(lambda: "is lost: its program has ended" in bench.notices)
        again = await bench.call("echo")
        assert "in the middle of the call" in (again.error or ""), "it was opened again, and asked"
        assert "info: MCP server h is there again" in bench.notices
        assert len(bench.all(ToolsChanged)) == 1, "its tools are the same"


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("mute", "it did not answer within 0.7 s"),
        ("exits", 'its program has ended; it said: "bad token …"'),
        ("endless", "it sent more than 4 MB at once"),
    ],
)
@on_loop
async def test_a_server_that_does_not_start_is_left_out_with_the_reason(mode: str, reason: str) -> None:
    bench = ServerBench()
    options = {"start_s": 0.7 if mode == "mute" else LATE_S, "env": {"TOKEN": "topsecret"}}
    async with bench.with_servers(hostile(mode, **options)):
        assert bench.tools.names == ()
    assert f"error: MCP server h cannot be used: {reason}" in bench.notices
    assert "the session goes on without its tools, and tries again" in bench.notices


@on_loop
async def test_output_that_is_no_message_is_skipped_and_reported_once() -> None:
    bench = ServerBench()
    async with bench.with_servers(hostile("chatty")):
        assert (await bench.call("echo")).status == "done"
    assert bench.notices.count("writes on its standard output what is no message") == 1
    assert '"Starting up!"' in bench.notices


@on_loop
async def test_a_flood_of_notifications_keeps_no_other_task_waiting() -> None:
    bench = ServerBench()
    late = [0.0]

    async def beat() -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            late.append(time.monotonic() - due)

    async with bench.with_servers(hostile("flood")), asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(beat())
        assert (await bench.call("echo")).status == "done"
        await eventually(lambda: "more than 200 notifications a second" in bench.notices)
        await asyncio.sleep(1)
        beating.cancel()
    assert sorted(late)[len(late) // 2] < 0.05


@on_loop
async def test_elicitation_is_declined() -> None:
    bench = ServerBench()
    async with bench.with_servers(hostile("asks")):
        assert (await bench.call("echo")).result == "Elicitation not supported"
    assert "asked for elicitation/create, which was declined" in bench.notices


@on_loop
async def test_tools_with_bad_schemas_names_or_descriptions_are_left_out_or_mended() -> None:
    bench = ServerBench()
    async with bench.with_servers(hostile("lies")):
        assert bench.tools.names[:4] == ("echo", "bad_type", "remote", "_n_c_de")
        assert "huge" not in bench.tools.names
        assert (await bench.call("bad_type", a=5)).status == "done", "what its type means nobody knows"
        assert len(bench.tools.find("long").description) == 1024
        assert bench.tools.find("echo").description == "Says it again."
        evil = await bench.call("evil", a="a" * 50 + "b")
        assert "must be text that matches the pattern" in (evil.error or "")
        kill, look, again = (bench.tools.find(name) for name in ("kill", "look", "again"))
        assert (kill.confirm, kill.idempotent) == (True, False)
        assert (look.confirm, look.idempotent) == (False, True)
        assert again.confirm is again.idempotent is False, "twice the same is still something"
    assert "has a tool 'huge' that cannot be used" in bench.notices
    assert "lists the tool 'echo' twice" in bench.notices


@on_loop
async def test_results_of_every_content_type_become_text() -> None:
    bench = ServerBench()
    async with bench.with_servers(hostile("plain")):
        assert (await bench.call("echo")).result.splitlines() == [
            "hi",
            "[image image/png, 6 bytes, which cannot be shown]",
            "[page: http://example.com/]",
            "inside",
            '{"n": 1}',
        ]


@on_loop
async def test_tools_that_a_server_adds_later_are_added() -> None:
    bench = ServerBench()
    async with bench.with_servers(hostile("changes")):
        await bench.call("echo")
        await eventually(lambda: bench.tools.names == ("echo", "more"))
    reasons = [one.reason for one in bench.all(ToolsChanged)]
    assert "MCP server h now offers: echo (MCP server h), more (MCP server h)" in reasons


@on_loop
async def test_a_prefix_and_a_selection_avoid_names_that_are_in_use() -> None:
    def echo() -> str:
        """Ours."""
        return "ours"

    bench = ServerBench(tool(echo))
    first, second = hostile("plain"), hostile("lies", prefix="h_", only=["echo", "kil"], confirm=["echo"])
    async with bench.with_servers(first, second) as servers:
        assert (await bench.call("echo")).result == "ours"
        assert bench.tools.names == ("echo", "h_echo")
        assert bench.tools.find("h_echo").confirm is True
        assert "offers echo, as test_mcp.py" in bench.notices
        assert "has no tool called 'kil' – did you mean kill?" in bench.notices
        await servers.exchange([first])
        assert "h_echo" not in bench.tools.names


@on_loop
async def test_a_program_sees_only_the_environment_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL_SECRET", "x")
    bench = ServerBench()
    async with bench.with_servers(hostile("secret", env={"TOKEN": "given"})):
        assert (await bench.call("echo")).result == "given False"
    assert "given" not in repr(hostile("secret", env={"TOKEN": "given"}))


@on_loop
async def test_a_program_that_ignores_sigterm_is_killed() -> None:
    bench, before = ServerBench(), children()
    async with bench.with_servers(hostile("stubborn")):
        assert children() > before
    assert children() <= before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_ends_with_the_process_that_started_it(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(
        "from workbench import Agent\nfrom workbench.tools.mcp import McpServer\n"
        f"agent = Agent(instructions='', tools=[McpServer.stdio(*{DEMO!r})])\n"
    )
    command = [sys.executable, "-m", "workbench", "tools", "serve", str(tmp_path / "agent.py"), "--http"]
    with subprocess.Popen(
        [*command, "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as one:
        assert one.stdout
        assert b"http://127.0.0.1" in one.stdout.readline()
        servers = [*children(one.pid)]
        assert len(servers) == 1
        one.send_signal(number)
        one.communicate(timeout=LATE_S)
    deadline = time.monotonic() + LATE_S
    while Path(f"/proc/{servers[0]}/cmdline").exists() and _cmdline(servers[0]):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()  # empty: dead, and not yet buried
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: McpServer.stdio(), "no command"),
        (lambda: McpServer.http("ftp://x"), "no http address"),
        (lambda: McpServer(name="x"), "needs a command or a url"),
        (lambda: McpServer.stdio("x", only="echo"), "only must be a list"),
        (lambda: McpServer.stdio("x", env={"A": 1}), "env must be texts"),
        (lambda: McpServer.stdio("x", prefix="a b"), "cannot begin a name"),
        (lambda: McpServer.stdio("x", start_s=0), "start_s must be seconds"),
    ],
)
def test_a_server_that_cannot_be_configured_so_says_why(make: Callable[[], object], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        make()


def test_servers_of_the_settings_keep_their_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETS_KEY", "topsecret")
    file = tmp_path / "workbench.toml"
    file.write_text(
        '[mcp.files]\ncommand = ["npx", "-y", "x"]\nenv = {A = "alsosecret"}\n'
        '[mcp.tickets]\nurl = "http://u:hunter22@127.0.0.1/mcp?k=queried"\n'
        'headers = {Authorization = "Bearer ${TICKETS_KEY}"}\nonly = ["list"]\n'
    )
    settings = load_settings({}, config_path=file)
    files, tickets = from_settings(settings.mcp)
    assert (files.name, dict(files.env)) == ("files", {"A": "alsosecret"})
    assert " ".join(files.command) == "npx -y x"
    assert tickets.headers == {"Authorization": "Bearer topsecret"}
    shown = json.dumps(settings.public()) + repr(settings) + repr(files) + repr(tickets)
    for secret in ("alsosecret", "topsecret"):
        assert secret not in shown
    assert "hunter22" not in json.dumps(settings.public())
    monkeypatch.delenv("TICKETS_KEY")
    with pytest.raises(UsageError, match="TICKETS_KEY is not set"):
        from_settings(settings.mcp)
    file.write_text('[mcp.files]\ncomand = ["topsecret"]\n')
    with pytest.raises(UsageError, match=r"\[mcp.files\] has no comand – did you mean command") as refused:
        load_settings({}, config_path=file)
    assert "topsecret" not in str(refused.value)


def test_the_model_of_a_session_calls_a_servers_tool() -> None:
    run_virtual(_session())


async def _session() -> None:
    agent = Agent(instructions="Add.", tools=[McpServer.stdio(*DEMO, name="demo", start_s=LATE_S)])
    chosen = {
        "when": "two and three",
        "tool": "add",
        "arguments": {"a": 2, "b": 3},
        "then": "It is {result}.",
    }
    script = {"choose": [chosen]}
    flags = {"profile": "scripted", "audio.source": "none", "audio.sink": "none", "record.enabled": False}
    settings = load_settings({**flags, "script": script}, agent=agent)
    async with open_session(settings, agent=agent) as session:

        def all_of(kind: type[Any]) -> list[Any]:
            return [entry.event for entry in session.trace.since(0) if isinstance(entry.event, kind)]

        await eventually(lambda: all_of(ListeningStarted))
        assert session.tools.names == ("add", "slow"), "known before it listens"
        session.type("what is two and three")
        await eventually(lambda: all_of(TurnEnded))
        assert [one.result for one in all_of(ToolReturned)] == ["5"]
        session.swap(agent=Agent(instructions="Nothing."))
        await eventually(lambda: not session.tools.names)
