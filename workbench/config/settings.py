"""The settings of a session, with a sentence under each, on top of the engine's (`engine/settings.py`)."""

from __future__ import annotations

import ast
import inspect
import os
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PrivateAttr, SecretStr
from pydantic.fields import FieldInfo

from workbench.config.request import Fields, Headers, Table, Words, check_header, expand, read_table
from workbench.config.room import SECRET as ROOM_SECRET
from workbench.config.room import RoomSettings, address_check
from workbench.engine.settings import EngineSettings, SettingsModel, TurnSettings, VadSettings
from workbench.model.errors import UsageError
from workbench.model.text import redacted
from workbench.plugin.values import ProviderOptions, ProviderStage, Secret
from workbench.text.languages import AUTO

SECRET = (*ROOM_SECRET, "headers")
"""Settings whose value is never shown."""
SERVE_KEY = "WORKBENCH_SERVE_API_KEY"
"""The variable of the key of `workbench serve`."""
DEFAULT_PROFILE = "embedded"
ModelStage = Literal["stt", "llm", "tts"]
MODEL_STAGES: tuple[ModelStage, ...] = ("stt", "llm", "tts")

NONE, OPENAI = "none", "openai"
"""No STT, or no TTS (text only); the provider whose settings the environment may have (`OPENAI_API_KEY`)."""

Voices = Annotated[dict[str, str], BeforeValidator(read_table)]

Device = Annotated[
    int | str | None,
    BeforeValidator(lambda value: int(value) if isinstance(value, str) and value.isdecimal() else value),
]


Files = Annotated[
    tuple[Path, ...],
    BeforeValidator(
        lambda value: [path for path in value.split(os.pathsep) if path] if isinstance(value, str) else value
    ),
]


def chain_of(value: Any) -> tuple[Any, ...]:
    """Return the providers that a setting names: a text (with commas between several), or a list of texts."""
    if isinstance(value, str):
        text = value.strip()
        items = text.removeprefix("[").removesuffix("]").split(",") if text != "[]" else []
        value = [item.strip().strip("\"'") for item in items]
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def checked_chain(value: Any) -> Any:
    """Return one provider as a text, several as a tuple. ValueError for what is no chain."""
    chain = chain_of(value)
    if not all(isinstance(item, str) for item in chain):
        raise ValueError("should be a valid string, or a list of them")
    if not chain or (len(chain) > 1 and not all(item.strip() for item in chain)):
        raise ValueError("no provider is named")
    if twice := sorted({item for item in chain if chain.count(item) > 1}):
        raise ValueError(f"{twice[0]!r} stands in it twice")
    if NONE in chain and len(chain) > 1:
        raise ValueError(
            f"{NONE!r} stands alone: where nobody is left, a conversation goes on by text by itself"
        )
    return chain if len(chain) > 1 else chain[0]


Chain = Annotated[str | tuple[str, ...], BeforeValidator(checked_chain)]
"""One provider, or several: the next one takes over where one fails."""


class AudioSettings(SettingsModel):
    """Where the user's voice comes from, and where the agent's goes."""

    source: str = "mic"
    """`mic`, `browser` (a notebook's page), `room` (see `[room]`), `none` (type only), or a wav file that is played to
    the agent in real time."""
    sink: str = "speaker"
    """`speaker`, `browser`, `room`, a wav file to write, or `none`: played to nobody, in real time."""
    input: Device = None
    """The microphone: its name, a part of it, or its number; the system's default if absent."""
    output: Device = None
    """The speaker: its name, a part of it, or its number; the system's default if absent."""
    echo_cancellation: bool = True
    """Take what the agent says out of what the microphone hears."""
    noise_suppression: bool = False
    """Lower steady noise. It also lowers speech where that is no louder than the noise."""
    gain: bool = False
    """Bring quiet speech to a usual level."""


