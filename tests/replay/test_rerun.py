"""A rerun with something changed: what is unchanged comes from the cassette, what is not is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from workbench import Agent, hookimpl, open_session, tool
from workbench.config import load_settings
from workbench.model import events as ev
from workbench.model.errors import MissingError, UsageError
from workbench.plugin.manager import manager
from workbench.plugin.values import Provider, ProviderOptions
from workbench.readers import entries
from workbench.replay.rerun import Rerun, rerun
from workbench.replay.verdict import compare_traces
from workbench.session import Session
from workbench.simulation import Score, ScriptedLlm, run_virtual

ANSWERS = ["The first answer.", "The second answer.", "The third answer."]
SAID = ("tell me something", "and one more thing", "that is all")
calls: list[str] = []


@tool
def note(text: str) -> str:
    """Write something down.

    Args:
        text: what.
    """
    calls.append(text)
    return f"noted: {text}"


def record(
    folder: Path, *verbs: tuple[float, Callable[[Session], object]], agent: Agent | None = None, **script: Any
) -> Path:
    """Record a conversation of three turns under the virtual clock."""
    score = Score(noise_db=-65.0).silence(0.5)
    for words in SAID:
        score.say(words).silence(3.5)
    sound = folder.parent / f"{folder.name}.wav"
    score.write_wav(sound)
    spoken = [[line.text, line.start, line.end] for line in score.spoken]
    script = {"spoken": spoken, "agent": ANSWERS, "stt_ms": 120, "first_token_ms": 150, **script}
    flags = {"profile": "scripted", "audio.source": str(sound), "audio.sink": "none"}
    settings = load_settings(flags | {"record.folder": str(folder), "script": script})

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        async with open_session(settings, agent=agent or Agent(instructions="Be brief.")) as session:
            for at, verb in verbs:
                await asyncio.sleep(at - loop.time())
                verb(session)
            await session.ended()

    run_virtual(talk())
    return folder


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("rerun") / "before")


@pytest.fixture
def other() -> Iterator[None]:
    """A language model that says something else is installed."""

    def make(options: ProviderOptions) -> ScriptedLlm:
        return ScriptedLlm(["Something else."])

    class Plugin:
        @hookimpl
        def workbench_providers(self) -> list[Provider]:
            return [Provider("llm", "other", "says one thing", make, ("one",))]

    name = manager().register(Plugin(), "other")
    yield
    manager().unregister(name)


def heard(again: Rerun) -> list[str]:
    return [turn.agent_text for turn in again.trace.turns]


def test_nothing_is_changed_by_nothing(before: Path) -> None:
    again = rerun(before)
    assert compare_traces(again.original, again.trace).sameness == "same bytes"
    assert again.changes == ()
    assert again.error is None
    assert (again.folder / "cassette").is_dir()


def test_twice_the_same_bytes_with_a_change_too(before: Path) -> None:
    once, twice = (rerun(before, settings={"turn.silence_ms": 700, "turn.adapt": False}) for _ in range(2))
    assert compare_traces(once.trace, twice.trace).sameness == "same bytes"
    assert compare_traces(once.original, once.trace).sameness == "differs"


@pytest.mark.usefixtures("other")
def test_a_swapped_stage_runs_for_real_and_what_follows_of_it_is_named(before: Path) -> None:
    again = rerun(before, swap={"llm": "other/one"})
    assert [turn.agent_text for turn in again.trace.turns] == ["Something else."] * 3
    assert {change.stage for change in again.changes} == {"tts"}
    assert {change.miss for change in again.changes} == {"missing"}
    assert not any(change.live for change in again.changes)
    failed = [turn for turn in again.trace.turns if turn.error is not None]
    assert failed
    assert all(turn.error and "the cassette cannot answer for tts" in turn.error.reason for turn in failed)


def test_with_live_providers_what_is_changed_is_asked_for_real(before: Path) -> None:
    again = rerun(before, instructions="Be long.", live=True)
    assert heard(again) == ANSWERS
    assert {(change.stage, change.miss, change.live) for change in again.changes} == {
        ("llm", "missing", True)
    }
    notices = [entry.event for entry in entries(again.trace) if isinstance(entry.event, ev.Notice)]
    assert [notice.owner for notice in notices] == ["llm"]


def test_another_prompt_without_a_live_model_fails_its_turns_and_says_why(before: Path) -> None:
    again = rerun(before, instructions="Be long.")
    assert [turn.status for turn in again.trace.turns] == ["failed"] * 3
    error = again.trace.turns[0].error
    assert error is not None
    assert error.stage == "llm"
    assert error.hint == "run it with a live provider: swap llm, or allow live ones"


def test_a_fork_is_as_recorded_up_to_its_turn(before: Path) -> None:
    again = rerun(before, swap={"llm": "scripted", "tts": "scripted"}, from_turn=2)
    assert again.trace.turns[0] == again.original.turns[0]
    assert heard(again)[1:] != heard(rerun(before))[1:]
    assert [turn.user_text for turn in again.trace.turns] == list(SAID)
    swapped = [entry.t_ms for entry in entries(again.trace) if isinstance(entry.event, ev.Swapped)]
    assert len(swapped) == 2
    assert again.original.moment(1).end_ms < swapped[0] < again.original.moment(2).start_ms


def test_a_fork_with_another_agent(before: Path) -> None:
    agent = Agent(instructions="Be long.", name="another", tools=[note])
    again = rerun(before, agent=agent, from_turn=3, live=True)
    assert heard(again)[:2] == ANSWERS[:2]
    assert [change.stage for change in again.changes] == ["llm", "tts"]


def test_verbs_are_called_again(tmp_path: Path) -> None:
    folder = record(
        tmp_path / "verbs",
        (1.0, lambda session: session.bookmark("here")),
        (2.2, lambda session: session.interrupt()),
        (3.0, lambda session: session.set("turn.silence_ms", 450)),
        (3.5, lambda session: session.type("typed")),
        (5.0, lambda session: session.mute()),
        (6.0, lambda session: session.mute(False)),
        (6.5, lambda session: session.swap(llm="scripted")),
        (7.0, lambda session: session.swap(agent=Agent(instructions="Be long.", name="long"))),
        (8.0, lambda session: session.say("By the way.")),
        (9.0, lambda session: session.stop("enough")),
    )
    again = rerun(folder)
    assert compare_traces(again.original, again.trace).sameness == "same bytes"
    last = list(entries(again.trace))[-1].event
    assert last == ev.SessionEnded("enough")


def test_tools_answer_from_the_cassette_and_are_not_run(tmp_path: Path) -> None:
    agent = Agent(instructions="Be brief.", tools=[note])
    choose = [{"when": "tell", "tool": "note", "arguments": {"text": "a"}, "then": "It is noted."}]
    folder = record(tmp_path / "tool", agent=agent, choose=choose)
    assert calls == ["a"]
    again = rerun(folder)
    assert calls == ["a"]
    assert compare_traces(again.original, again.trace).sameness == "same bytes"
    returned = [entry.event for entry in entries(again.trace) if isinstance(entry.event, ev.ToolReturned)]
    assert [event.result for event in returned] == ["noted: a"]


def test_an_answer_that_was_cut_off_is_never_passed_for_a_whole_one(before: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    copytree(before, folder)
    rows = _rows(folder)
    voices = {row["call"] for row in rows if row["row"] == "call" and row["stage"] == "tts"}
    _write(folder, [replace_end(row) if row.get("call") in voices else row for row in rows])
    again = rerun(folder)
    assert {(change.stage, change.miss) for change in again.changes} == {("tts", "cut off")}


def replace_end(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"how": "cut"} if row["row"] == "end" else row


def test_an_answer_is_given_once(before: Path, tmp_path: Path) -> None:
    folder = tmp_path / "once"
    copytree(before, folder)
    rows = _rows(folder)
    asked = [row for row in rows if row["row"] == "call" and row["stage"] == "llm" and row["key"] != "warm"]
    keys = {row["key"] for row in asked}
    assert len(keys) == 3
    second, third = asked[-2], asked[-1]
    _write(folder, [row for row in rows if row.get("call") not in (second["call"], third["call"])])
    again = rerun(folder)
    assert {(change.stage, change.miss) for change in again.changes} == {("llm", "missing")}
    assert [turn.status for turn in again.trace.turns] == ["done", "failed", "failed"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"from_turn": 9}, UsageError, "there is no turn 9"),
        ({"settings": {"turn.silnce_ms": 3}}, UsageError, "silence_ms"),
        ({"swap": {"llm": "nobody"}}, UsageError, "no llm provider is called 'nobody'"),
        ({"swap": {"ear": "x"}}, UsageError, "ear cannot be swapped"),
        ({"swap": {"turn": "silence"}, "from_turn": 2}, UsageError, "mid-conversation"),
        ({"swap": {"llm": "openai/gpt-6-luna"}}, MissingError, "needs a key"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    before: Path,
    options: dict[str, Any],
    error: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(error, match=words):
        rerun(before, into=tmp_path / "again", **options)
    assert not (tmp_path / "again").exists()


def test_an_older_recording_says_that_it_has_no_cassette(before: Path, tmp_path: Path) -> None:
    folder = tmp_path / "older"
    copytree(before, folder)
    for file in (folder / "cassette").iterdir():
        file.unlink()
    with pytest.raises(UsageError, match="recorded by an earlier workbench, or without one"):
        rerun(folder)


def test_keys_and_headers_are_in_no_cassette(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_LLM__API_KEY", "sk-very-secret-key")
    monkeypatch.setenv("WORKBENCH_LLM__HEADERS", '{"X-Token": "a-token-of-mine"}')
    folder = record(tmp_path / "secret", (1.0, lambda session: session.set("llm.api_key", "sk-another-key")))
    for file in folder.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        for secret in (b"sk-very-secret-key", b"a-token-of-mine", b"sk-another-key"):
            assert secret not in content
    assert rerun(folder).changes == ()


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "cassette" / "rows.jsonl").read_text().splitlines()]


def _write(folder: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "cassette" / "rows.jsonl").write_text(text, encoding="utf-8")
