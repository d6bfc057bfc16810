"""The providers, transports, exporters and checks that come with workbench, by the door that everybody else's use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.plugin.hookspecs import hookimpl
from workbench.plugin.values import Check, Export, Exporter, Provider, TransportProvider

if TYPE_CHECKING:
    from workbench.config import Settings


def _from(module: str, function: str) -> Callable[[Any], Any]:
    """Import the module when a session chooses what it makes: listing costs nothing."""
    return lambda options: getattr(import_module(f"workbench.{module}"), function)(options)


def _silence(options: Any) -> Any:
    from workbench.engine.endpointing import SilenceTurn  # numpy and pydantic with it, 200 ms

    return SilenceTurn()


@hookimpl
def workbench_providers() -> list[Provider]:
    """Detectors, the models on board, the API of OpenAI, and the scripted ones."""
    return [*_detectors(), *_on_board(), *_openai(), *_scripted()]


@hookimpl
def workbench_transports() -> list[TransportProvider]:
    """This machine's devices, sound files, a browser's page, a LiveKit room, and none."""
    return [
        TransportProvider(
            "local",
            "microphone and speaker of this machine, with the echo cancelled",
            _from("transports.local.transport", "LocalTransport"),
            source="mic",
            sink="speaker",
        ),
        TransportProvider(
            "file",
            "sound files in place of a microphone and a speaker, in real time",
            _from("transports.file.transport", "FileTransport"),
        ),
        TransportProvider(
            "browser",
            "microphone and speaker of a notebook's page",
            _from("transports.browser.transport", "BrowserTransport"),
        ),
        TransportProvider(
            "room",
            "a LiveKit room",
            _from("transports.livekit.transport", "RoomTransport"),
        ),
        TransportProvider(
            "none",
            "silence in, and nobody who listens: for conversations that are typed",
            _from("transports.null", "NullTransport"),
        ),
    ]


@hookimpl
def workbench_exporters() -> list[Exporter]:
    """Turns as a table."""
    return [Exporter("csv", "a row for each turn, with what was said and where its time went", _csv)]


@hookimpl
def workbench_checks(settings: Settings) -> list[Check]:
    """Devices, and what the providers need that the settings choose."""
    from workbench.providers.checks import provider_checks
    from workbench.transports.local.checks import device_checks

    return [*device_checks(settings), *provider_checks(settings)]


def _csv() -> Export:
    from workbench.readers.export import write_csv  # numpy with it

    return write_csv


def _detectors() -> list[Provider]:
    return [
        Provider(
            "vad",
            "silero",
            "a small neural network; finds speech in noise",
            _from("providers.silero", "make_vad"),
            models=("v6",),
            onboard=True,
        ),
        Provider(
            "vad",
            "energy",
            "loudness above the noise; needs no model",
            _from("providers.energy", "make_vad"),
            models=("default",),
            onboard=True,
        ),
        Provider(
            "turn",
            "silence",
            "a silence that adapts to this user's pauses",
            _silence,
            models=("default",),
            onboard=True,
        ),
    ]


def _on_board() -> list[Provider]:
    return [
        Provider(
            "stt",
            "whisper",
            "Whisper on board: English, partial transcripts",
            _from("providers.whisper", "make_stt"),
            models=("tiny.en",),
            onboard=True,
        ),
        Provider(
            "llm",
            "llama",
            "SmolLM2 on board: a demonstration, weak answers, no tools",
            _from("providers.llama", "make_llm"),
            models=("smollm2-135m",),
            onboard=True,
        ),
        Provider(
            "tts",
            "piper",
            "a Piper voice on board: US English (piper-tts is GPL-3)",
            _from("providers.piper", "make_tts"),
            models=("en_US-joe-medium",),
            onboard=True,
        ),
    ]


def _openai() -> list[Provider]:
    says = {
        "stt": "transcriptions of whole utterances, by the API of OpenAI or whoever speaks it",
        "llm": "chat completions, by the API of OpenAI or whoever speaks it",
        "tts": "streamed speech, by the API of OpenAI or whoever speaks it",
    }
    return [
        Provider("stt", "openai", says["stt"], _from("providers.openai", "make_stt")),
        Provider("llm", "openai", says["llm"], _from("providers.openai", "make_llm")),
        Provider("tts", "openai", says["tts"], _from("providers.openai", "make_tts")),
    ]


def _scripted() -> list[Provider]:
    def scripted(stage: Any, summary: str) -> Provider:
        make = _from("simulation.scripted", f"make_{stage}")
        return Provider(stage, "scripted", summary, make, models=("default",), onboard=True)

    return [
        scripted("stt", "hears what a script says"),
        scripted("llm", "answers what a script says"),
        scripted("tts", "speaks a tone for each word"),
    ]