class ProviderSettings(SettingsModel):
    """Which provider a stage uses, and how to reach it."""

    provider: Chain
    """`name` or `name/model`; `workbench doctor` lists what is installed. Of a list the next one takes over where one
    fails or is slow (`limits.hedge_ms`); an item that needs settings of its own is a table, see [providers.NAME]."""
    base_url: Annotated[str, AfterValidator(address_check(("http", "https"), "no http address"))] | None = (
        None
    )
    """Where the API is, for providers that speak the OpenAI API; the provider's own address if absent."""
    api_key: SecretStr | None = None
    """The key for it. Better in the environment than in a file: `"${NAME}"` is the variable NAME."""
    voice: str | None = None
    """The voice, for TTS providers that have several."""
    voices: Voices = Field(default_factory=dict)
    """Voices by language, like `{de = "thorsten", es = "carla"}`, in place of `voice` when that language is spoken."""
    timeout_ms: float = Field(30_000, ge=10)
    """The longest that one request may take, ms."""
    headers: Headers = Field(default_factory=dict)
    """HTTP headers of each request to the API, like `{X-Title = "demo"}`; `${NAME}` in a value is the variable NAME.
    Their values are never shown."""
    extra_body: Fields = Field(default_factory=dict)
    """Further fields of each request to the API, like `{temperature = 0.2, max_tokens = 200}`."""
    omit: Words = ()
    """Fields of a request that this server does not take and are left out, like `["stream_options", "strict"]`. Most
    are found out by themselves: a field that a refusal names is left out."""


class TtsSettings(ProviderSettings):
    """Text to speech."""

    response_format: Literal["pcm", "wav", "flac", "mp3", "opus"] | None = None
    """What an API is asked for first: pcm if absent, then what it does not refuse. pcm and wav are played as they come,
    the others when they are whole."""
    instructions: str | None = None
    """How to speak ("Speak slowly and warmly."), for APIs that take such a sentence."""
    speed: float | None = Field(None, ge=0.25, le=4)
    """How fast to speak, for APIs that can: 1 is as usual."""


class NamedProvider(TtsSettings):
    """A provider with settings of its own, by the name of its table: for lists, and for two servers of one kind."""

    provider: str = ""
    """`name/model` as in a stage; the name of the table if absent."""


class VadSection(VadSettings):
    """Voice activity detection."""

    provider: str = "silero"
    """`silero` (a small network) or `energy` (loudness alone)."""


class TurnSection(TurnSettings):
    """When the user has finished."""

    provider: str = "combined"
    """`combined`: by words, sound and this user's pauses; `semantic` (words and pauses), `smart-turn` (sound and
    pauses) or `silence` (pauses alone)."""


class McpSettings(SettingsModel):
    """An MCP server whose tools every agent may use (`workbench.tools.mcp.McpServer` says what each word means)."""

    command: tuple[str, ...] = ()
    url: str = ""
    env: dict[str, SecretStr] = Field(default_factory=dict)
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    cwd: str | None = None
    only: tuple[str, ...] | None = None
    prefix: str = ""
    confirm: tuple[str, ...] = ()
    timeout_s: float | None = None
    start_s: float | None = None


class RecordSettings(SettingsModel):
    """What stays of a session."""

    enabled: bool = True
    """Record sessions with a microphone (`tui`); `run` records with `--record`."""
    dir: Path | None = None
    """The folder that recordings are put in; `$XDG_DATA_HOME/workbench/sessions` if absent."""
    folder: Path | None = None
    """This very folder (new or empty) for one session; `--record DIR` sets it."""


def _language(text: str) -> str:
    if text and text != AUTO and not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", text):
        raise ValueError("no tag of a language: write it like de or pt-BR, or auto")
    return text


def _origin(text: str) -> str:
    parts = urlsplit(text.rstrip("/"))
    if text != "*" and (not parts.scheme or not parts.netloc or parts.path or parts.query):
        raise ValueError(f"{text} is no origin: write it like https://app.example")
    return text.rstrip("/").lower()


class ServeSettings(SettingsModel):
    """The models on board as an API for other programs: `workbench serve --openai`."""

    api_key: SecretStr | None = None
    """What requests must send as their key, needed beyond this machine; WORKBENCH_SERVE_API_KEY if absent. `"${NAME}"`
    is the variable NAME."""
    origins: Annotated[Words, AfterValidator(lambda words: tuple(map(_origin, words)))] = ()
    """Origins of web pages that may use it beside those of this machine, like `["https://app.example"]`. `["*"]` is
    every page, and needs a key."""


