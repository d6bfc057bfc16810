"""What plugins may do to a session, on a real loop with short deadlines and on the virtual one."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from tests.waiting import PATIENCE_S
from workbench import hookimpl
from workbench.engine.hooks import Hooks
from workbench.engine.settings import LimitSettings
from workbench.handle import SessionHandle
from workbench.model.conversation import Message, ToolCall
from workbench.model.events import (
    Entry,
    Event,
    PluginFailed,
    SessionEnded,
    SessionStarted,
    TurnDecided,
    TurnEnded,
)
from workbench.plugin import observers
from workbench.plugin.manager import PluginRegistry
from workbench.plugin.session_hooks import SessionHooks
from workbench.plugin.values import ReaderFactory
from workbench.readers.timeline import Turn
from workbench.simulation.clock import run_virtual
from workbench.views.trace import OpenTrace

STARTED = SessionStarted("7f3a", "2026-03-01T10:15:00Z", "scripted", "agent", {}, {})
MESSAGES = [Message("system", "Be brief."), Message("user", "Hello")]
SESSION = cast(SessionHandle, object())


@dataclass
class Limits:
    """Nothing is late on a busy machine, but what hangs."""

    hook_ms: float = 10_000.0
    observer_ms: float = 10_000.0


def session_hooks(*bodies: Any, limits: Any = None) -> tuple[SessionHooks, OpenTrace]:
    """The hooks of a session with these plugins, called a, b, c…"""
    plugins = PluginRegistry()
    for name, body in zip("abcdef", bodies, strict=False):
        plugins.register(body, name)
    began = time.monotonic()
    trace = OpenTrace(lambda: (time.monotonic() - began) * 1000)
    return SessionHooks(plugins, trace, limits or Limits()), trace


def failures(trace: OpenTrace) -> list[PluginFailed]:
    return [entry.event for entry in trace.since(0) if isinstance(entry.event, PluginFailed)]


def filtering(filter_text: Callable[[str], Any]) -> Any:
    """A plugin that does this to the user's text."""

    class Plugin:
        @hookimpl
        def workbench_filter_user_text(self, text: str) -> Any:
            return filter_text(text)

    return Plugin()


# --- changing --------------------------------------------------------------------------------------------------------


def test_without_filters_nothing_changes() -> None:
    hooks: Hooks = Hooks()

    async def main(hooks: Hooks) -> None:
        before = threading.active_count()
        assert await hooks.user_text("x") == "x"
        assert await hooks.agent_text("x") == "x"
        assert await hooks.before_tts(1, "x") == "x"
        assert await hooks.before_llm(1, MESSAGES) is MESSAGES
        hooks.after_llm(1, "x", [])
        assert threading.active_count() == before

    asyncio.run(main(hooks))
    asyncio.run(main(session_hooks()[0]))


def test_a_hook_that_nobody_implements_costs_no_await() -> None:
    hooks, _ = session_hooks(filtering(str.upper))
    with pytest.raises(StopIteration, match="x"):
        hooks.before_tts(1, "x").send(None)


@pytest.mark.parametrize("run", [asyncio.run, run_virtual])
def test_each_filter_changes_its_argument(run: Callable[[Any], None]) -> None:
    class Plugin:
        @hookimpl
        def workbench_filter_user_text(self, text: str) -> str:
            return f"{text}u"

        @hookimpl
        def workbench_filter_agent_text(self, text: str) -> str:
            return f"{text}a"

        @hookimpl
        def workbench_before_tts(self, text: str, turn: int | None) -> str:
            return f"{text}{turn}"

        @hookimpl
        def workbench_before_llm(self, messages: Sequence[Message]) -> Sequence[Message]:
            return [*messages, Message("system", "Rhyme.")]

    hooks, trace = session_hooks(Plugin())

    async def main() -> None:
        assert await hooks.user_text("x") == "xu"
        assert await hooks.agent_text("x") == "xa"
        assert await hooks.before_tts(7, "x") == "x7"
        assert [*(await hooks.before_llm(None, MESSAGES))] == [*MESSAGES, Message("system", "Rhyme.")]

    run(main())
    assert failures(trace) == []


def test_filters_are_applied_one_after_the_other() -> None:
    class Last:
        @hookimpl(trylast=True)
        def workbench_filter_user_text(self, text: str) -> str:
            return f"{text} last"

    hooks, _ = session_hooks(filtering(lambda text: f"{text} a"), Last(), filtering(lambda text: None))
    assert run_virtual(hooks.user_text("x")) == "x a last"


