"""CPU time of 20 ms of audio on its way through source, VAD and turn detector, in µs; echo cancellation apart.

A minute of conversation goes through a real pipeline as fast as it can (the user speaks in a third of it); nothing is
transcribed, so nothing is answered. The time is the thread's own. `without`: a VAD that does nothing, so that what the
listening half itself costs is seen. `real_time_us` is the CPU of the process when the same comes at the pace of speech,
with the loop's waking up and the sink.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench._figures import Promise, run, tell, wav
from bench._talk import Talk, stages_for, vad
from workbench.engine.interfaces import Vad
from workbench.engine.pipeline import Pipeline
from workbench.engine.stages import Tracks
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.conversation import Conversation
from workbench.simulation.synthesis import write_wav
from workbench.trace.trace import Trace
from workbench.trace.track import LiveTrack
from workbench.transports.file.transport import WavSource

SAMPLE = Path(__file__).parents[1] / "workbench" / "samples" / "conversation.wav"
FRAMES = 3000
FRAME = INPUT_RATE // 50
PASSES = 7
REAL_TIME_S = 6.0


class NoVad:
    """Never hears anything, and costs nothing."""

    window = 320

    def __call__(self, samples: Samples) -> float:
        """Nothing."""
        return 0.0

    def reset(self) -> None:
        """Nothing is remembered."""


def pipeline(path: Path, detector: Vad, *, realtime: bool) -> Pipeline:
    """A pipeline that listens and has nothing to answer."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    trace = Trace(lambda: (loop.time() - began) * 1000)
    talk = Talk(lambda trace: WavSource(path, trace, realtime=realtime), vad=detector)
    tracks = Tracks(LiveTrack("user", INPUT_RATE), LiveTrack("agent", OUTPUT_RATE))
    return Pipeline(stages_for(talk, trace), talk.settings, trace, tracks, Conversation())


async def burst(path: Path, detector: Vad) -> float:
    """µs of the thread for a frame, as fast as they go."""
    made = pipeline(path, detector, realtime=False)
    async with made.stages.source:
        began = time.thread_time()
        await made.run()
        return (time.thread_time() - began) / FRAMES * 1e6


async def real_time(path: Path, detector: Vad) -> float:
    """µs of the process for a frame that comes when it is due."""
    made = pipeline(path, detector, realtime=True)
    async with made.stages.source:
        began = time.process_time()
        try:
            async with asyncio.timeout(REAL_TIME_S):
                await made.run()
        except TimeoutError:
            pass
        return (time.process_time() - began) / (REAL_TIME_S * 50) * 1e6


def best(measure: Callable[[], float]) -> float:
    """The least of a few passes: what else runs here only ever adds."""
    return round(min(measure() for _ in range(PASSES)), 1)


def main() -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_wav(Path(folder) / "minute.wav", np.resize(wav(SAMPLE), FRAMES * FRAME))
        vads: dict[str, Callable[[], Vad]] = {
            "silero": lambda: vad("silero"),
            "energy": lambda: vad("energy"),
            "without": NoVad,
        }
        found = {
            name: best(lambda make=make: asyncio.run(burst(path, make())))  # type: ignore[misc]
            for name, make in vads.items()
        }
        woken = round(asyncio.run(real_time(path, vad("silero"))), 1)
    tell(
        "cpu",
        [
            Promise("20 ms through source, VAD and turn, with Silero", found["silero"], 80, "µs"),
            Promise("the same without a VAD", found["without"], 15, "µs"),
        ],
        {"audio": f"{FRAMES // 50} s of conversation", "figure": f"the best of {PASSES} passes"},
        {"burst_us": found, "real_time_us": woken},
    )


if __name__ == "__main__":
    run(main)
