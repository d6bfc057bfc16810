"""Conversations written by hand, and a session that only notes what it was told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from workbench.model import events as ev
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.conversation import Conversation
from workbench.model.errors import WorkbenchError
from workbench.trace.track import LiveTrack
from workbench.views.trace import OpenTrace

PROVIDERS = {
    "vad": "silero",
    "stt": "whisper/tiny.en",
    "llm": "llama/smollm2-135m",
    "tts": "piper/en_US-joe-medium",
}
FIRST = "In which year did people first walk on the moon?"


def user(ms: float) -> int:
    """The position on `user` at that time."""
    return round(ms * INPUT_RATE / 1000)


def agent(ms: float) -> int:
    """The position on `agent` at that time."""
    return round(ms * OUTPUT_RATE / 1000)


class Clock:
    """The session's clock, moved by hand."""

    def __init__(self) -> None:
        self.ms = 0.0

    def __call__(self) -> float:
        return self.ms


class FakeTools:
    """Verbs that are noted in `told`; what is mocked is in the trace."""

    def __init__(self, trace: OpenTrace, told: list[tuple[Any, ...]]) -> None:
        self._trace = trace
        self._told = told
        self.names: tuple[str, ...] = ("weather", "book_table")

    def call(self, name: str, arguments_json: str) -> None:
        self._told.append(("call", name, arguments_json))

    def mock(self, name: str, answer: str | None) -> None:
        self._told.append(("mock", name, answer))
        self._trace.emit(ev.ToolMocked(name, answer))