class Settings(EngineSettings):
    """All settings. `origin` says where a value comes from."""

    profile: str = DEFAULT_PROFILE
    """A set of defaults: embedded, scripted, openai, or one of your own (`[profiles.NAME]`)."""
    language: Annotated[str, AfterValidator(_language)] = ""
    """The language that is spoken, a tag like `de` or `pt-BR`, in place of the agent's; `auto`: the one that is heard,
    in each utterance, where the speech-to-text tells (whisper/base, or an API's Whisper)."""
    models_path: Path | None = None
    """A folder of yours that is searched for model weights, by hash."""
    prices: Path | None = None
    """A TOML file of yours with what models cost, which goes before the table that comes with workbench."""
    plugins: Files = ()
    """Plugins that are files of yours; relative to the file that names them. In the environment, `:` is between two."""
    audio: AudioSettings = Field(default_factory=lambda: AudioSettings())
    stt: ProviderSettings = Field(default_factory=lambda: ProviderSettings(provider="whisper/tiny.en"))
    llm: ProviderSettings = Field(default_factory=lambda: ProviderSettings(provider="llama/smollm2-135m"))
    tts: TtsSettings = Field(default_factory=lambda: TtsSettings(provider="piper/en_US-joe-medium"))
    vad: VadSection = Field(default_factory=lambda: VadSection())
    turn: TurnSection = Field(default_factory=lambda: TurnSection())
    record: RecordSettings = Field(default_factory=lambda: RecordSettings())
    providers: dict[str, NamedProvider] = Field(default_factory=dict)
    """Providers that stages may name, each with settings of its own: `[providers.local]`."""
    mcp: dict[str, McpSettings] = Field(default_factory=dict)
    """MCP servers whose tools the agent may use, each by a name: `[mcp.files]`."""
    room: RoomSettings = Field(default_factory=lambda: RoomSettings())
    serve: ServeSettings = Field(default_factory=lambda: ServeSettings())
    script: Table | None = None
    """What the scripted providers say and how long they take."""

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _file: Path | None = PrivateAttr(default=None)

    def origin(self, name: str) -> str:
        """Return where the value of a setting (`vad.threshold`) comes from, in words."""
        return self._origins.get(name, "default")

    def remember(self, file: Path | None, origins: dict[str, str]) -> None:
        """Note where values came from."""
        self._file = file
        self._origins.update(origins)

    @property
    def file(self) -> Path | None:
        """The workbench.toml that was read, None without one."""
        return self._file

    def public(self) -> dict[str, Any]:
        """Return all values as JSON, nested like the tables of workbench.toml; a key is `set`, never itself."""
        values: dict[str, Any] = self.model_dump(mode="json")
        for table in (*(values[stage] for stage in MODEL_STAGES), *values["providers"].values()):
            table["api_key"] = "set" if table["api_key"] is not None else None
            table["base_url"] = _without_login(table["base_url"])
            table["headers"] = dict.fromkeys(table["headers"], "set")
        for server in values["mcp"].values():
            server["url"] = (_without_login(server["url"]) or "").partition("?")[0]
            for word in ("env", "headers"):
                server[word] = dict.fromkeys(server[word], "set")
        values["serve"]["api_key"] = "set" if self.serve.api_key is not None else None
        room = values["room"]
        room |= {name: "set" if room[name] is not None else None for name in ROOM_SECRET}
        room["url"] = _without_login(room["url"])
        return values

    def serve_key(self) -> Secret | None:
        """Return the key that `workbench serve` asks of requests, None without one."""
        text = self.serve.api_key.get_secret_value() if self.serve.api_key else os.environ.get(SERVE_KEY, "")
        key = expand(text, "serve.api_key").strip()
        if not key.isascii() or not key.isprintable():
            raise UsageError("serve.api_key holds characters that no header has", "take letters and digits")
        return Secret(key) if key else None

    def chain(self, stage: ProviderStage) -> tuple[str, ...]:
        """Return the providers of a stage, in the order in which they are asked."""
        return chain_of(getattr(self, stage).provider)

    def choice(self, item: str) -> str:
        """Return what an item of a chain stands for: itself, or what its table [providers.ITEM] says."""
        return (self.providers[item].provider or item) if item in self.providers else item

    def options(self, stage: ProviderStage, model: str, language: str, item: str = "") -> ProviderOptions:
        """Return what an item of a stage's chain is made with: its own table, else that of the stage."""
        models_path = str(self.models_path) if self.models_path else None
        options = ProviderOptions(model, language=language, models_path=models_path, script=self.script)
        if stage in ("vad", "turn"):
            return options
        table: ProviderSettings = self.providers.get(item) or getattr(self, stage)
        place = f"providers.{item}" if item in self.providers else stage
        api_key, base_url = table.api_key, table.base_url
        if item and place == stage and item.partition("/")[0] != OPENAI:
            # what the environment has for OpenAI is nobody else's
            api_key = None if self.origin(f"{stage}.api_key").startswith("OPENAI_") else api_key
            base_url = None if self.origin(f"{stage}.base_url").startswith("OPENAI_") else base_url
        key = expand(api_key.get_secret_value(), f"{place}.api_key") if api_key else None
        return replace(
            options,
            table=place,
            base_url=base_url,
            api_key=Secret(key) if key else None,
            voice=table.voice,
            voices=table.voices,
            timeout_s=table.timeout_ms / 1000,
            load_s=0.0 if "timeout_ms" in table.model_fields_set else self.limits.load_ms / 1000,
            headers=_expanded(table.headers, place),
            extra_body=table.extra_body,
            omit=table.omit,
            **table.model_dump(include={"response_format", "instructions", "speed"}),
        )


