"""What a plugin may import: stage protocols, the values that pass through stages and hooks, the trace, and errors.

Scripts find here what reads a recording or a sound file, and `manager`, with which a program registers a plugin of its
own. Hooks are marked with `workbench.hookimpl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.config import Settings as Settings
    from workbench.engine.endpointing import SilenceTurn as SilenceTurn
    from workbench.engine.interfaces import Llm as Llm
    from workbench.engine.interfaces import LlmPart as LlmPart
    from workbench.engine.interfaces import Progress as Progress
    from workbench.engine.interfaces import Pull as Pull
    from workbench.engine.interfaces import Retraction as Retraction
    from workbench.engine.interfaces import Sink as Sink
    from workbench.engine.interfaces import Source as Source
    from workbench.engine.interfaces import Speech as Speech
    from workbench.engine.interfaces import Stt as Stt
    from workbench.engine.interfaces import Text as Text
    from workbench.engine.interfaces import Tts as Tts
    from workbench.engine.interfaces import TurnDetector as TurnDetector
    from workbench.engine.interfaces import Vad as Vad
    from workbench.engine.settings import TurnSettings as TurnSettings
    from workbench.engine.utterance import Utterance as Utterance
    from workbench.handle import SessionHandle as SessionHandle
    from workbench.model import events as events
    from workbench.model.audio import INPUT_RATE as INPUT_RATE
    from workbench.model.audio import OUTPUT_RATE as OUTPUT_RATE
    from workbench.model.audio import Frame as Frame
    from workbench.model.audio import Samples as Samples
    from workbench.model.clock import outside as outside
    from workbench.model.conversation import Message as Message
    from workbench.model.conversation import Picture as Picture
    from workbench.model.conversation import ToolCall as ToolCall
    from workbench.model.conversation import ToolSpec as ToolSpec
    from workbench.model.conversation import Transcript as Transcript
    from workbench.model.conversation import Usage as Usage
    from workbench.model.conversation import Word as Word
    from workbench.model.errors import BusyError as BusyError
    from workbench.model.errors import DeadlineError as DeadlineError
    from workbench.model.errors import EmptyAnswerError as EmptyAnswerError
    from workbench.model.errors import EndedEarlyError as EndedEarlyError
    from workbench.model.errors import GarbageError as GarbageError
    from workbench.model.errors import MissingError as MissingError
    from workbench.model.errors import RefusedError as RefusedError
    from workbench.model.errors import StageError as StageError
    from workbench.model.errors import UsageError as UsageError
    from workbench.model.errors import WorkbenchError as WorkbenchError
    from workbench.model.events import Entry as Entry
    from workbench.plugin.manager import manager as manager
    from workbench.plugin.values import Check as Check
    from workbench.plugin.values import Exporter as Exporter
    from workbench.plugin.values import Panel as Panel
    from workbench.plugin.values import Provider as Provider
    from workbench.plugin.values import ProviderOptions as ProviderOptions
    from workbench.plugin.values import Secret as Secret
    from workbench.plugin.values import TransportProvider as TransportProvider
    from workbench.providers.energy import Energy as Energy
    from workbench.readers import entries as entries
    from workbench.readers.timeline import Timeline as Timeline
    from workbench.readers.timeline import Turn as Turn
    from workbench.readers.timeline import turns as turns
    from workbench.text.speakable import speakable as speakable
    from workbench.trace.trace import Trace as Trace
    from workbench.transports.base import Transport as Transport
    from workbench.transports.base import TransportOptions as TransportOptions
    from workbench.transports.file.wavfile import WavFile as WavFile
else:
    __getattr__, __dir__ = lazy_exports(__name__)
