"""The golden conversations: one for each kind of thing that can happen in a session, played under the virtual clock.

`python -m tests.golden.scenes` writes them anew into `traces/`; look at the difference before you commit it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workbench import Agent, hookimpl, open_session, open_trace, tool
from workbench.config import load_settings
from workbench.engine.interfaces import Pull, Sink
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.errors import BusyError
from workbench.model.events import RoomConnection
from workbench.plugin.manager import manager
from workbench.plugin.values import Provider
from workbench.session import Session
from workbench.simulation.clock import run_virtual
from workbench.simulation.scripted import EndsEarly, Hangs, Raises, ScriptedLlm, ScriptedTts
from workbench.simulation.synthesis import SECONDS_PER_CHARACTER, Score, write_wav
from workbench.trace.trace import Trace
from workbench.transports.base import Transport, TransportOptions

TRACES = Path(__file__).parent / "traces"
LONG = "This is a rather long answer, so that there is time to say something into it before it is over."
ECHO_DELAY_S = 0.06
SETTINGS = {"profile": "scripted", "audio.sink": "none", "record.enabled": True}


@dataclass(frozen=True)
class Scene:
    """What is said when, and what the agent is."""

    score: Score
    agent: Agent = field(default_factory=lambda: Agent(instructions="Be brief.", name="golden"))
    settings: dict[str, Any] = field(default_factory=dict)
    script: dict[str, Any] = field(default_factory=dict)
    answers: tuple[str, ...] = ("Fine, thank you.",)
    verbs: tuple[tuple[float, Callable[[Session], object]], ...] = ()
    """What is called at which time, s."""
    providers: tuple[Provider, ...] = ()
    transport: Callable[[TransportOptions], Transport] | None = None
    echo: bool = False
    """The microphone hears the agent, 60 ms late and 12 dB quieter."""


def record(scene: Scene, folder: Path) -> Path:
    """Play a scene and return the folder of its recording."""
    sound = folder.parent / f"{folder.name}.wav"
    scene.score.write_wav(sound)
    _play(scene, sound, folder)
    if scene.echo:
        # the reply of the first run is what the microphone of the second one hears
        agent = open_trace(folder).audio("agent")
        write_wav(sound, _with_echo(scene.score.samples(), agent))
        folder = folder.parent / f"{folder.name}-echo"
        _play(scene, sound, folder)
    return folder


def lines(folder: Path) -> list[str]:
    """The events of a recording, without what differs from run to run: its id, its date and its place."""
    text = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(text[0]) | {"session": "golden", "date": "2026-01-02T03:04:05Z", "recording": None}
    return [
        json.dumps(first, separators=(",", ":"), ensure_ascii=False),
        *(re.sub(r"scenes\.py:\d+", "scenes.py", line) for line in text[1:]),
    ]


def _play(scene: Scene, sound: Path, folder: Path) -> None:
    settings = load_settings(
        SETTINGS
        | {"audio.source": str(sound), "record.folder": str(folder), "script": _script(scene)}
        | scene.settings
    )

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with open_session(settings, agent=scene.agent, transport=scene.transport) as session:
            for at, verb in scene.verbs:
                await asyncio.sleep(began + at - loop.time())
                verb(session)
            await session.ended()

    with _plugin(scene.providers):
        run_virtual(talk())


def _script(scene: Scene) -> dict[str, Any]:
    spoken = [[line.text, line.start, line.end] for line in scene.score.spoken]
    return {
        "spoken": spoken,
        "agent": list(scene.answers),
        "stt_ms": 120,
        "first_token_ms": 180,
        "token_ms": 15,
        "first_byte_ms": 110,
        "leading_silence_ms": 30,
        **scene.script,
    }


@contextmanager
def _plugin(providers: tuple[Provider, ...]) -> Iterator[None]:
    class Golden:
        @hookimpl
        def workbench_providers(self) -> list[Provider]:
            return list(providers)

    name = manager().register(Golden(), "golden")
    try:
        yield
    finally:
        manager().unregister(name)


def _with_echo(user: Samples, agent: Samples) -> Samples:
    """The user's sound with the agent's in it."""
    at_16k = np.interp(
        np.arange(len(agent) * INPUT_RATE // OUTPUT_RATE) * (OUTPUT_RATE / INPUT_RATE),
        np.arange(len(agent)),
        agent.astype(float),
    )
    mixed = user.astype(float)
    start = round(ECHO_DELAY_S * INPUT_RATE)
    stop = min(len(mixed), start + len(at_16k))
    mixed[start:stop] += 0.25 * at_16k[: stop - start]
    return np.clip(np.round(mixed), -32768, 32767).astype(np.int16)


@tool
def weather(city: str) -> str:
    """Return the weather of a city.

    Args:
        city: where.
    """
    return f"It rains in {city}."  # on a thread of its own, in real time: the scene mocks it


class Outage(Transport):
    """A sink whose connection is lost for 3 s in the middle of a reply."""

    def __init__(self, options: TransportOptions) -> None:
        self.sink = OutageSink(options.trace)


class OutageSink(Sink):
    """Plays to nobody, in blocks of 20 ms, but not from 3.0 s to 6.0 s."""

    name = "outage"

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._start = 0.0

    async def play(self, pull: Pull) -> None:
        loop = asyncio.get_running_loop()
        self._start, block = loop.time(), OUTPUT_RATE // 50
        for position in itertools.count(0, block):
            await asyncio.sleep(self.time_of(position) - loop.time())
            if position == 3 * OUTPUT_RATE:
                self.disconnected = True
                self._trace.emit(RoomConnection("desk", "reconnecting", "the server went away"))
                await asyncio.sleep(3.0)
                self._start += 3.0
                self.disconnected = False
                self._trace.emit(RoomConnection("desk", "connected"))
            pull(block)

    def time_of(self, sample: int) -> float:
        return self._start + sample / OUTPUT_RATE


def _question(seconds: float = 8.0, text: str = "tell me something") -> Score:
    return Score(noise_db=-65.0).silence(0.5).say(text).silence(seconds)


def _llm(**faults: Any) -> Provider:
    answers = ["Here I am again.", "And now I answer."]
    make = lambda options: ScriptedLlm(answers, first_token_ms=180, **faults)  # noqa: E731
    return Provider("llm", "unreliable", "fails by script", make, models=("one",), onboard=True)


def _tts(**faults: Any) -> Provider:
    make = lambda options: ScriptedTts(first_byte_ms=110, **faults)  # noqa: E731
    return Provider("tts", "unreliable", "fails by script", make, models=("one",), onboard=True)


def _interruption() -> Scene:
    score = Score(noise_db=-65.0).silence(0.5).say("tell me something").silence(1.5)
    return Scene(score.say("please stop now").silence(3.0), answers=(LONG, "Very well."))


def _backchannel() -> Scene:
    score = Score(noise_db=-65.0).silence(0.5).say("tell me something").silence(1.5).mhm().silence(1.6)
    return Scene(score.cough().silence(7.0), answers=(LONG,))


def _echo() -> Scene:
    return Scene(_question(), settings={"bargein.echo_share": 0.4}, answers=(LONG,), echo=True)


def _tool() -> Scene:
    """One call that is answered, one whose arguments are refused."""
    score = Score(noise_db=-65.0).silence(0.5).say("how is the weather in Oslo").silence(6.0)
    choose = [
        {"when": "weather in (?P<city>\\w+)", "tool": "weather", "arguments": {"city": "{city}"}},
        {"when": "there", "tool": "weather", "arguments": {"town": 1}, "then": "That did not work."},
    ]
    return Scene(
        score.say("and over there").silence(5.0),
        Agent(instructions="Be brief.", name="golden", tools=[weather]),
        script={"choose": choose},
        verbs=((0.1, lambda session: session.tools.mock("weather", "It rains.")),),
    )


def _failure() -> Scene:
    score = _question(4.0, "are you there").say("and now").silence(6.0).say("once more").silence(4.0)
    busy = BusyError("the server is busy", retry_after=0.3)
    faults = {1: Raises(busy), 2: Raises(busy), 3: Raises(busy), 4: Raises(), 5: Raises()}
    return Scene(
        score,
        settings={"llm.provider": "unreliable/one", "limits.breaker_ms": 4000},
        providers=(_llm(faults=faults),),
    )


def _fault() -> Scene:
    score = _question(8.0).say("and then").silence(12.0).say("go on").silence(5.0)
    faults = {1: EndsEarly(), 3: Hangs(after=1), 4: Hangs()}
    return Scene(
        score,
        settings={
            "tts.provider": "unreliable/one",
            "limits.tts_first_byte_ms": 1500,
            "limits.tts_gap_ms": 1200,
        },
        providers=(_tts(faults=faults),),
        answers=(LONG,),
    )


def _reconnect() -> Scene:
    return Scene(_question(9.0), answers=(LONG,), transport=Outage)


def _typed() -> Scene:
    agent = Agent(instructions="Be brief.", name="golden", greeting="Hello!", on_silence="Are you there?")
    return Scene(
        Score(noise_db=-65.0).silence(16.0),
        agent,
        settings={"reply.silence_after_s": 4.0},
        answers=(LONG, "So be it."),
        verbs=(
            (2.0, lambda session: session.type("What is on today?")),
            (5.0, lambda session: session.interrupt()),
            (6.0, lambda session: session.type("And tomorrow?")),
            (7.0, lambda session: session.bookmark("here")),
            (8.5, lambda session: session.set("turn.silence_ms", 500)),
            (9.0, lambda session: session.mute()),
            (10.0, lambda session: session.mute(False)),
            (11.0, lambda session: session.say("It is late.")),
        ),
    )


def _answer() -> Scene:
    """A "yes" over the end of the agent's question."""
    question = "Shall I book it for seven?"
    score = Score(noise_db=-65.0).silence(0.5).say("a table please")
    end = score.seconds + 0.45 + len(question) * SECONDS_PER_CHARACTER
    score.say("Yes.", at=end - 0.3, seconds=0.45).silence(4.0)
    return Scene(score, answers=(question, "It is booked."))


