"""LiveKit Agents in a conversation with a recorded user. Run by the bench `frameworks` in an environment of its own.

    python _their_livekit.py JOB.json

The job is that of `_their_pipecat`. Default settings, Silero, an STT that is final with the last word of a phrase, in
real time; sound comes in and goes out by its own interfaces, without a room or a codec.
"""

# mypy: ignore-errors
# (what it imports is in another environment)

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.voice import io
from livekit.plugins import silero

IN_RATE, OUT_RATE = 16_000, 24_000
FRAME = IN_RATE // 50


def samples(path: str) -> np.ndarray:
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


class Microphone(io.AudioInput):
    """Feeds the user's sound in real time."""

    def __init__(self, sound: np.ndarray) -> None:
        super().__init__(label="recorded")
        self._sound = sound
        self._at = 0
        self.began = 0.0
        self.done = asyncio.Event()

    async def __anext__(self) -> rtc.AudioFrame:
        self.began = self.began or time.monotonic()
        if self._at + FRAME > len(self._sound):
            self.done.set()
            raise StopAsyncIteration
        piece = self._sound[self._at : self._at + FRAME]
        self._at += FRAME
        await asyncio.sleep(max(0.0, self.began + self._at / IN_RATE - time.monotonic()))
        return rtc.AudioFrame(piece.tobytes(), IN_RATE, 1, FRAME)


class Speaker(io.AudioOutput):
    """Plays in real time onto a track."""

    def __init__(self, microphone: Microphone, length: int) -> None:
        capabilities = io.AudioOutputCapabilities(pause=True)
        super().__init__(label="track", capabilities=capabilities, sample_rate=OUT_RATE)
        self.track = np.zeros(length, np.int16)
        self._microphone = microphone
        self._waiting: list[np.ndarray] = []
        self._pushed_s = self._played_s = 0.0
        self._flushed = self._paused = False
        self.playing = asyncio.create_task(self._play())

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._pushed_s:
            self.on_playback_started(created_at=time.time())
        self._pushed_s += frame.duration
        self._waiting.append(np.frombuffer(frame.data, np.int16))

    def flush(self) -> None:
        super().flush()
        self._flushed = bool(self._pushed_s)

    def clear_buffer(self) -> None:
        self._waiting.clear()
        if self._pushed_s:
            self._finish(interrupted=True)

    def pause(self) -> None:
        super().pause()
        self._paused = True

    def resume(self) -> None:
        super().resume()
        self._paused = False

    def _finish(self, *, interrupted: bool) -> None:
        played, self._pushed_s, self._played_s, self._flushed = self._played_s, 0.0, 0.0, False
        self.on_playback_finished(playback_position=played, interrupted=interrupted)

    async def _play(self) -> None:
        """Move 10 ms at a time from what waits to the track."""
        step, due = OUT_RATE // 100, time.monotonic()
        while True:
            due += 0.01
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            at = round((due - self._microphone.began) * OUT_RATE)
            if self._paused or not self._microphone.began:
                continue
            if self._waiting:
                waiting = np.concatenate(self._waiting)
                piece, rest = waiting[:step], waiting[step:]
                self._waiting = [rest] if len(rest) else []
                if 0 <= at < len(self.track) - step:
                    self.track[at : at + len(piece)] = piece
                self._played_s += len(piece) / OUT_RATE
            elif self._flushed:
                self._finish(interrupted=False)


class WordStream(stt.RecognizeStream):
    def __init__(self, phrases: list[list[list]], **options: Any) -> None:
        super().__init__(**options)
        self._phrases = phrases

    async def _run(self) -> None:
        due = []
        for phrase in self._phrases:
            texts = [text for text, _ in phrase]
            for count, (_, end) in enumerate(phrase, 1):
                due.append((end, " ".join(texts[:count]), count == len(phrase)))
        seconds = 0.0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            seconds += frame.duration
            while due and due[0][0] <= seconds:
                end, text, final = due.pop(0)
                kind = (
                    stt.SpeechEventType.FINAL_TRANSCRIPT if final else stt.SpeechEventType.INTERIM_TRANSCRIPT
                )
                words = stt.SpeechData(language="en", text=text, confidence=1.0, end_time=end)
                self._event_ch.send_nowait(stt.SpeechEvent(kind, alternatives=[words]))


class Words(stt.STT):
    """Knows the words by time."""

    def __init__(self, phrases: list[list[list]]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._phrases = phrases

    async def _recognize_impl(self, buffer: Any, **options: Any) -> Any:
        raise NotImplementedError

    def stream(self, **options: Any) -> WordStream:
        return WordStream(
            self._phrases, stt=self, conn_options=DEFAULT_API_CONNECT_OPTIONS, sample_rate=IN_RATE
        )


class AnswerStream(llm.LLMStream):
    async def _run(self) -> None:
        await asyncio.sleep(self._llm.delay_s)
        delta = llm.ChoiceDelta(role="assistant", content=self._llm.answer)
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))


class Answers(llm.LLM):
    """Answers with one sentence."""

    def __init__(self, answer: str, delay_s: float) -> None:
        super().__init__()
        self.answer = answer
        self.delay_s = delay_s

    def chat(self, *, chat_ctx: Any, tools: Any = None, **options: Any) -> AnswerStream:
        return AnswerStream(
            self, chat_ctx=chat_ctx, tools=tools or [], conn_options=DEFAULT_API_CONNECT_OPTIONS
        )


class VoiceStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        await asyncio.sleep(self._tts.delay_s)
        output_emitter.initialize(request_id="1", sample_rate=OUT_RATE, num_channels=1, mime_type="audio/pcm")
        output_emitter.push(self._tts.sound.tobytes())
        output_emitter.flush()


class Voice(tts.TTS):
    """Speaks a sound that is there."""

    def __init__(self, sound: np.ndarray, delay_s: float) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=OUT_RATE, num_channels=1
        )
        self.sound = sound
        self.delay_s = delay_s

    def synthesize(self, text: str, **options: Any) -> VoiceStream:
        return VoiceStream(tts=self, input_text=text, conn_options=DEFAULT_API_CONNECT_OPTIONS)


async def main(job: dict) -> None:
    sound = samples(job["user"])
    microphone = Microphone(sound)
    speaker = Speaker(microphone, round(len(sound) * OUT_RATE / IN_RATE))
    session = AgentSession(
        stt=Words(job["phrases"]),
        llm=Answers(job["answer"], job["llm_s"]),
        tts=Voice(samples(job["reply"]), job["tts_s"]),
        vad=silero.VAD.load(),
    )
    session.input.audio = microphone
    session.output.audio = speaker
    await session.start(Agent(instructions="Answer."))
    await microphone.done.wait()
    print("turn detection:", session.turn_detection, file=sys.stderr)
    with wave.open(job["played"], "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(OUT_RATE)
        file.writeframes(speaker.track.tobytes())
    os._exit(0)  # leaving politely is not what is measured


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
