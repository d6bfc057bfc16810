"""What a plugin may import: stage protocols, the values that pass through stages and hooks, the trace, and errors.

Scripts find here what reads a recording or a sound file, and `manager`, with which a program registers a plugin of its
own. Hooks are marked with `workbench.hookimpl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.config import Settings
    from workbench.engine.endpointing import SilenceTurn
    from workbench.engine.interfaces import (
        Llm,
        LlmPart,
        Pull,
        Sink,
        Source,
        Speech,
        Stt,
        Text,
        Tts,
        TurnDetector,
        Vad,
    )
    from workbench.engine.settings import TurnSettings
    from workbench.engine.utterance import Utterance
    from workbench.handle import SessionHandle
    from workbench.model import events
    from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples
    from workbench.model.clock import outside
    from workbench.model.conversation import Message, Picture, ToolCall, ToolSpec, Transcript, Usage, Word
    from workbench.model.errors import (
        BusyError,
        DeadlineError,
        EndedEarlyError,
        GarbageError,
        MissingError,
        RefusedError,
        StageError,
        UsageError,
        WorkbenchError,
    )
    from workbench.model.events import Entry
    from workbench.plugin.manager import manager
    from workbench.plugin.values import (
        Check,
        Exporter,
        Panel,
        Provider,
        ProviderOptions,
        Secret,
        TransportProvider,
    )
    from workbench.providers.energy import Energy
    from workbench.readers import entries
    from workbench.readers.timeline import Timeline, Turn, turns
    from workbench.text.speakable import speakable
    from workbench.trace.trace import Trace
    from workbench.transports.base import Transport, TransportOptions
    from workbench.transports.file.wavfile import WavFile

__all__ = [
    "INPUT_RATE",
    "OUTPUT_RATE",
    "BusyError",
    "Check",
    "DeadlineError",
    "EndedEarlyError",
    "Energy",
    "Entry",
    "Exporter",
    "Frame",
    "GarbageError",
    "Llm",
    "LlmPart",
    "Message",
    "MissingError",
    "Panel",
    "Picture",
    "Provider",
    "ProviderOptions",
    "Pull",
    "RefusedError",
    "Samples",
    "Secret",
    "SessionHandle",
    "Settings",
    "SilenceTurn",
    "Sink",
    "Source",
    "Speech",
    "StageError",
    "Stt",
    "Text",
    "Timeline",
    "ToolCall",
    "ToolSpec",
    "Trace",
    "Transcript",
    "Transport",
    "TransportOptions",
    "TransportProvider",
    "Tts",
    "Turn",
    "TurnDetector",
    "TurnSettings",
    "Usage",
    "UsageError",
    "Utterance",
    "Vad",
    "WavFile",
    "Word",
    "WorkbenchError",
    "entries",
    "events",
    "manager",
    "outside",
    "speakable",
    "turns",
]

__getattr__, __dir__ = lazy_exports(__name__)
