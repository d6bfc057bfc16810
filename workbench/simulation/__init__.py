"""A virtual clock, scripted providers, synthetic speech and faults: whole conversations without a device or a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.simulation.clock import Deadlock, run_virtual
    from workbench.simulation.faults import FaultyApi
    from workbench.simulation.network import Trouble, TroubledSink, TroubledSource
    from workbench.simulation.scripted import (
        Answer,
        EndsEarly,
        Garbage,
        Hangs,
        Raises,
        ScriptedLlm,
        ScriptedStt,
        ScriptedTts,
        Slow,
    )
    from workbench.simulation.synthesis import (
        SECONDS_PER_CHARACTER,
        ArraySource,
        Score,
        babble,
        click,
        cough,
        mhm,
        noise,
        speech,
        tone,
        write_wav,
    )

__all__ = [
    "SECONDS_PER_CHARACTER",
    "Answer",
    "ArraySource",
    "Deadlock",
    "EndsEarly",
    "FaultyApi",
    "Garbage",
    "Hangs",
    "Raises",
    "Score",
    "ScriptedLlm",
    "ScriptedStt",
    "ScriptedTts",
    "Slow",
    "Trouble",
    "TroubledSink",
    "TroubledSource",
    "babble",
    "click",
    "cough",
    "mhm",
    "noise",
    "run_virtual",
    "speech",
    "tone",
    "write_wav",
]

__getattr__, __dir__ = lazy_exports(__name__)
