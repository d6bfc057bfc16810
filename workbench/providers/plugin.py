"""Our own plugin: the providers, transports, exporters and checks that come with workbench."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.plugin.hookspecs import hookimpl
from workbench.plugin.values import Check, Export, Exporter, Provider, ProviderStage, TransportProvider

if TYPE_CHECKING:
    from workbench.config import Settings


def _from(module: str, function: str) -> Callable[[Any], Any]:
    """Return a factory that imports its module when a session chooses it: listing costs nothing."""
    return lambda options: getattr(import_module(f"workbench.{module}"), function)(options)


def _silence(options: Any) -> Any:
    from workbench.engine.endpointing import SilenceTurn  # numpy and pydantic with it, 200 ms

    return SilenceTurn()


def _semantic(options: Any) -> Any:
    from workbench.engine.endpointing import CombinedTurn

    return CombinedTurn()


@hookimpl
def workbench_providers() -> list[Provider]:
    """Return the detectors, the models on board, the API of OpenAI, and the scripted providers."""
    silero, energy = _from("providers.silero", "Silero"), _from("providers.energy", "Energy")
    whisper, llama = _from("providers.whisper", "Whisper"), _from("providers.llama", "Llama")
    combined = _from("providers.smart_turn", "make_combined")
    smart_turn = _from("providers.smart_turn", "make_smart_turn")
    piper = _from("providers.piper", "Piper")
    voice = "a Piper voice on board: US English (piper-tts is GPL-3)"
    hears = "Whisper on board, partial transcripts: English (tiny.en), or 99 languages (base)"
    smollm2 = "SmolLM2 on board: a demonstration, weak answers, no tools"
    return [
        _on_board("vad", "silero", "v6", "a small neural network; finds speech in noise", silero),
        _on_board("vad", "energy", "default", "loudness above the noise; needs no model", energy),
        _on_board("turn", "combined", "default", "words, sound and this user's pauses together", combined),
        _on_board("turn", "silence", "default", "a silence that adapts to this user's pauses", _silence),
        _on_board(
            "turn", "semantic", "default", "words, and this user's pauses where they tell nothing", _semantic
        ),
        _on_board(
            "turn", "smart-turn", "v3.2", "the sound, by a small neural network, and pauses", smart_turn
        ),
        Provider("stt", "whisper", hears, whisper, models=("tiny.en", "base"), onboard=True),
        _on_board("llm", "llama", "smollm2-135m", smollm2, llama),
        _on_board("tts", "piper", "en_US-joe-medium", voice, piper),
        _openai("stt", "transcriptions of whole utterances"),
        _openai("llm", "chat completions"),
        _openai("tts", "streamed speech"),
        _scripted("stt", "hears what a script says"),
        _scripted("llm", "answers what a script says"),
        _scripted("tts", "speaks a tone for each word"),
    ]


@hookimpl
def workbench_transports() -> list[TransportProvider]:
    """Return this machine's devices, sound files, a browser's page, a LiveKit room, and none."""
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
        TransportProvider("room", "a LiveKit room", _from("transports.livekit.transport", "RoomTransport")),
        TransportProvider(
            "none",
            "silence in, and nobody who listens: for conversations that are typed",
            _from("transports.null", "NullTransport"),
        ),
    ]


@hookimpl
def workbench_exporters() -> list[Exporter]:
    """Return the formats of other programs."""
    both = "the user left, the agent right"
    return [
        Exporter(
            "csv", "a row for each turn, with what was said and where its time went", _export("table", "csv")
        ),
        Exporter("jsonl", "a JSON object for each turn, then a summary", _export("lines", "jsonl")),
        Exporter("webvtt", "what was said, as subtitles with voices", _export("webvtt")),
        Exporter("perfetto", "a track for each stage, for ui.perfetto.dev", _export("perfetto")),
        Exporter("otel", "turns as spans of OpenTelemetry (OTLP in JSON)", _export("otel")),
        Exporter(
            "wav", f"the sound of both sides on one clock: {both}", _export("sound", "wav"), into="bytes"
        ),
        Exporter(
            "audacity",
            "a folder: a label track for each side, and the sound",
            _export("audacity"),
            into="folder",
        ),
        Exporter(
            "eot-bench",
            "a folder: the user's turns as rows of a benchmark",
            _export("eot_bench"),
            into="folder",
        ),
    ]


@hookimpl
def workbench_checks(settings: Settings) -> list[Check]:
    """Return what is missing of devices, and of the providers that the settings choose."""
    from workbench.providers.checks import provider_checks
    from workbench.transports.local.checks import device_checks

    return [*device_checks(settings), *provider_checks(settings)]


def _export(module: str, name: str | None = None) -> Callable[[], Export]:
    """Return what imports an export when it is chosen."""

    def make() -> Export:
        export: Export = getattr(
            import_module(f"workbench.readers.exports.{module}"), f"write_{name or module}"
        )
        return export

    return make


def _on_board(
    stage: ProviderStage, name: str, model: str, summary: str, make: Callable[[Any], Any]
) -> Provider:
    return Provider(stage, name, summary, make, models=(model,), onboard=True)


def _scripted(stage: ProviderStage, summary: str) -> Provider:
    return _on_board(stage, "scripted", "default", summary, _from("simulation.scripted", f"make_{stage}"))


def _openai(stage: ProviderStage, summary: str) -> Provider:
    summary = f"{summary}, by the API of OpenAI or whoever speaks it"
    return Provider(stage, "openai", summary, _from(f"providers.openai.{stage}", f"OpenAi{stage.title()}"))
