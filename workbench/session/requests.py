"""Requests to the stages as a cassette finds them again: by a hash of stage, input and settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from workbench.agent import Agent
from workbench.config import Settings
from workbench.config.settings import MODEL_STAGES
from workbench.engine.utterance import Utterance
from workbench.model.conversation import Message, Picture, ToolSpec
from workbench.model.text import plain
from workbench.text.languages import AUTO
from workbench.trace.cassette import Row, request_key

NOT_OF_ANSWERS = ("provider", "base_url", "api_key", "headers", "timeout_ms", "omit")
"""Settings of a stage that do not change what is answered. Keys are no part of any hash."""
WORDS = 200
"""Characters of a request that are kept in words."""


def settings_key(settings: Settings, stage: str, item: str, agent: Agent | None) -> str:
    """Return the hash of the settings that matter to what an item of a stage's chain answers, and the language."""
    if stage not in MODEL_STAGES:
        return request_key(item)
    language = settings.language
    if language in ("", AUTO) and agent is not None:
        language = agent.language
    public = settings.public()
    table = public["providers"].get(item) or public[stage]
    known = {name: value for name, value in table.items() if name not in NOT_OF_ANSWERS}
    return in_language(request_key(item, known), language)


def in_language(settings: str, language: str) -> str:
    """Return that hash with the language that is spoken from here on."""
    return f"{settings.partition('/')[0]}/{language}"


def warm_request() -> Row:
    """Return the first call of a provider."""
    return {"key": "warm", "asks": "its first call"}


def stt_request(utterance: Utterance, settings: str) -> Row:
    """Return the transcription of what is spoken from here on: the track is the same in each run."""
    start = utterance.start_sample
    return {
        "key": request_key("stt", start, settings),
        "asks": f"what is said from sample {start} on",
        "start": start,
    }


def llm_request(messages: Sequence[Message], tools: Sequence[ToolSpec], settings: str) -> Row:
    """Return the request of an answer. `outline` leaves out what was heard of earlier ones, as that may differ by a
    word where a reply was cut a frame earlier."""
    sent = [_message(message) for message in messages]
    outline = [
        {**message, "text": "", "cut": False} if message["role"] == "assistant" else message
        for message in sent
    ]
    specs = [[tool.name, tool.description, tool.parameters, tool.strict] for tool in tools]
    last = next((message.text for message in reversed(messages) if message.role != "system"), "")
    return {
        "key": request_key("llm", sent, specs, settings),
        "outline": request_key("llm", outline, specs, settings),
        "asks": plain(last, limit=WORDS),
    }


def tts_request(text: str, settings: str) -> Row:
    """Return the request of speech."""
    return {"key": request_key("tts", text, settings), "asks": plain(text, limit=WORDS)}


def turn_request(utterance: Utterance, settings: str) -> Row:
    """Return the request of what a model thinks of a pause."""
    start, end = utterance.start_sample, utterance.speech_end
    return {"key": request_key("turn", start, end, settings), "asks": f"the pause at sample {end}"}


def tool_request(name: str, arguments: str) -> Row:
    """Return the request of a tool."""
    return {"key": request_key("tool", name, arguments), "asks": plain(f"{name}({arguments})", limit=WORDS)}


def hook_key(hook: str, value: Any) -> str:
    """Return the hash of what a plugin was given to change."""
    if isinstance(value, str):
        return request_key(hook, value)
    return request_key(hook, [_message(message) for message in value])


def _message(message: Message) -> dict[str, Any]:
    row = asdict(message)
    row["pictures"] = [_picture(picture) for picture in message.pictures]
    return row


def _picture(picture: Picture) -> list[Any]:
    return [picture.file, hashlib.blake2b(picture.jpeg, digest_size=12).hexdigest()]
