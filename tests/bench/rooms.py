"""Many rooms in one process: how late frames are handled, what a room costs in CPU and memory.

`python -m tests.bench.rooms [ROOMS]` (50 unless given). Each room has a client who says a sentence every five seconds.
Clients and server are processes of their own, whose cost is counted apart. Providers are scripted.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import numpy as np

from tests.bench._figures import Promise, percentile, run, spread, tell
from tests.bench._memory import resident_mb
from tests.bench.room import of
from workbench.engine.pipeline import Pipeline
from workbench.model.audio import INPUT_RATE, Frame, silence
from workbench.model.events import TurnEnded
from workbench.room.sdk import rtc
from workbench.room.server import LocalServer
from workbench.room.source import RoomSource
from workbench.room.token import mint
from workbench.session import Session, open_session
from workbench.testing.sound import speech

MEASURED_S = 20.0
FRAME = INPUT_RATE // 50
EVERY_S = 5


class Lateness:
    """While `on`: ms from the moment at which a frame's last sample came out of WebRTC to the end of its handling.

    Not from when it was spoken, as for a microphone: the jitter buffer lies between, and is no lateness of ours.
    """

    def __init__(self) -> None:
        self.on = False
        self.late_ms: list[float] = []
        handle = Pipeline._hear

        def timed(pipeline: Pipeline, frame: Frame, tasks: Any) -> None:
            handle(pipeline, frame, tasks)
            source = pipeline.stages.source
            if self.on and isinstance(source, RoomSource):
                self.late_ms.append((time.monotonic() - source.clock.time_of(frame.end)) * 1000)

        Pipeline._hear = timed  # type: ignore[assignment,method-assign]


async def client(number: int) -> None:
    """Join, and speak every five seconds until the process ends."""
    sdk = rtc()
    room, source = sdk.Room(), sdk.AudioSource(INPUT_RATE, 1, queue_size_ms=100)
    token = mint(os.environ["KEY"], os.environ["SECRET"], room=f"room{number}", identity="client")
    await room.connect(os.environ["URL"], token)
    track = sdk.LocalAudioTrack.create_audio_track("microphone", source)
    await room.local_participant.publish_track(
        track, sdk.TrackPublishOptions(source=sdk.TrackSource.SOURCE_MICROPHONE)
    )
    sound = np.concatenate((speech(1.0, seed=number), silence((EVERY_S - 1) * INPUT_RATE)))
    await asyncio.sleep(number * 0.137 % EVERY_S)
    due, at = time.monotonic(), 0
    while True:
        piece = sound[at : at + FRAME]
        await source.capture_frame(sdk.AudioFrame(piece.tobytes(), INPUT_RATE, 1, FRAME))
        at = (at + FRAME) % len(sound)
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def clients(count: int) -> None:
    """All of them."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(client(number))


async def measure(count: int) -> tuple[list[Session], dict[str, float], Lateness]:
    """Open them, let them talk, and close them."""
    lateness, found = Lateness(), {}
    opened: list[Session] = []
    async with LocalServer() as server, AsyncExitStack() as stack:
        for number in range(count):
            opened.append(await stack.enter_async_context(open_session(of(server, f"room{number}"))))
            if number == 0:
                await asyncio.sleep(2)
                found["first_mb"] = resident_mb()
        people = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.rooms", "clients", str(count)),
            env={
                **os.environ,
                "URL": server.url,
                "KEY": server.keys.api_key,
                "SECRET": server.keys.api_secret,
            },
        )
        try:
            await asyncio.sleep(12)
            lateness.on, began = True, time.process_time()
            await asyncio.sleep(MEASURED_S)
            lateness.on = False
            found["cpu_share"] = (time.process_time() - began) / MEASURED_S
            found["all_mb"] = resident_mb()
        finally:
            people.kill()
            await people.wait()
    return opened, found, lateness


def main() -> None:
    """Measure and tell."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    opened, found, lateness = asyncio.run(measure(count))
    turns = [
        entry.event for one in opened for entry in one.trace.since(0) if isinstance(entry.event, TurnEnded)
    ]
    tell(
        "rooms",
        [Promise("a frame is handled late by, p99", percentile(lateness.late_ms, 99), 20, "ms")],
        {"rooms": count, "seconds": MEASURED_S, "vad": "energy", "a turn every": f"{EVERY_S} s"},
        {
            "late_ms": spread(lateness.late_ms),
            "cpu_of_a_room": f"{found['cpu_share'] / count * 100:.2f} % of a core",
            "memory_of_each_more_room_mb": round(
                (found["all_mb"] - found["first_mb"]) / max(1, count - 1), 2
            ),
            "resident_with_the_first_mb": round(found["first_mb"], 1),
            "turns": len(turns),
            "turns_done": sum(turn.status == "done" for turn in turns),
            "turns_expected": round(count * (MEASURED_S + 10) / EVERY_S),
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["clients"]:
        asyncio.run(clients(int(sys.argv[2])))
    else:
        run(main)
