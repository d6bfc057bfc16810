"""livekit-agents in many rooms of one process, doing what ours does in `rooms`. Run by that bench, in an environment of
its own that has livekit-agents, livekit-plugins-silero and nothing of ours: `python _their_rooms.py ROOMS`.

One `AgentSession` a room, all on one loop, as cheap as it gets: by default its worker takes a process for each room.
Silero, default settings but for the silence that ends a turn; STT, LLM and TTS answer at once with the same as ours.
"""

# mypy: ignore-errors
# (what it imports is in another environment)

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from livekit import api, rtc
from livekit.agents import Agent, AgentSession, TurnHandlingOptions, llm, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.plugins import silero

ANSWER, ANSWER_S, RATE = os.environ["ANSWER"], float(os.environ["ANSWER_S"]), 24_000
SILENCE_S = float(os.environ["SILENCE_MS"]) / 1000
LOUD = 300
"""Mean level from which our STT takes a block for speech."""


class Words(stt.RecognizeStream):
    """Gives a final text when 200 ms of silence followed on sound."""

    async def _run(self) -> None:
        spoke, quiet_s = False, 0.0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            if float(np.abs(np.frombuffer(frame.data, np.int16)).mean()) > LOUD:
                spoke, quiet_s = True, 0.0
                continue
            quiet_s += frame.duration
            if spoke and quiet_s >= 0.2:
                spoke = False
                said = stt.SpeechData(language="en", text="Yes.")
                self._event_ch.send_nowait(
                    stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said])
                )


class Stt(stt.STT):
    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))

    async def _recognize_impl(self, buffer: Any, **given: Any) -> Any:
        raise NotImplementedError

    def stream(self, **given: Any) -> Words:
        return Words(stt=self, conn_options=DEFAULT_API_CONNECT_OPTIONS, sample_rate=16_000)


class Said(llm.LLMStream):
    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content=ANSWER)
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))


class Llm(llm.LLM):
    def chat(self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = None, **given: Any) -> Said:
        return Said(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=DEFAULT_API_CONNECT_OPTIONS)


class Spoken(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id="1", sample_rate=RATE, num_channels=1, mime_type="audio/pcm")
        wave = 6000 * np.sin(2 * np.pi * 220 * np.arange(round(ANSWER_S * RATE)) / RATE)
        output_emitter.push(wave.astype(np.int16).tobytes())
        output_emitter.flush()


class Tts(tts.TTS):
    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    def synthesize(self, text: str, **given: Any) -> Spoken:
        return Spoken(tts=self, input_text=text, conn_options=DEFAULT_API_CONNECT_OPTIONS)


async def agent(number: int, vad: silero.VAD) -> tuple[rtc.Room, AgentSession[Any]]:
    name = f"room{number}"
    token = api.AccessToken(os.environ["KEY"], os.environ["SECRET"]).with_identity("agent").with_kind("agent")
    room = rtc.Room()
    await room.connect(
        os.environ["URL"], token.with_grants(api.VideoGrants(room_join=True, room=name, agent=True)).to_jwt()
    )
    session: AgentSession[Any] = AgentSession(
        stt=Stt(),
        llm=Llm(),
        tts=Tts(),
        vad=vad,
        turn_handling=TurnHandlingOptions(
            turn_detection="vad", endpointing={"min_delay": SILENCE_S, "max_delay": SILENCE_S}
        ),
    )
    await session.start(Agent(instructions="Answer."), room=room)
    return room, session


async def lines() -> AsyncIterator[str]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async for line in reader:
        yield line.decode().strip()


async def main(count: int) -> None:
    vad = silero.VAD.load()
    opened = [await agent(0, vad)]
    print("first", flush=True)
    async for line in lines():
        if line == "go":
            opened += [await agent(number, vad) for number in range(1, count)]
            print("ready", flush=True)
        elif line == "stop":
            break
    print(json.dumps({"turns": sum(len(session.history.items) // 2 for _, session in opened)}), flush=True)
    os._exit(0)  # leaving politely is not what is measured


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
