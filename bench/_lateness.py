"""How late frames are handled: a probe around the one place that all of them pass."""

from __future__ import annotations

import time

from workbench.engine.pipeline import Pipeline
from workbench.model.audio import Frame


class Lateness:
    """Of every pipeline in this process on a real loop, while `on`: ms from the moment at which a frame's last sample
    was spoken to the end of its handling; from when it came in, where it had a way to come (a room's jitter buffer is
    no lateness of ours)."""

    def __init__(self) -> None:
        self.on = False
        self.late_ms: list[float] = []
        handle = Pipeline._feed

        def timed(pipeline: Pipeline, frame: Frame) -> None:
            handle(pipeline, frame)
            if self.on:
                source = pipeline.stages.source
                transit = source.transit(frame.end)
                due = transit[-1][1] if transit else source.time_of(frame.end)
                self.late_ms.append((time.monotonic() - due) * 1000)

        Pipeline._feed = timed  # type: ignore[assignment,method-assign]
