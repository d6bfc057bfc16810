from __future__ import annotations

import asyncio
import gc
import json
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_S
from workbench import Agent, open_session, open_trace, tool
from workbench.config import Settings, load_settings
from workbench.model.errors import MissingError, UsageError
from workbench.model.events import (
    Bookmarked,
    Muted,
    Notice,
    ReplyEnded,
    SessionEnded,
    SessionStarted,
    SettingChanged,
    Swapped,
    ToolReturned,
    TurnEnded,
)
from workbench.readers import entries
from workbench.readers.timeline import Turn, turns
from workbench.session import Session
from workbench.session.process import tuned_process
from workbench.simulation.clock import run_virtual
from workbench.simulation.scripted import ScriptedLlm
from workbench.simulation.synthesis import ArraySource, Score
from workbench.trace.codec import decode
from workbench.transports.base import Transport, TransportOptions
from workbench.transports.paced import PacedSink

SCRIPT = {"user": ["Good morning.", "What else?"], "agent": ["It is a fine day.", "Nothing else."]}


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    score = Score().silence(0.5).say("Good morning.").silence(3).say("What else?").silence(3)
    return score.write_wav(tmp_path / "user.wav")


def settings(**values: Any) -> Settings:
    given = {"profile": "scripted", "audio.source": "none", "audio.sink": "none", "record.enabled": False}
    return load_settings(
        {**given, **{name.replace("__", "."): value for name, value in values.items()}}, environ={}
    )


def events_of(session: Session, kind: type[Any]) -> list[Any]:
    return [entry.event for entry in session.trace.since(0) if isinstance(entry.event, kind)]


async def said(session: Session, count: int = 1) -> None:
    """Wait until so many turns have ended."""
    async for entry in session.trace.follow():
        count -= isinstance(entry.event, TurnEnded)
        if count <= 0:
            return


def test_a_wav_is_answered_turn_by_turn_and_the_session_ends_by_itself(wav: Path) -> None:
    async def talk() -> list[Turn]:
        async with open_session(settings(audio__source=str(wav))) as session:
            await session.ended()
            assert session.over
            assert events_of(session, SessionEnded) == [SessionEnded("source ended")]
            return list(turns(entries(session.trace)))

    found = run_virtual(talk())
    assert [turn.status for turn in found] == ["done", "done"]
    for turn in found:
        assert turn.heard_latency_ms is not None
        assert sum(turn.parts_ms.values()) == pytest.approx(turn.heard_latency_ms, abs=0.01)
        assert abs(turn.parts_ms["unexplained"]) <= 5


def test_typed_text_takes_the_same_path() -> None:
    async def talk() -> Turn:
        async with open_session(settings()) as session:
            session.type("hello")
            await said(session)
            session.stop()
            await session.ended()
            assert events_of(session, SessionEnded) == [SessionEnded("stopped")]
            (turn,) = turns(session.trace.since(0))
            return turn

    turn = run_virtual(talk())
    assert (turn.status, turn.user_text, turn.heard_latency_ms) == ("done", "hello", None)
    assert "hello" in turn.agent_text


def test_the_agent_greets_and_speaks_on_say() -> None:
    agent = Agent(instructions="x", greeting="Welcome.", name="host")

    async def talk() -> list[ReplyEnded]:
        async with open_session(settings(), agent=agent) as session:
            session.say("One more thing.")
            async for entry in session.trace.follow():
                if len(events_of(session, ReplyEnded)) == 2:
                    assert entry.event
                    break
            assert events_of(session, SessionStarted)[0].agent == "host"
            return events_of(session, ReplyEnded)

    assert [reply.heard for reply in run_virtual(talk())] == ["Welcome.", "One more thing."]


def test_interrupt_cuts_the_reply_at_what_was_played() -> None:
    agent = Agent(instructions="x", greeting="One two three four five six seven eight nine ten.")

    async def talk() -> ReplyEnded:
        async with open_session(settings(), agent=agent) as session:
            async for entry in session.trace.follow():
                if entry.t_ms > 1500:
                    session.interrupt()
                if isinstance(entry.event, ReplyEnded):
                    return entry.event
        raise AssertionError

    ended = run_virtual(talk())
    assert ended.status == "cut"
    assert ended.heard.startswith("One two")
    assert ended.unheard.endswith("ten.")