def _expanded(headers: Mapping[str, SecretStr], place: str) -> dict[str, Secret]:
    """Return headers with the variables that they name. UsageError, MissingError for what cannot be sent."""
    values: dict[str, Secret] = {}
    for name, secret in headers.items():
        value = expand(secret.get_secret_value(), f"{place}.headers.{name}")
        try:
            check_header(name, value)
        except ValueError as error:
            raise UsageError(f"{place}.headers: {error}", "look at the variables that it names") from None
        values[name] = Secret(value)
    return values


PROFILES: dict[str, dict[str, Any]] = {
    "embedded": {
        "vad.provider": "silero",
        "stt.provider": "whisper/tiny.en",
        "llm.provider": "llama/smollm2-135m",
        "tts.provider": "piper/en_US-joe-medium",
    },
    "scripted": {
        "vad.provider": "energy",
        "turn.provider": "semantic",
        "stt.provider": "scripted",
        "llm.provider": "scripted",
        "tts.provider": "scripted",
    },
    "openai": {
        "vad.provider": "silero",
        "stt.provider": "openai/gpt-transcribe",
        "llm.provider": "openai/gpt-6-luna",
        "llm.extra_body": {"reasoning_effort": "none"},  # thinking costs seconds, and tools need this
        "tts.provider": "openai/gpt-4o-mini-tts",  # ends 2027-01-06, as OpenAI's whole speech endpoint
        "tts.voice": "alloy",
    },
}
"""Built in. Further ones are tables `[profiles.NAME]` of workbench.toml, with `extends = "embedded"`."""


@cache
def known_settings() -> dict[str, FieldInfo]:
    """Return every setting by its dotted name, with pydantic's description of the field."""
    return dict(_leaves(Settings))


@cache
def known_tables() -> list[str]:
    """Return the names of the tables of settings."""
    return sorted({name.rpartition(".")[0] for name in known_settings() if "." in name})


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterable[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _leaves(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def _without_login(url: str | None) -> str | None:
    """Return a URL without user name and password, and without keys in its query."""
    if not url:
        return url
    parts = urlsplit(url)
    return redacted(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))


def sentences() -> dict[str, str]:
    """Return the sentence under each setting and table, by dotted name. It reads the source, which takes 20 ms."""
    return dict(_sentences(Settings, ""))


def _sentences(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, str]]:
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            yield from ((prefix + name, sentence) for name, sentence in _under_fields(kind))
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield prefix + name, inspect.getdoc(info.annotation) or ""
            yield from _sentences(info.annotation, f"{prefix}{name}.")


def _under_fields(kind: type) -> Iterable[tuple[str, str]]:
    """Yield names and sentences of the fields that a class declares itself."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, after in pairwise(body.body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield field.target.id, " ".join(str(after.value.value).split())
