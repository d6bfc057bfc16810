"""A virtual clock, scripted providers, synthetic speech and faults: whole conversations without a device or a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.simulation.clock import Deadlock as Deadlock
    from workbench.simulation.clock import run_virtual as run_virtual
    from workbench.simulation.faults import FaultyApi as FaultyApi
    from workbench.simulation.network import Trouble as Trouble
    from workbench.simulation.network import TroubledSink as TroubledSink
    from workbench.simulation.network import TroubledSource as TroubledSource
    from workbench.simulation.scripted import Answer as Answer
    from workbench.simulation.scripted import EndsEarly as EndsEarly
    from workbench.simulation.scripted import Garbage as Garbage
    from workbench.simulation.scripted import Hangs as Hangs
    from workbench.simulation.scripted import Raises as Raises
    from workbench.simulation.scripted import ScriptedLlm as ScriptedLlm
    from workbench.simulation.scripted import ScriptedStt as ScriptedStt
    from workbench.simulation.scripted import ScriptedTts as ScriptedTts
    from workbench.simulation.scripted import Slow as Slow
    from workbench.simulation.synthesis import SECONDS_PER_CHARACTER as SECONDS_PER_CHARACTER
    from workbench.simulation.synthesis import ArraySource as ArraySource
    from workbench.simulation.synthesis import Score as Score
    from workbench.simulation.synthesis import babble as babble
    from workbench.simulation.synthesis import click as click
    from workbench.simulation.synthesis import cough as cough
    from workbench.simulation.synthesis import mhm as mhm
    from workbench.simulation.synthesis import noise as noise
    from workbench.simulation.synthesis import speech as speech
    from workbench.simulation.synthesis import tone as tone
    from workbench.simulation.synthesis import write_wav as write_wav
else:
    __getattr__, __dir__ = lazy_exports(__name__)