def _digits() -> Scene:
    """A number in groups, after it was asked for."""
    score = Score(noise_db=-65.0).silence(0.5).say("call me back").silence(3.5)
    score.say("five five five").silence(0.6).say("one two three").silence(0.6).say("four five six seven")
    return Scene(score.silence(4.0), answers=("What is your number?", "Thank you."))


def _filler() -> Scene:
    """Somebody looks for words, in the middle and at the end."""
    score = Score(noise_db=-65.0).silence(0.5).say("So, um,").silence(1.2).say("a table and").silence(4.5)
    return Scene(score.silence(3.0))


def _reopened() -> Scene:
    """The user goes on while the model thinks, and the reply is never heard."""
    score = Score(noise_db=-65.0).silence(0.5).say("tell me something").silence(0.6).say("about the sea")
    return Scene(score.silence(4.0), answers=("You said: {said}.",), script={"first_token_ms": 600})


def _reopened_twice() -> Scene:
    score = Score(noise_db=-65.0).silence(0.5).say("tell me").silence(0.7).say("something nice")
    score.silence(0.9).say("about the sea").silence(4.5)
    return Scene(score, answers=("You said: {said}.",), script={"first_token_ms": 1200})


@tool(idempotent=True)
def tide(place: str) -> str:
    """Return when high water is.

    Args:
        place: where.
    """
    return f"At noon in {place}."  # mocked, as `weather`