def test_settings_change_while_a_session_runs_and_invalid_ones_are_refused() -> None:
    async def talk() -> None:
        async with open_session(settings()) as session:
            session.set("turn.silence_ms", 300)
            session.set(bargein_mode="half")
            assert session.settings.turn.silence_ms == 300
            assert session.settings.bargein.mode == "half"
            with pytest.raises(UsageError, match="silence_msec"):
                session.set("turn.silence_msec", 300)
            with pytest.raises(UsageError, match=r"turn\.silence_ms"):
                session.set("turn.silence_ms", -1)
            assert [event.name for event in events_of(session, SettingChanged)] == [
                "turn.silence_ms",
                "bargein.mode",
            ]

    run_virtual(talk())


def test_a_session_changes_its_own_settings_only() -> None:
    mine = settings()

    async def talk() -> None:
        async with open_session(mine) as session:
            session.set("turn.silence_ms", 777)

    run_virtual(talk())
    assert mine.turn.silence_ms != 777


def test_providers_and_the_agent_are_swapped_while_it_runs() -> None:
    async def talk() -> tuple[list[Swapped], str]:
        async with open_session(settings()) as session:
            session.swap(llm="scripted", tts="none", agent=Agent(instructions="Be brief.", name="brief"))
            async for _ in session.trace.follow():
                if len(events_of(session, Swapped)) == 3:
                    break
            return events_of(session, Swapped), session.conversation.instructions

    swapped, instructions = run_virtual(talk())
    assert {event.what for event in swapped} == {"llm", "tts", "agent"}
    assert swapped[0].what == "agent"
    assert instructions == "Be brief."


def test_a_model_that_lacks_its_key_leaves_the_one_before_and_the_agent_says_so() -> None:
    async def talk() -> tuple[list[Notice], Agent]:
        async with open_session(settings(), agent=Agent(instructions="x", llm="scripted")) as session:
            keyless = Agent(instructions="Be brief.", llm="openai/some-model")
            session.swap(llm="openai/some-model", agent=keyless)
            async for entry in session.trace.follow():
                if isinstance(entry.event, Notice):
                    break
            await asyncio.sleep(1)
            return events_of(session, Notice), session.agent

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENAI_API_KEY", raising=False)
        notices, agent = run_virtual(talk())
    assert [notice.owner for notice in notices] == ["llm"]
    assert (agent.instructions, agent.llm) == ("Be brief.", "scripted")


def test_set_and_swap_refuse_settings_that_are_fixed() -> None:
    session = open_session(settings())
    for what in ({"vad": "energy"}, {"agent": 3}, {"nonsense": "x"}, {"llm": "none"}, {"stt": None}):
        with pytest.raises(UsageError):
            session.swap(**what)
    with pytest.raises(UsageError, match=r"no tts provider is called 'nobody' – installed: .*scripted"):
        session.swap(llm="scripted", tts="nobody")
    assert not session._waiting, "all or nothing"
    for name in ("audio.source", "llm.provider", "record.folder", "profile"):
        with pytest.raises(UsageError, match="fixed"):
            session.set(name, "other")


@pytest.mark.parametrize("text", [None, 3, b"hello", ["hello"]])
def test_say_type_and_ask_refuse_what_is_no_text(text: Any) -> None:
    session = open_session(settings())
    for verb in ("say", "type", "ask", "bookmark"):
        with pytest.raises(UsageError, match=f"{type(text).__name__} is no text – write {verb}"):
            getattr(session, verb)(text)
    with pytest.raises(UsageError, match="is no text – write set"):
        session.set(text, 300)
    assert not session._waiting


def test_a_session_that_has_ended_refuses_its_verbs_and_its_trace_stays_closed() -> None:
    @tool
    def price(item: str) -> str:
        return f"{item}: seven"

    with open_session(settings(), agent=Agent(instructions="x", tools=[price])) as session:
        pass
    end, silence_ms = session.trace.end, session.settings.turn.silence_ms
    verbs: list[Callable[[], object]] = [
        lambda: session.say("hello"),
        lambda: session.type("hello"),
        lambda: session.mute(),
        lambda: session.bookmark("here"),
        lambda: session.set(turn_silence_ms=1234),
        lambda: session.swap(llm="scripted"),
        lambda: session.tools.call("price"),
    ]
    for verb in verbs:
        with pytest.raises(UsageError, match="the session is over – open another one"):
            verb()
    session.interrupt()
    session.stop()
    assert (session.trace.end, session.settings.turn.silence_ms) == (end, silence_ms)


