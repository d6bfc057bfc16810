"""The people in many rooms, all in one process: `python -m bench._room_clients ROOMS`, run by `rooms`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench._figures import wav
from bench._orders import answer, orders
from workbench.model.audio import INPUT_RATE, Samples, silence
from workbench.transports.livekit.sdk import event_router, rtc
from workbench.transports.livekit.token import mint

EVERY_S = 5
BLOCK = INPUT_RATE // 10
"""What a client says and hears at a time: few large blocks are cheap."""
LOUD = 600
BITRATE = 64_000
"""A client that costs little."""


async def client(number: int, sentence: Samples, answered: list[float]) -> None:
    """Join, speak every five seconds, note when sound came back."""
    sdk, post = rtc(), event_router()
    room, source = sdk.Room(), sdk.AudioSource(INPUT_RATE, 1, queue_size_ms=1000)
    quiet = 0

    def heard(samples: Samples) -> None:
        nonlocal quiet
        if np.abs(samples).max() > LOUD:
            if quiet >= 5:
                answered.append(time.monotonic())
            quiet = 0
        else:
            quiet += 1

    async def listen(track: Any) -> None:
        with post.listening(track, INPUT_RATE, 100, heard) as ended:
            await ended.wait()

    async with asyncio.TaskGroup() as tasks:
        running = []
        room.on("track_subscribed", lambda track, *_: running.append(tasks.create_task(listen(track))))
        token = mint(os.environ["KEY"], os.environ["SECRET"], room=f"room{number}", identity="client")
        await room.connect(os.environ["URL"], token)
        post.settle(room)
        track = sdk.LocalAudioTrack.create_audio_track("microphone", source)
        options = sdk.TrackPublishOptions(source=sdk.TrackSource.SOURCE_MICROPHONE)
        options.audio_encoding.max_bitrate = BITRATE
        await room.local_participant.publish_track(track, options)
        sound = np.concatenate((sentence, silence(EVERY_S * INPUT_RATE)))[: EVERY_S * INPUT_RATE]
        await asyncio.sleep(number * 0.137 % EVERY_S)
        due, at = time.monotonic(), 0
        while True:
            await post.taken(post.hand(source, sound[at : at + BLOCK], INPUT_RATE))
            at = (at + BLOCK) % len(sound)
            due += BLOCK / INPUT_RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def clients(sentences: list[Samples]) -> None:
    """All of them, until told to stop."""
    answered: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        speaking = [
            tasks.create_task(client(number, sentence, answered)) for number, sentence in enumerate(sentences)
        ]
        async for order in orders():
            if order == "measure":
                answered.clear()
            elif order == "stop":
                break
        answer(json.dumps({"answers": len(answered)}))
        for task in speaking:
            task.cancel()


if __name__ == "__main__":
    paths = sorted(Path(os.environ["SENTENCES"]).glob("*.wav"))
    asyncio.run(clients([wav(paths[number % len(paths)]) for number in range(int(sys.argv[1]))]))
