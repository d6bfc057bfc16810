"""A conversation in which the user changes language: what is heard, what the model is told, which voice speaks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from workbench import Agent, load_settings, open_session
from workbench.model.errors import UsageError
from workbench.model.events import LanguageChanged, ReplyText, TurnEnded
from workbench.plugin.values import ProviderOptions
from workbench.providers.checks import needed_weights
from workbench.providers.openai.tts import OpenAiTts
from workbench.simulation import run_virtual, speech
from workbench.text.languages import name_of, tag_of
from workbench.trace.wav import wav_header

HEARD = [
    ("Good morning to you.", "english"),
    ("Guten Morgen, was kostet das?", "german"),
    ("Ja.", "norwegian"),  # three letters are words of many languages
    ("Und wann ist offen?", "de"),
]


class Api:
    """A server that transcribes, answers and speaks, and keeps what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.voices: list[str] = []
        self.forms: list[dict[str, Any]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/v1/audio/transcriptions", self._transcribe)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/audio/speech", self._speak)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()

    async def _transcribe(self, request: web.Request) -> web.Response:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        text, language = HEARD[min(len(self.forms), len(HEARD) - 1)]
        self.forms.append(form)
        segment = {"id": 0, "start": 0, "end": 1, "text": text, "avg_logprob": -0.1, "no_speech_prob": 0.01}
        return web.json_response({"text": text, "language": language, "segments": [segment]})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.prompts.append((await request.json())["messages"][0]["content"])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunk = {"choices": [{"index": 0, "delta": {"content": "3 > 2."}, "finish_reason": "stop"}]}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        return response

    async def _speak(self, request: web.Request) -> web.Response:
        self.voices.append((await request.json())["voice"])
        return web.Response(body=speech(0.3, rate=24_000).tobytes(), content_type="audio/pcm")


def conversation(folder: Path, language: str) -> tuple[Api, list[Any]]:
    """Four utterances, each answered before the next."""
    quiet = np.zeros(16_000 * 3, dtype=np.int16)
    sound = np.concatenate([part for _ in HEARD for part in (quiet, speech(1.5))] + [quiet])
    (folder / "four.wav").write_bytes(wav_header(16_000, len(sound)) + sound.tobytes())
    api = Api()
    events: list[Any] = []

    async def main() -> None:
        async with api.running() as base_url:
            stages = {f"{stage}.base_url": base_url for stage in ("stt", "llm", "tts")}
            settings = load_settings(
                {
                    "profile": "scripted",
                    "audio.source": str(folder / "four.wav"),
                    "audio.sink": "none",
                    "record.enabled": False,
                    "language": language,
                    "stt.provider": "openai/whisper-1",
                    "llm.provider": "openai/fake",
                    "tts.provider": "openai/fake",
                    "tts.voice": "alloy",
                    "tts.voices": {"de": "thorsten"},
                    **stages,
                }
            )
            async with open_session(settings, agent=Agent(instructions="Be brief.")) as session:
                events.extend([entry.event async for entry in session.trace.follow()])

    run_virtual(main())
    return api, events


def test_voice_text_and_instructions_follow_the_language_that_is_heard(tmp_path: Path) -> None:
    api, events = conversation(tmp_path, "auto")
    assert [event.status for event in events if isinstance(event, TurnEnded)] == ["done"] * len(HEARD)
    changes = [event for event in events if isinstance(event, LanguageChanged)]
    assert [(change.before, change.language) for change in changes] == [("en", "de")]
    assert all("language" not in form for form in api.forms), "the server finds it out"
    assert [prompt.endswith("answer in German.") for prompt in api.prompts] == [False, True, True, True]
    assert api.voices == ["alloy", "thorsten", "thorsten", "thorsten"]
    spoken = [event.spoken for event in events if isinstance(event, ReplyText)]
    assert spoken[0] != spoken[1], "what signs are called is English no more"


def test_a_language_that_is_set_stays(tmp_path: Path) -> None:
    api, events = conversation(tmp_path, "de-DE")
    assert not [event for event in events if isinstance(event, LanguageChanged)]
    assert {form["language"] for form in api.forms} == {"de"}
    assert set(api.voices) == {"thorsten"}
    assert set(api.prompts) == {"Be brief."}


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ("german", "de"),
        ("German", "de"),
        ("de", "de"),
        ("pt-BR", "pt"),
        ("Mandarin", "zh"),
        ("yue", "yue"),
        ("", ""),
        ("unknown", ""),
        ("klingon", ""),
    ],
)
def test_how_recognizers_name_languages(named: str, wanted: str) -> None:
    assert tag_of(named) == wanted


def test_names() -> None:
    assert (name_of("de-AT"), name_of("zh"), name_of("xx")) == ("German", "Chinese", "xx")


@pytest.mark.parametrize("language", ["german", "d", "de_", "de DE", "*"])
def test_what_is_no_language_is_refused(language: str) -> None:
    with pytest.raises(UsageError, match="no tag of a language"):
        load_settings({"language": language})


def test_a_voice_for_each_language() -> None:
    tts = OpenAiTts(
        ProviderOptions("m", base_url="http://127.0.0.1:1/v1", voice="a", voices={"es-MX": "carla"})
    )
    voices = [tts.voice]
    for language in ("es", "de", "es-ES"):
        tts.use_language(language)
        voices.append(tts.voice)
    assert voices == ["a", "carla", "a", "carla"]


def test_only_the_weights_that_the_settings_need() -> None:
    assert set(needed_weights(load_settings({"profile": "openai"}))) == {"silero/v6", "smart-turn/v3.2"}
    assert needed_weights(load_settings({"profile": "scripted"})) == []
    chosen = needed_weights(load_settings({"stt.provider": "whisper/base"}))
    assert "whisper/base" in chosen
    assert "whisper/tiny.en" not in chosen