def test_verbs_called_before_the_session_is_ready_run_when_it_is() -> None:
    async def talk() -> list[TurnEnded]:
        session = open_session(settings(script=SCRIPT))
        session.type("hello")
        async with session:
            await said(session)
            return events_of(session, TurnEnded)

    assert run_virtual(talk())[0].user_text == "hello"


def test_a_muted_microphone_is_neither_transcribed_nor_recorded(wav: Path, tmp_path: Path) -> None:
    async def talk() -> None:
        folder = tmp_path / "rec"
        muted = settings(audio__source=str(wav), record__enabled=True, record__folder=folder)
        async with open_session(muted) as session:
            session.mute(True)
            await session.ended()
            assert events_of(session, Muted) == [Muted(True)]
            assert not events_of(session, TurnEnded)

    run_virtual(talk())
    trace = open_trace(tmp_path / "rec")
    assert not trace.tracks["user"].read(0, trace.tracks["user"].end).any()


def test_a_recording_opens_as_the_same_trace(wav: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rec"

    async def talk() -> list[Turn]:
        given = settings(audio__source=str(wav), record__enabled=True, record__folder=folder)
        async with open_session(given) as session:
            session.bookmark("\x1b[31mhere")
            await session.ended()
            assert session.recording == folder
            return list(turns(session.trace.since(0)))

    live = run_virtual(talk())
    recorded = open_trace(folder)
    assert list(turns(entries(recorded))) == live
    assert [entry.event.label for entry in entries(recorded) if isinstance(entry.event, Bookmarked)] == [
        "here"
    ]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.rglob("*") if file.is_file()} == {0o600}
    assert stat.S_IMODE((folder / "cassette").stat().st_mode) == 0o700
    assert {file.name for file in folder.iterdir()} == {
        "session.json",
        "events.jsonl",
        "user.wav",
        "agent.wav",
        "cassette",
    }
    about = json.loads((folder / "session.json").read_text())
    assert about["profile"] == "scripted"