def _reopened_tool() -> Scene:
    """The user goes on when a tool that only looks something up has answered, and the words after it are not heard."""
    choose = [{"when": "tide in (?P<place>\\w+)", "tool": "tide", "arguments": {"place": "{place}"}}]
    score = Score(noise_db=-65.0).silence(0.5).say("when is the tide in Dover").silence(0.6)
    return Scene(
        score.say("or in Calais").silence(6.0),
        Agent(instructions="Be brief.", name="golden", tools=[tide]),
        script={"choose": choose, "first_token_ms": 400},
        verbs=((0.1, lambda session: session.tools.mock("tide", "At noon.")),),
    )


def _typed_into_open_turn() -> Scene:
    return Scene(
        Score(noise_db=-65.0).silence(0.5).say("book a table for me").silence(5.0),
        answers=("You said: {said}.",),
        script={"first_token_ms": 900},
        verbs=((2.3, lambda session: session.type("at eight o'clock")),),
    )


def _slow_stt() -> Scene:
    """Its words come 900 ms late: the user goes on before the first are there, and interrupts before the last are."""
    score = Score(noise_db=-65.0).silence(0.5).say("tell me something").silence(0.6).say("about the sea")
    score.silence(3.4).say("would you please stop that now and listen").silence(5.0)
    return Scene(score, answers=(LONG, "Very well."), script={"stt_ms": 900, "partials": True})


def _stt_without_partials() -> Scene:
    score = Score(noise_db=-65.0).silence(0.5).say("tell me something").silence(0.6).say("about the sea")
    score.silence(2.6).say("please stop now").silence(3.5)
    return Scene(
        score,
        answers=(LONG, "Very well."),
        script={"partials": False, "first_token_ms": 600},
        settings={"reply.speculate": "off"},
    )


def _half_duplex_and_back() -> Scene:
    """Two coughs into a reply, and seven seconds of it without any."""
    score = Score(noise_db=-65.0).silence(0.5).say("tell me something").silence(1.5).cough().silence(2.2)
    return Scene(score.cough().silence(12.0), answers=(f"{LONG} {LONG}",))


SCENES: dict[str, Callable[[], Scene]] = {
    "interruption": _interruption,
    "backchannel": _backchannel,
    "echo": _echo,
    "tool": _tool,
    "failure": _failure,
    "typed": _typed,
    "fault": _fault,
    "reconnect": _reconnect,
    "answer": _answer,
    "digits": _digits,
    "filler": _filler,
    "reopened": _reopened,
    "reopened_twice": _reopened_twice,
    "reopened_tool": _reopened_tool,
    "typed_into_open_turn": _typed_into_open_turn,
    "slow_stt": _slow_stt,
    "stt_without_partials": _stt_without_partials,
    "half_duplex_and_back": _half_duplex_and_back,
}
"""By name; each call makes a new one."""


def write(name: str, place: Path) -> None:
    """Write a scene's events and turns into `traces/`."""
    folder = record(SCENES[name](), place / name)
    turns = [json.dumps(turn.to_json(), ensure_ascii=False) for turn in open_trace(folder).turns]
    for kind, rows in (("events", lines(folder)), ("turns", turns)):
        (TRACES / f"{name}.{kind}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for scene_name in SCENES:
            write(scene_name, Path(temporary))
