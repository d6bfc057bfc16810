"""An agent in a LiveKit room on loopback, beside a bare echo through the same server: latency, barge-in, joining.

A client speaks (LiveKit's own SDK) and listens; its clock says when the last sample of speech was handed to the SDK and
when the first sound came back. Beyond the echo is what comes on top of an echo of frames and of the silence that
endpointing waited for. The echo is the barest: 10 ms from an `AudioStream` into an `AudioSource` without a queue. With
the SDK's default queue of a second it would gather 500 ms of delay on a busy machine, and flatter us. Providers are
scripted, without delay. Server, client and agent share this machine; echo and turns alternate, in a new room each time:
a room has one phase between its frames and the client's, so that a few rooms would be worth a few samples only.

Two figures for a turn: `beyond` takes off the time from the arrival of the last sample to the decision, which contains
up to a frame in which nothing can be decided; `beyond_asked` takes off only the 350 ms of silence that were asked for,
so that frames and the detector's windows count too. The promises are about the latter.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np

from bench._figures import Promise, percentile, run, settings, spread, tell
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples, silence
from workbench.model.events import ListeningStarted, ReplyEnded, ReplyPlaying, TurnDecided
from workbench.session import Session, open_session
from workbench.simulation.synthesis import speech
from workbench.transports.livekit.sdk import rtc
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.token import mint

FRAME = INPUT_RATE // 100
ROUNDS, JOINS = 10, 8
TURNS, ECHOES, BARGES = 4, 4, 1
"""A round."""
ASKED_MS = 350
"""Silence that ends a turn."""
STEADY_MS = 20
"""An echo whose p95 is further from its p50 is no measure: the machine had other work, and nothing is promised then."""
LOUD, QUIET = 600, 120
T = TypeVar("T")
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."


async def soon(found: Callable[[], T | None], seconds: float) -> T:
    """What is found, as soon as it is."""
    async with asyncio.timeout(seconds):
        while True:
            if (value := found()) is not None:
                return value
            await asyncio.sleep(0.005)


def answered(session: Session) -> bool | None:
    """Whether a reply has ended lately."""
    latest = session.trace.since(session.trace.end - 40)
    return True if any(isinstance(entry.event, ReplyEnded) for entry in latest) else None


class Client:
    """Speaks and listens, 10 ms at a time, and keeps the times."""

    def __init__(self, room: Any) -> None:
        self.room = room
        self.source = rtc().AudioSource(INPUT_RATE, 1, queue_size_ms=0)
        self.to_say: list[Samples] = []
        self.began_at = self.spoke_at = 0.0
        self.loud_at: list[float] = []
        """When sound came after 100 ms of silence."""
        self.quiet_at: list[float] = []
        """When such a silence began."""
        self.hearing = asyncio.Event()

    async def speak(self) -> None:
        due, rest = time.monotonic(), silence(0)
        while True:
            if len(rest) < FRAME and self.to_say:
                rest = np.concatenate((rest, self.to_say.pop(0)))
                self.began_at = time.monotonic()
            frame, rest = rest[:FRAME], rest[FRAME:]
            frame = np.concatenate((frame, silence(FRAME - len(frame))))
            if frame.any():
                self.spoke_at = time.monotonic()
            await self.source.capture_frame(rtc().AudioFrame(frame.tobytes(), INPUT_RATE, 1, FRAME))
            due += 0.01
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def listen(self, track: Any) -> None:
        stream = rtc().AudioStream(track, sample_rate=INPUT_RATE, num_channels=1, frame_size_ms=10)
        silent, since = 100, 0.0
        try:
            async for event in stream:
                self.hearing.set()
                peak = int(np.abs(np.frombuffer(event.frame.data, np.int16)).max())
                now = time.monotonic()
                if peak < QUIET:
                    since = now if silent == 0 else since
                    silent += 1
                    if silent == 10:
                        self.quiet_at.append(since)
                elif peak > LOUD:
                    if silent >= 10:
                        self.loud_at.append(now)
                    silent = 0
        finally:
            await stream.aclose()

    async def answer(self, since: float, seconds: float = 8.0) -> float:
        """When the next sound came."""
        return await soon(lambda: next((at for at in self.loud_at[-1:] if at > since), None), seconds)

    async def pause(self, since: float, seconds: float = 8.0) -> float:
        """When the next silence began."""
        return await soon(lambda: next((at for at in self.quiet_at[-1:] if at > since), None), seconds)


def token(server: LocalServer, room: str, identity: str) -> str:
    return mint(server.keys.api_key, server.keys.api_secret, room=room, identity=identity)


@asynccontextmanager
async def client(server: LocalServer, room: str) -> AsyncIterator[Client]:
    sdk = rtc()
    one = Client(sdk.Room())
    running: set[Any] = set()
    async with asyncio.TaskGroup() as tasks:
        one.room.on("track_subscribed", lambda track, *_: running.add(tasks.create_task(one.listen(track))))
        await one.room.connect(server.url, token(server, room, "client"))
        track = sdk.LocalAudioTrack.create_audio_track("microphone", one.source)
        options = sdk.TrackPublishOptions(source=sdk.TrackSource.SOURCE_MICROPHONE)
        await one.room.local_participant.publish_track(track, options)
        running.add(tasks.create_task(one.speak()))
        yield one
        for task in running:
            task.cancel()
    await one.room.disconnect()


async def echoes(server: LocalServer, name: str) -> list[float]:
    """ms from the first sample of a sound to its return."""
    sdk = rtc()
    room, source = sdk.Room(), sdk.AudioSource(OUTPUT_RATE, 1, queue_size_ms=0)
    found: list[float] = []
    async with client(server, name) as one, asyncio.TaskGroup() as tasks:

        async def back(track: Any) -> None:
            stream = sdk.AudioStream(track, sample_rate=OUTPUT_RATE, num_channels=1, frame_size_ms=10)
            async for event in stream:
                await source.capture_frame(event.frame)

        running: set[Any] = set()
        room.on("track_subscribed", lambda track, *_: running.add(tasks.create_task(back(track))))
        await room.connect(server.url, token(server, name, "echo"))
        mine = sdk.LocalAudioTrack.create_audio_track("echo", source)
        await room.local_participant.publish_track(mine, sdk.TrackPublishOptions())
        await one.hearing.wait()
        await asyncio.sleep(2)
        for number in range(ECHOES):
            asked = time.monotonic()
            one.to_say.append(speech(0.2))
            found.append((await one.answer(asked) - one.began_at) * 1000)
            await asyncio.sleep(0.45 + 0.0037 * number)
        for task in running:
            task.cancel()
    await room.disconnect()
    return found


def of(server: LocalServer, room: str, **values: Any) -> Any:
    return settings(
        profile="scripted",
        audio__source="room",
        audio__sink="room",
        record__enabled=False,
        room__name=room,
        room__url=server.url,
        room__api_key=server.keys.api_key,
        room__api_secret=server.keys.api_secret,
        **values,
    )


async def turns(server: LocalServer, name: str) -> tuple[list[float], list[float], list[float]]:
    """Of each turn, ms: from the last sample of speech to the answer, without the silence that was waited for; what of
    it lies between the decision and the first sample handed to the SDK; and without the silence that was asked for."""
    found, inside, asked_only = [], [], []
    script = {"user": ["Yes."], "agent": ["Fine."]}
    given = of(server, name, script=script, turn__adapt=False, turn__silence_ms=ASKED_MS)
    async with client(server, name) as one, open_session(given) as session:
        await one.hearing.wait()
        await asyncio.sleep(2)
        for number in range(TURNS):
            asked, seen = time.monotonic(), session.trace.end
            one.to_say.append(speech(0.5))
            back = await one.answer(asked)
            trip = (back - one.spoke_at) * 1000
            waited, decided, playing = decision(session, seen)
            found.append(trip - waited)
            asked_only.append(trip - ASKED_MS)
            inside.append(playing - decided)
            await asyncio.sleep(0.9 + 0.0037 * number)
    return found, inside, asked_only


def decision(session: Session, seen: int) -> tuple[float, float, float]:
    """ms between the arrival of the last sample of speech and the decision, and the times of it and of the answer."""
    assert session.room
    decided = playing = arrived = 0.0
    for entry in session.trace.since(seen):
        if isinstance(entry.event, TurnDecided):
            decided = entry.t_ms
            speech_end = entry.event.end_sample or 0
            track = session.trace.tracks["user"]
            loud = np.flatnonzero(np.abs(track.read(speech_end - 8000, track.end)) > 60)
            last = speech_end - 8000 + int(loud[-1])
            arrived = session._ms(session.room.source.clock.time_of(last))
        elif isinstance(entry.event, ReplyPlaying):
            playing = entry.t_ms
    return decided - arrived, decided, playing


async def barges(server: LocalServer, name: str) -> list[float]:
    """ms from the first sample of speech to the beginning of silence at the client."""
    found = []
    script = {"user": ["Stop it now."], "agent": [LONG]}
    async with client(server, name) as one, open_session(of(server, name, script=script)) as session:
        await one.hearing.wait()
        await asyncio.sleep(2)
        for number in range(BARGES):
            asked = time.monotonic()
            session.say(LONG)
            await one.answer(asked)
            await asyncio.sleep(0.7 + 0.0037 * number)
            asked = time.monotonic()
            one.to_say.append(speech(1.0))
            found.append((await one.pause(asked) - one.began_at) * 1000)
            await soon(lambda: answered(session), 10)
            session.interrupt()
            await asyncio.sleep(2.0)
            session.interrupt()
            await asyncio.sleep(0.5)
    return found


async def joins(server: LocalServer) -> list[float]:
    """ms from opening a session to listening in the room."""
    found = []
    for number in range(JOINS + 1):
        began = time.monotonic()
        async with open_session(of(server, f"join{number}")) as session:
            async for entry in session.trace.follow():
                if isinstance(entry.event, ListeningStarted):
                    break
            found.append((time.monotonic() - began) * 1000)
    return found[1:]  # the first one imports the SDK


async def measure() -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    async with LocalServer() as server:
        found["join"] = await joins(server)
        for round_ in range(ROUNDS):
            found["echo"] += await echoes(server, f"echo{round_}")
            answered, inside, asked_only = await turns(server, f"turns{round_}")
            found["turn"] += answered
            found["inside"] += inside
            found["turn_asked"] += asked_only
            found["barge_in"] += await barges(server, f"barge{round_}")
    return found


def main() -> None:
    """Measure and tell."""
    found = asyncio.run(measure())
    echo = percentile(found["echo"], 50) or 0.0
    steady = (percentile(found["echo"], 95) or 0.0) - echo <= STEADY_MS
    beyond = [ms - echo for ms in found["turn"]]
    asked = [ms - echo for ms in found["turn_asked"]]
    barge = [ms - echo for ms in found["barge_in"]]
    tell(
        "room",
        [
            Promise(
                "a turn in a room beyond an echo, p50", percentile(asked, 50) if steady else None, 5, "ms"
            ),
            Promise(
                "a turn in a room beyond an echo, p95", percentile(asked, 95) if steady else None, 12, "ms"
            ),
            Promise("joined and listening, p95", percentile(found["join"], 95), 400, "ms"),
            Promise("barge-in beyond an echo, p50", percentile(barge, 50) if steady else None, 150, "ms"),
        ],
        {
            "providers": "scripted, no delay",
            "vad": "energy",
            "turns": TURNS * ROUNDS,
            "server": "livekit-server on loopback",
        },
        {name: spread(values) for name, values in found.items()}
        | {"beyond_asked": spread(asked)}
        | {"beyond": spread(beyond), "barge_in_beyond": spread(barge)},
    )


if __name__ == "__main__":
    run(main)
