"""Pipecat in a conversation with a recorded user. Run by the bench `frameworks` in an environment of Pipecat's own.

    python _their_pipecat.py JOB.json

The job names the user's wav file (16 kHz), when each word ends, the models' delays, and the reply as a wav file (24
kHz); what was played goes to the job's `played` (24 kHz, from the first sample of the user on). Default strategies
(VAD, Smart Turn), an STT that is final with the last word of a phrase, in real time, no room and no codec.
"""

# mypy: ignore-errors
# (what it imports is in another environment)

from __future__ import annotations

import asyncio
import json
import sys
import time
import wave
from pathlib import Path

import numpy as np
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    STTMetadataFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

IN_RATE, OUT_RATE = 16_000, 24_000
FRAME = IN_RATE // 50


def samples(path: str) -> np.ndarray:
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


class Microphone(BaseInputTransport):
    """Feeds the user's sound in real time."""

    def __init__(self, sound: np.ndarray, params: TransportParams) -> None:
        super().__init__(params)
        self._sound = sound
        self.began = 0.0
        self.done = asyncio.Event()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._feeding = self.create_task(self._feed())

    async def _feed(self) -> None:
        await asyncio.sleep(0.5)
        self.began = time.monotonic()
        for at in range(0, len(self._sound) - FRAME, FRAME):
            await asyncio.sleep(max(0.0, self.began + (at + FRAME) / IN_RATE - time.monotonic()))
            await self.push_audio_frame(
                InputAudioRawFrame(self._sound[at : at + FRAME].tobytes(), IN_RATE, 1)
            )
        self.done.set()


class Speaker(BaseOutputTransport):
    """Plays in real time onto a track."""

    def __init__(self, microphone: Microphone, length: int, params: TransportParams) -> None:
        super().__init__(params)
        self._microphone = microphone
        self.track = np.zeros(length, np.int16)
        self._free_at = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = time.monotonic()
        begin = max(now, self._free_at)
        await asyncio.sleep(max(0.0, begin - now))
        piece = np.frombuffer(frame.audio, np.int16)
        at = round((begin - self._microphone.began) * OUT_RATE)
        if self._microphone.began and 0 <= at < len(self.track) - len(piece):
            self.track[at : at + len(piece)] = piece
        self._free_at = begin + len(piece) / OUT_RATE
        return True


class Words(FrameProcessor):
    """An STT that knows the words by time."""

    def __init__(self, phrases: list[list[list]]) -> None:
        super().__init__()
        self._due = []
        for phrase in phrases:
            texts = [text for text, _ in phrase]
            for count, (_, end) in enumerate(phrase, 1):
                self._due.append((end, " ".join(texts[:count]), count == len(phrase)))
        self._seconds = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            await self.push_frame(STTMetadataFrame(service_name="words", ttfs_p99_latency=0.0))
        if isinstance(frame, InputAudioRawFrame):
            self._seconds += len(frame.audio) / 2 / IN_RATE
            while self._due and self._due[0][0] <= self._seconds:
                _, text, final = self._due.pop(0)
                if final:
                    await self.push_frame(TranscriptionFrame(text, "user", "", finalized=True))
                else:
                    await self.push_frame(InterimTranscriptionFrame(text, "user", ""))


class Answers(FrameProcessor):
    """A language model that answers with one sentence."""

    def __init__(self, answer: str, delay_s: float) -> None:
        super().__init__()
        self._answer = answer
        self._delay_s = delay_s

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self.push_frame(LLMFullResponseStartFrame())
            await asyncio.sleep(self._delay_s)
            await self.push_frame(LLMTextFrame(self._answer))
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)


class Voice(TTSService):
    """Speaks a sound that is there."""

    def __init__(self, sound: np.ndarray, delay_s: float) -> None:
        super().__init__(push_start_frame=True, push_stop_frames=True, sample_rate=OUT_RATE)
        self._sound = sound
        self._delay_s = delay_s

    async def run_tts(self, text: str, context_id: str):
        await asyncio.sleep(self._delay_s)
        for at in range(0, len(self._sound), OUT_RATE // 5):
            piece = self._sound[at : at + OUT_RATE // 5]
            yield TTSAudioRawFrame(piece.tobytes(), OUT_RATE, 1, context_id=context_id)


async def main(job: dict) -> None:
    sound = samples(job["user"])
    params = TransportParams(
        audio_in_enabled=True,
        audio_out_enabled=True,
        audio_in_sample_rate=IN_RATE,
        audio_out_sample_rate=OUT_RATE,
        audio_out_10ms_chunks=2,
    )
    microphone = Microphone(sound, params)
    speaker = Speaker(microphone, round(len(sound) * OUT_RATE / IN_RATE), params)
    pair = LLMContextAggregatorPair(
        LLMContext(), user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    pipeline = Pipeline(
        [
            microphone,
            Words(job["phrases"]),
            pair.user(),
            Answers(job["answer"], job["llm_s"]),
            Voice(samples(job["reply"]), job["tts_s"]),
            speaker,
            pair.assistant(),
        ]
    )
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=IN_RATE, audio_out_sample_rate=OUT_RATE),
        enable_rtvi=False,
        idle_timeout_secs=None,
    )

    async def end() -> None:
        await microphone.done.wait()
        await worker.queue_frame(EndFrame())

    ending = asyncio.create_task(end())
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()
    await ending
    with wave.open(job["played"], "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(OUT_RATE)
        file.writeframes(speaker.track.tobytes())


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