def test_plugins_cannot_change_the_sessions_own_messages() -> None:
    class Plugin:
        @hookimpl
        def workbench_before_llm(self, messages: Any) -> None:
            messages.append(Message("system", "Rhyme."))

    hooks, trace = session_hooks(Plugin())
    assert [*run_virtual(hooks.before_llm(1, MESSAGES))] == MESSAGES
    assert "'tuple' object has no attribute 'append'" in failures(trace)[0].reason


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda text: 1 / 0, "ZeroDivisionError: division by zero (test_session_hooks.py:"),
        (
            lambda text: _raise(ValueError("?token=abcdef123456")),
            "ValueError: ?token=… (test_session_hooks.py:",
        ),
        (lambda text: sys.exit(3), "sys.exit(3) (test_session_hooks.py:"),
        (lambda text: _raise(KeyboardInterrupt()), "KeyboardInterrupt (test_session_hooks.py:"),
        (lambda text: _raise(asyncio.CancelledError()), "CancelledError"),
        (lambda text: _raise(StopIteration()), "StopIteration"),
        (lambda text: 7, "gave int 7 and no text"),
        (lambda text: b"x", "gave bytes b'x' and no text"),
    ],
)
@pytest.mark.parametrize("run", [asyncio.run, run_virtual])
def test_a_failing_filter_is_named_and_dropped_and_the_text_stays(
    bad: Callable[[str], Any], reason: str, run: Callable[[Any], str]
) -> None:
    calls: list[str] = []

    def once(text: str) -> Any:
        calls.append(text)
        return bad(text)

    hooks, trace = session_hooks(filtering(lambda text: f"{text}!"), filtering(once))

    async def main() -> str:
        return await hooks.user_text(await hooks.user_text("x"))

    assert run(main()) == "x!!"
    (failed,) = failures(trace)
    assert (failed.plugin, failed.hook) == ("b", "workbench_filter_user_text")
    assert failed.reason.startswith(reason)
    assert calls == ["x"]


@pytest.mark.parametrize("answer", [[], [*MESSAGES, "hi"], {"a": 1}, [Message("user", cast(str, 7))]])
def test_messages_must_be_messages(answer: Any) -> None:
    class Plugin:
        @hookimpl
        def workbench_before_llm(self) -> Any:
            return answer

    hooks, trace = session_hooks(Plugin())
    assert [*run_virtual(hooks.before_llm(1, MESSAGES))] == MESSAGES
    assert failures(trace)[0].reason.startswith("gave ")


def test_a_hook_that_hangs_is_abandoned_at_its_deadline() -> None:
    go = threading.Event()
    hooks, trace = session_hooks(filtering(lambda text: go.wait(30)), limits=Limits(hook_ms=30))

    async def main() -> None:
        assert [*await asyncio.gather(hooks.user_text("x"), hooks.user_text("y"))] == ["x", "y"]
        assert await hooks.user_text("z") == "z"

    asyncio.run(main())
    go.set()
    (failed,) = failures(trace)
    assert failed.reason.startswith("did not return within ")
    assert failed.took_ms >= 30


def test_an_answer_in_time_counts_although_the_loop_is_late() -> None:
    ran = threading.Event()

    def quick(text: str) -> str:
        ran.set()
        return "X"

    def busy() -> None:
        ran.wait(PATIENCE_S)
        time.sleep(1)

    hooks, trace = session_hooks(filtering(quick), limits=Limits(hook_ms=500))

    async def main() -> str:
        asyncio.get_running_loop().call_later(0, busy)  # which is not the plugin's fault
        return await hooks.user_text("x")

    assert asyncio.run(main()) == "X"
    assert failures(trace) == []