class FakeSession:
    """A trace to write into, and verbs that are noted in `told`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.trace = OpenTrace(self.clock)
        self.error: WorkbenchError | None = None
        self.recording: Path | None = None
        self._over = threading.Event()
        self.told: list[tuple[Any, ...]] = []
        self.tools = FakeTools(self.trace, self.told)
        self.conversation = Conversation("")

    @contextmanager
    def open(self) -> Iterator[FakeSession]:
        """Open and close it, noting both."""
        self.told.append(("open",))
        try:
            yield self
        finally:
            self.told.append(("closed",))

    def stop(self, reason: str = "stopped") -> None:
        self.told.append(("stop", reason))
        self.trace.emit(ev.SessionEnded(reason))
        self._over.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        return self._over.wait(timeout_s)

    def mute(self, on: bool = True) -> None:
        self.told.append(("mute", on))
        self.trace.emit(ev.Muted(on))

    def type(self, text: str) -> None:
        self.told.append(("type", text))

    def say(self, text: str) -> None:
        self.told.append(("say", text))

    def set(self, name: str = "", value: Any = None, **named: Any) -> None:
        self.told.append(("set", name, value, named))

    def swap(self, **replacements: Any) -> None:
        self.told.append(("swap", replacements))

    def spoken(self) -> tuple[int, str] | None:
        return None

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def interrupt(self) -> None:
        self.told.append(("interrupt",))

    def bookmark(self, label: str = "") -> None:
        self.told.append(("bookmark", label))

    def at(self, ms: float, *events: ev.Event) -> None:
        """Let it be `ms`, and these happen."""
        self.clock.ms = ms
        for event in events:
            self.trace.emit(event)


def started(session: FakeSession, *, recording: str | None = "/data/sessions/20260301T101500Z-7f3a") -> None:
    """A session that is warm and listens."""
    rates = {"mic": 16000, "user": 16000, "agent": 24000}
    session.at(
        0,
        ev.SessionStarted(
            "7f3a", "2026-03-01T10:15:00Z", "embedded", "my_agent", PROVIDERS, rates, recording
        ),
    )
    session.at(5, ev.DeviceOpened("mic", "Built-in microphone", 48000, 11.0))
    session.at(6, ev.DeviceOpened("agent", "Built-in speaker", 48000, 23.0))
    session.at(310, ev.ProviderWarmed("stt", PROVIDERS["stt"], 304.0))
    session.at(420, ev.ProviderWarmed("llm", PROVIDERS["llm"], 410.0))
    session.at(530, ev.ProviderWarmed("tts", PROVIDERS["tts"], 520.0))
    session.at(531, ev.DuplexChanged("full", "echo cancellation is on"), ev.EchoState(31.0, 62.0, True))
    session.at(532, ev.ListeningStarted(), ev.HostLag(0.6, 2.4))


def heard_levels(session: FakeSession, user_db: float, agent_db: float) -> None:
    """Both sides are so loud."""
    session.at(
        session.clock.ms,
        ev.Levels("user", 0, user_db, user_db + 8),
        ev.Levels("agent", 0, agent_db, agent_db + 8),
    )


def heard_turn(
    session: FakeSession, number: int, question: str, answer: str, total_ms: float = 612.0
) -> float:
    """One spoken turn, from onset until the answer is heard; the time of that."""
    t0 = session.clock.ms + 900
    end = t0 + 1800
    decided = end + 350
    reply = 10 * number
    session.at(t0, ev.SpeechStarted(number, user(t0)))
    session.at(t0 + 700, ev.Transcribed(number, question[: len(question) // 2], False, 0))
    session.at(end + 100, ev.SpeechPaused(number, 0))
    session.at(end + 190, ev.Transcribed(number, question, True, 0, True, 0.93))
    session.at(end + 191, ev.ReplyStarted(reply, number, None, question, True))
    session.at(decided, ev.TurnDecided(number, number, False, 0, 350))
    scale = (total_ms - 350) / 262
    llm, first, tts, lead = (decided + scale * ms for ms in (92, 122, 215, 237))
    session.at(llm, ev.Span("stt", t0, end + 190, reply, number, number, PROVIDERS["stt"]))
    session.at(llm, ev.Span("llm_first_token", end + 191, llm, reply, number, number, PROVIDERS["llm"]))
    session.at(
        first,
        ev.Span("first_chunk", llm, first, reply, number, number),
        ev.ReplyText(reply, number, answer, answer),
    )
    session.at(tts, ev.Span("tts_first_byte", first, tts, reply, number, number, PROVIDERS["tts"]))
    heard = end + total_ms
    session.at(
        tts + 1,
        ev.ReplyPlaying(reply, number, 0),
        ev.Span("leading_silence", tts, lead, reply, number, number),
    )
    session.at(lead, ev.Span("output_buffer", lead, heard - 2, reply, number, number))
    session.at(heard, ev.Heard(number, user(end), end, agent(heard), heard))
    return heard


def spoken_turn(
    session: FakeSession,
    number: int,
    question: str,
    answer: str,
    *,
    total_ms: float = 612.0,
    unheard: str = "",
    cold: bool = False,
) -> None:
    """One spoken turn, from onset to end; cut off before `unheard`, if there is any."""
    heard = heard_turn(session, number, question, answer, total_ms)
    status: ev.TurnStatus = "cut" if unheard else "done"
    session.at(
        heard + 1500,
        ev.ReplyEnded(10 * number, number, status, answer, unheard, agent(heard + 1500), bool(unheard)),
    )
    usage: dict[str, float | None] = {"input_tokens": 40.0, "output_tokens": 12.0}
    session.at(heard + 1501, ev.TurnEnded(number, status, question, answer, cold, usage))


WEATHER = '{"city": "Oslo", "days": 3}'
SUNNY = '{"temperature": 12, "sky": "clear", "wind": {"speed": 3.4, "from": "west"}}'


def tool_turn(session: FakeSession, number: int) -> None:
    """A spoken turn whose answer needs the weather and a table; the table cannot be had."""
    t0 = session.clock.ms + 900
    end, reply = t0 + 1500, 10 * number
    spans: list[tuple[ev.Part, float, float]] = [
        ("stt", t0, end + 190),
        ("llm_first_token", end + 350, end + 440),
        ("tools", end + 440, end + 1190),
        ("first_chunk", end + 1190, end + 1300),
        ("tts_first_byte", end + 1300, end + 1390),
    ]
    session.at(t0, ev.SpeechStarted(number, user(t0)))
    session.at(end + 190, ev.Transcribed(number, "A table outside in Oslo, please.", True, 0))
    session.at(end + 191, ev.ReplyStarted(reply, number, None, "A table outside in Oslo, please.", True))
    session.at(end + 350, ev.TurnDecided(number, number, False, 0, 350))
    session.at(end + 440, ev.ToolCalled(reply, number, f"{number}a", "weather", WEATHER))
    session.at(end + 441, ev.ToolCalled(reply, number, f"{number}b", "book_table", '{"people": 2}'))
    session.at(end + 442, ev.ToolStarted(reply, number, f"{number}a", "weather"))
    session.at(end + 850, ev.ToolReturned(reply, number, f"{number}a", "weather", SUNNY, took_ms=408.0))
    session.at(end + 860, ev.ToolStarted(reply, number, f"{number}b", "book_table"))
    session.at(
        end + 1190,
        ev.ToolReturned(
            reply, number, f"{number}b", "book_table", "", "there is no table for 2", "failed", 330.0
        ),
    )
    for part, start, stop in spans:
        session.at(stop, ev.Span(part, start, stop, reply, number, number))
    answer = "It is clear there, but no table is free."
    session.at(end + 1300, ev.ReplyText(reply, number, answer, answer))
    session.at(end + 1391, ev.ReplyPlaying(reply, number, 0))
    session.at(end + 1400, ev.Heard(number, user(end), end, agent(end + 1400), end + 1400))
    session.at(end + 3000, ev.ReplyEnded(reply, number, "done", answer, "", agent(end + 3000)))
    session.at(end + 3001, ev.TurnEnded(number, "done", "A table outside in Oslo, please.", answer))


def tools_started(session: FakeSession) -> None:
    """A session with tools that is warm and listens."""
    started(session)
    session.at(533, ev.ToolsChanged(session.tools.names, "from the agent"))


def conversation(session: FakeSession) -> None:
    """Some turns of every kind."""
    started(session)
    spoken_turn(
        session,
        1,
        FIRST,
        "In 1969: two people walked there on the twentieth of July.",
        total_ms=1130,
        cold=True,
    )
    spoken_turn(session, 2, "And who was the first?", "Neil Armstrong was.", total_ms=604)
    spoken_turn(session, 3, "Who else?", "Buzz Aldrin.", total_ms=688)
    for number, ms in enumerate((590, 612, 731, 655, 570, 842, 601), 4):
        spoken_turn(session, number, f"Question {number}, please?", f"That is answer {number}.", total_ms=ms)
    spoken_turn(
        session, 11, "What carried them?", "The Saturn Five, a rocket of three stages,",
        total_ms=596, unheard="built at Huntsville and flown thirteen times.",
    )  # fmt: skip
    session.at(
        session.clock.ms + 100,
        ev.TurnDecided(13, 13, True),
        ev.ReplyStarted(130, 13, 13, "typed, for once", False),
    )
    session.at(
        session.clock.ms + 900,
        ev.TurnEnded(
            13,
            "failed",
            "typed, for once",
            "",
            stage="llm",
            reason="no answer within 15 s",
            hint="is the model loaded? see `workbench doctor`",
        ),
    )
    session.at(
        session.clock.ms + 200, ev.SpeechStarted(14, 0), ev.Transcribed(14, "and what about", False, 0)
    )
    heard_levels(session, -22, -100)


def recorded() -> FakeSession:
    """Two turns with their sound: the user a low hum, the agent a louder one, from start to end of each."""
    session = FakeSession()
    started(session)
    spoken_turn(session, 1, "Hello?", "Hello.")
    spoken_turn(session, 2, "And?", "Nothing.", unheard="more.")
    session.at(session.clock.ms, ev.SessionEnded("stopped"))
    session.trace.close()
    for track, level in ((LiveTrack("user", 16_000, 30), 800), (LiveTrack("agent", 24_000, 30), 3000)):
        track.append(np.full(int(session.clock.ms * track.rate / 1000), level, np.int16))
        session.trace.tracks[track.track] = track
    return session