def test_twice_the_same_conversation_is_twice_the_same_bytes(wav: Path, tmp_path: Path) -> None:
    def talked(name: str) -> tuple[list[Any], bytes]:
        folder = tmp_path / name

        async def talk() -> None:
            given = settings(audio__source=str(wav), record__enabled=True, record__folder=folder)
            async with open_session(given) as session:
                await session.ended()

        run_virtual(talk())
        decoded = [decode(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]
        kept = [entry for entry in decoded if entry and not isinstance(entry.event, SessionStarted)]
        return kept, (folder / "agent.wav").read_bytes()

    assert talked("one") == talked("two")


def test_a_session_in_a_thread_of_its_own_gives_the_same_turns(wav: Path) -> None:
    with open_session(settings(script=SCRIPT)) as session:
        session.type("hello")
        session.type("again")

        async def both() -> None:
            await said(session, 2)

        asyncio.run(asyncio.wait_for(both(), PATIENCE_S))
        session.stop()
        assert session.wait(PATIENCE_S)
    assert len(events_of(session, TurnEnded)) == 2


def test_the_recording_is_complete_when_wait_returns(tmp_path: Path) -> None:
    for number in range(5):
        folder = tmp_path / str(number)
        with open_session(settings(record__enabled=True, record__folder=folder)) as session:
            for _ in range(500):
                session.bookmark("x" * 200)
            session.stop()
            assert session.wait(PATIENCE_S)
            assert isinstance([*entries(open_trace(folder))][-1].event, SessionEnded)


def test_a_missing_device_or_model_ends_the_session_and_wait_raises_it(tmp_path: Path) -> None:
    async def talk() -> None:
        nothing = settings(stt__provider="openai/whisper-1")
        async with open_session(nothing) as session:
            with pytest.raises(MissingError, match=r"OPENAI_API_KEY"):
                await session.ended()
            (ended,) = events_of(session, SessionEnded)
            assert ended.reason.startswith("failed: ")

    asyncio.run(talk())


def test_unknown_providers_and_files_are_named_in_the_error(tmp_path: Path) -> None:
    async def fails(given: Settings, what: str) -> None:
        async with open_session(given) as session:
            with pytest.raises(UsageError, match=what):
                await session.ended()

    asyncio.run(fails(settings(llm__provider="lama/x"), "lama"))
    asyncio.run(fails(settings(audio__source=str(tmp_path / "absent.wav")), "absent.wav"))


def test_a_folder_that_is_not_empty_is_not_recorded_into(tmp_path: Path) -> None:
    (tmp_path / "old").touch()

    async def talk() -> None:
        async with open_session(settings(record__enabled=True, record__folder=tmp_path)):
            raise AssertionError("it must not open")

    with pytest.raises(UsageError, match="not empty"):
        asyncio.run(talk())


def test_a_session_that_could_not_begin_leaves_its_folder_free(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    absent = settings(audio__source=str(tmp_path / "absent.wav"), record__enabled=True, record__folder=folder)

    async def talk() -> None:
        async with open_session(absent) as session:
            with pytest.raises(UsageError, match=r"absent\.wav"):
                await session.ended()
        assert session.recording is None

    asyncio.run(talk())
    assert not folder.exists()


def test_a_sink_never_overwrites_the_source(wav: Path) -> None:
    before = wav.read_bytes()

    async def talk() -> None:
        async with open_session(settings(audio__source=str(wav), audio__sink=str(wav))) as session:
            with pytest.raises(UsageError, match="overwrite"):
                await session.ended()

    asyncio.run(talk())
    assert wav.read_bytes() == before


def test_a_session_that_is_left_early_writes_its_end_into_the_trace(wav: Path) -> None:
    async def talk() -> Session:
        async with open_session(settings(audio__source=str(wav))) as session:
            async for entry in session.trace.follow():
                if entry.t_ms > 1000:
                    break
            return session

    session = run_virtual(talk())
    assert session.trace.closed
    assert events_of(session, SessionEnded) == [SessionEnded("stopped")]


def test_a_session_is_entered_once() -> None:
    with open_session(settings()) as session:
        pass
    with pytest.raises(UsageError, match="once"), session:
        raise AssertionError("it must not open")


def test_a_turn_for_which_a_model_restarted_is_cold() -> None:
    class Restarted(ScriptedLlm):
        starts = 1  # its process had died

    async def talk() -> list[bool]:
        async with open_session(settings()) as session:
            session.type("one")
            await said(session)
            assert session._pipeline
            llm: Any = session._pipeline.stages.llm.provider
            llm.__class__ = Restarted
            session.type("two")
            await said(session, 2)
            session.type("three")
            await said(session, 3)
            return [event.cold for event in events_of(session, TurnEnded)]

    assert run_virtual(talk()) == [False, True, False]


# --- asking ----------------------------------------------------------------------------------------------------------


def test_ask_returns_the_turn_of_its_question() -> None:
    async def talk() -> tuple[Turn, Turn, list[Turn]]:
        async with open_session(settings(script=SCRIPT)) as session:
            first = await session.aask("how are you?")
            second = await session.aask("and now?")
            with pytest.raises(UsageError, match="aask"):
                session.ask("this thread is busy")
            with pytest.raises(UsageError, match="nothing was asked"):
                await session.aask("  ")
            return first, second, list(session.turns)

    first, second, kept = run_virtual(talk())
    assert (first.turn, first.user_text, first.agent_text) == (1, "how are you?", "It is a fine day.")
    assert (second.turn, second.agent_text) == (2, "Nothing else.")
    assert kept == [first, second]


def test_ask_returns_although_a_later_question_interrupts_the_answer() -> None:
    async def talk() -> list[Turn]:
        async with open_session(settings()) as session, asyncio.TaskGroup() as tasks:
            first = tasks.create_task(session.aask("one"))
            await asyncio.sleep(1)
            second = tasks.create_task(session.aask("two"))
            return [await first, await second]

    assert [(turn.user_text, turn.status) for turn in run_virtual(talk())] == [
        ("one", "cut"),
        ("two", "done"),
    ]


def test_cancelling_aask_does_not_disturb_the_turn() -> None:
    async def talk() -> list[Turn]:
        async with open_session(settings()) as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await session.aask("hello")
            await said(session)
            return list(session.turns)

    assert [turn.status for turn in run_virtual(talk())] == ["done"]


def test_ask_raises_when_the_session_ends_or_has_ended() -> None:
    async def talk() -> None:
        async with open_session(settings()) as session:
            async with asyncio.TaskGroup() as tasks:
                asked = tasks.create_task(session.aask("hello"))
                await asyncio.sleep(0.5)
                session.stop()
                assert (await asked).status == "cut"
            with pytest.raises(UsageError, match="ended before"):
                await session.aask("hello?")

    run_virtual(talk())
    with pytest.raises(UsageError, match="not been entered"):
        open_session(settings()).ask("hello")


def test_ask_raises_the_error_that_ends_the_session(tmp_path: Path) -> None:
    async def talk() -> None:
        async with open_session(settings(audio__source=str(tmp_path / "absent.wav"))) as session:
            await session.aask("hello")

    with pytest.raises(UsageError, match=r"absent\.wav"):
        run_virtual(talk())


def test_ask_waits_from_another_thread() -> None:
    with open_session(settings(tts__provider="none", script=SCRIPT)) as session:
        assert session.ask("hello").agent_text == "It is a fine day."
        assert "It is a fine day." in session._repr_html_()
        assert "running" in session._repr_html_()


def test_an_agents_tools_are_there_before_the_session_runs_and_go_when_it_is_swapped() -> None:
    @tool
    def price(item: str) -> str:
        return f"{item}: seven"

    @tool(name="price")
    def other(item: str) -> str:
        return f"{item}: eight"

    def ends(session: Session) -> list[tuple[str, str]]:
        return [(end.name, end.result) for end in events_of(session, ToolReturned)]

    async def talk() -> None:
        async with open_session(settings(), agent=Agent(instructions="", tools=[price])) as session:
            assert session.tools.names == ("price",)
            session.tools.call("price", '{"item": "oil"}')  # waits until somebody can run it
            with pytest.raises(UsageError, match="no tool called 'prize'"):
                session.tools.call("prize")
            async for entry in session.trace.follow():
                match entry.event:
                    case ToolReturned() if len(ends(session)) == 1:
                        session.swap(agent=Agent(instructions="", tools=[other]))
                    case Swapped():
                        session.tools.call("price", '{"item": "oil"}')
                    case ToolReturned():
                        break
            assert ends(session) == [("price", "oil: seven"), ("price", "oil: eight")]

    run_virtual(talk())
    with pytest.raises(UsageError, match="two tools are called 'price'"):
        open_session(settings(), agent=Agent(instructions="", tools=[price, other]))


def test_a_session_that_is_stopped_at_once_has_its_end_in_the_trace() -> None:
    async def talk() -> None:
        session = open_session(settings())
        async with session:
            session.stop("at once")
        assert events_of(session, SessionEnded) == [SessionEnded("at once")]

    run_virtual(talk())
    for _ in range(5):
        with open_session(settings()) as session:
            pass
        assert len(events_of(session, SessionEnded)) == 1


def test_a_transport_of_the_callers_own_replaces_what_the_settings_name() -> None:
    class Paper(Transport):
        """A user who speaks a score, and a speaker that nobody hears."""

        def __init__(self, options: TransportOptions) -> None:
            score = Score().silence(0.5).say("Good morning.").silence(3)
            self.source = ArraySource(score)
            self.sink = PacedSink(options.trace)

    async def main() -> list[str]:
        async with open_session(
            settings(audio__source="mic", audio__sink="speaker", script=SCRIPT), transport=Paper
        ) as session:
            await session.ended()
        return [turn.agent_text for turn in session.turns]

    assert run_virtual(main()) == ["It is a fine day."]


def _process() -> tuple[float, tuple[int, int, int]]:
    return sys.getswitchinterval(), gc.get_threshold()


def test_a_session_of_the_library_leaves_the_process_as_it_is() -> None:
    before = _process()
    with open_session(settings()) as session:
        session.ask("Good morning.")
        assert _process() == before


def test_a_tuned_process_is_as_before_when_the_last_holder_has_left() -> None:
    before = _process()
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(tuned_process())
        tuned = _process()
        assert tuned[0] < before[0]
        assert tuned[1][2] > before[1][2]
        second.enter_context(tuned_process())
        first.close()
        assert _process() == tuned
    assert _process() == before


def test_a_tool_without_a_valid_schema_is_refused_before_the_conversation() -> None:
    @tool
    def book(day) -> str:  # type: ignore[no-untyped-def]
        return str(day)

    with pytest.raises(UsageError, match="book: day has no type"):
        open_session(settings(), agent=Agent(instructions="", tools=[book]))