def test_cancelling_a_reply_is_no_failure_of_the_hook() -> None:
    go = threading.Event()
    hooks, trace = session_hooks(filtering(lambda text: go.wait(30)), limits=Limits(hook_ms=10_000))

    async def main() -> None:
        task = asyncio.create_task(hooks.user_text("x"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    go.set()
    assert failures(trace) == []


def test_the_settings_have_the_limits() -> None:
    hooks, _ = session_hooks(filtering(str.upper), limits=LimitSettings())
    assert run_virtual(hooks.user_text("x")) == "X"


# --- watching --------------------------------------------------------------------------------------------------------


class Watcher:
    """Notes all that it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    @hookimpl
    def workbench_session_started(self, session: SessionHandle) -> None:
        self.told.append(("session started", session))

    @hookimpl
    def workbench_turn_started(self, turn: int) -> None:
        self.told.append(("turn started", turn))

    @hookimpl
    def workbench_after_llm(self, turn: int, text: str, calls: Sequence[ToolCall]) -> None:
        self.told.append(("after llm", turn, text, calls))

    @hookimpl
    def workbench_turn_ended(self, turn: Turn) -> None:
        self.told.append(("turn ended", turn.turn, turn.agent_text))

    @hookimpl
    def workbench_session_ended(self) -> None:
        self.told.append("session ended")

    @hookimpl
    def workbench_readers(self) -> list[ReaderFactory]:
        return [lambda: self.read]

    def read(self, entry: Entry) -> None:
        self.told.append(entry.i)


def emit(trace: OpenTrace, *events: Event) -> None:
    for event in events:
        trace.emit(event)


@asynccontextmanager
async def watched(hooks: SessionHooks) -> AsyncIterator[None]:
    """Run it as a session does: cancelled when the session is over, whether the trace is closed or not."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(hooks.run(SESSION))
        yield
        task.cancel()


def one_turn(trace: OpenTrace, hooks: SessionHooks) -> None:
    emit(trace, STARTED, TurnDecided(1, 1))
    hooks.after_llm(1, "Hi.", [ToolCall("1", "price", "{}")])
    emit(trace, TurnEnded(1, "done", "Hello", "Hi."), SessionEnded("stopped"))
    trace.close()


@pytest.mark.parametrize("run", [asyncio.run, run_virtual])
@pytest.mark.parametrize("cancelled", [True, False])
def test_observers_get_all_that_happens(run: Callable[[Any], None], cancelled: bool) -> None:
    watcher = Watcher()
    hooks, trace = session_hooks(watcher)

    async def main() -> None:
        if cancelled:
            async with watched(hooks):
                await asyncio.sleep(0.01)
                one_turn(trace, hooks)
        else:
            one_turn(trace, hooks)
            await hooks.run(SESSION)

    run(main())
    hooked = [one for one in watcher.told if not isinstance(one, int)]
    calls = (ToolCall("1", "price", "{}"),)
    assert sorted(hooked, key=str) == sorted(
        [
            ("session started", SESSION),
            ("turn started", 1),
            ("after llm", 1, "Hi.", calls),
            ("turn ended", 1, "Hi."),
            "session ended",
        ],
        key=str,
    )
    names = [one if isinstance(one, str) else one[0] for one in hooked]
    names.remove("after llm")  # it comes by another way
    assert names == ["session started", "turn started", "turn ended", "session ended"]
    assert [one for one in watcher.told if isinstance(one, int)] == [0, 1, 2, 3]
    assert failures(trace) == []


def test_without_observers_run_returns_at_once() -> None:
    hooks, trace = session_hooks(filtering(str.upper))

    async def main() -> None:
        one_turn(trace, hooks)
        await hooks.run(SESSION)

    run_virtual(main())
    assert trace.end == 4


def test_an_observer_that_raises_or_hangs_does_not_delay_others() -> None:
    go = threading.Event()
    watcher = Watcher()

    class Bad:
        calls = 0

        @hookimpl
        def workbench_turn_started(self) -> None:
            Bad.calls += 1
            go.wait(30)

        @hookimpl
        def workbench_turn_ended(self) -> None:
            sys.exit()

        @hookimpl
        def workbench_readers(self) -> list[Any]:
            return [lambda: 7, lambda: lambda entry: 1 / 0]

    hooks, trace = session_hooks(Bad(), watcher, limits=Limits(observer_ms=1000))

    async def main() -> None:
        async with watched(hooks):
            await asyncio.sleep(0.01)
            emit(trace, TurnDecided(1, 1), TurnDecided(2, 2))
            one_turn(trace, hooks)

    asyncio.run(main())
    go.set()
    assert Bad.calls == 1
    found = {(one.plugin, one.hook, one.reason.partition(" (")[0][:20]) for one in failures(trace)}
    assert ("a", "workbench_turn_started", "did not return withi") in found
    assert ("a", "workbench_turn_ended", "sys.exit(None)") in found
    assert {one.plugin for one in failures(trace)} == {"a"}
    assert watcher.told.count("session ended") == 1


def test_each_failing_reader_is_named() -> None:
    class Bad:
        @hookimpl
        def workbench_readers(self) -> list[Any]:
            return [lambda: lambda entry: 1 / 0]

    class Worse:
        @hookimpl
        def workbench_readers(self) -> list[Any]:
            return [lambda: 7]

    watcher = Watcher()
    hooks, trace = session_hooks(Bad(), Worse(), watcher)

    async def main() -> None:
        one_turn(trace, hooks)
        await hooks.run(SESSION)

    asyncio.run(main())
    assert {(one.plugin, one.hook) for one in failures(trace)} == {
        ("a", "workbench_readers"),
        ("b", "workbench_readers"),
    }
    assert [one for one in watcher.told if isinstance(one, int)][:4] == [0, 1, 2, 3]


def test_the_end_of_a_session_does_not_wait_for_a_hanging_observer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "END_S", 0.05)
    go = threading.Event()

    class Slow:
        @hookimpl
        def workbench_session_ended(self) -> None:
            go.wait(30)

    hooks, trace = session_hooks(Slow(), limits=Limits(observer_ms=20_000))

    async def main() -> None:
        one_turn(trace, hooks)
        await hooks.run(SESSION)

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 10
    go.set()
    (failed,) = failures(trace)
    assert failed.hook == "workbench_session_ended"
    assert failed.reason == "had not returned 50 ms after the session's end"


def test_a_failure_in_a_plugin_file_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        "from workbench import hookimpl\n\n@hookimpl\ndef workbench_before_tts(text):\n    return text + 1\n"
    )
    plugins = PluginRegistry()
    plugins.load_file(file)
    trace = OpenTrace(lambda: 0.0)
    assert run_virtual(SessionHooks(plugins, trace, Limits()).before_tts(1, "x")) == "x"
    assert failures(trace)[0].reason.endswith("(bad.py:5)")
