"""The values that hooks return and providers are made with.

Each describes a thing and how it is made: `make` is called when it is needed, and imports then what is heavy, so that
listing costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from workbench.model.events import Entry
    from workbench.trace.trace import Trace

ProviderStage = Literal["vad", "turn", "stt", "llm", "tts"]


class Secret:
    """A key or token that is not shown by accident; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What a provider is made with. `api_key` and the values of `headers` never appear in a repr."""

    model: str
    """The part after the slash of `name/model`, or the provider's first model."""
    base_url: str | None = None
    api_key: Secret | None = None
    voice: str | None = None
    voices: Mapping[str, str] = field(default_factory=dict)
    """Voices by the tag of a language."""
    language: str = "en"
    timeout_s: float = 30.0
    load_s: float = 0.0
    """How long a server of the user's own may take to load its model; its requests have this time if it is longer."""
    models_path: str | None = None
    """A folder to look for weights in, before the cache."""
    script: Any = None
    """For scripted providers: what they say and when."""
    headers: Mapping[str, Secret] = field(default_factory=dict)
    """HTTP headers of each request."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of each request."""
    omit: tuple[str, ...] = ()
    """Fields of a request that the server does not take."""
    response_format: str | None = None
    """The form of sound that a TTS is asked for first."""
    instructions: str | None = None
    """How a TTS is to speak."""
    speed: float | None = None
    table: str = ""
    """The table of settings that all this is from, for messages: `llm`, `providers.local`."""
    notice: Callable[[str, str], None] = lambda reason, hint: None
    """Tells the user, in the trace, what was found out about a server: the reason, and what to do."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An implementation of a stage: `make` is called when a session chooses it, and imports then what is heavy."""

    stage: ProviderStage
    name: str
    summary: str
    make: Callable[[ProviderOptions], Any]
    models: tuple[str, ...] = ()
    """Models that it is known to have; the first is the default. Empty: any."""
    onboard: bool = False
    """Runs on this machine, costs nothing a call: speculation is on by default."""


@dataclass(frozen=True, slots=True)
class TransportProvider:
    """A transport: `make` is called with `TransportOptions` when a session chooses it, in a thread, imports then what
    is heavy, and gives a `Transport`."""

    name: str
    summary: str
    make: Callable[[Any], Any]
    source: str = ""
    """The word in `audio.source` that chooses it; its name if empty."""
    sink: str = ""
    """The word in `audio.sink` that chooses it; its name if empty."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of a front end: `make` gives what it shows, a new one for each screen, or for each session in a notebook.

    In the terminal that is a Textual widget. In a notebook it is an ipywidget or anywidget, or any object: its
    `_repr_html_()` is shown as HTML (what was said must be escaped in it: `html.escape`), else its `str()` as text.
    One that has `feed(entries)` gets the trace's entries in batches, from the first on: in the terminal on the
    screen's own thread, in a notebook on a thread for panels. One that raises or takes a second over a batch is
    dropped, and says so in its place.
    """

    name: str
    """By which it is chosen: letters, digits, `-` and `_`."""
    title: str
    make: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Exporter:
    """A way out for recordings, `workbench export SESSION --format NAME`.

    `make()` gives a function of a recorded trace and a text stream: it writes the export to the stream, or sends it
    elsewhere and writes what became of it. A `WorkbenchError` that it raises is shown with its hint.
    """

    name: str
    summary: str
    make: Callable[[], Export]
    into: Literal["text", "bytes", "folder"] = "text"
    """What the function is given instead of a text stream: a binary one, or the path of an empty folder."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `missing` is needed for what is set here; `note` is worth knowing."""

    what: str
    state: Literal["ok", "note", "missing"]
    found: str
    advice: str = ""
    stage: ProviderStage | None = None
    """The stage that needs it: the check stands below its provider, which is missing too where this is."""


Export = Callable[["Trace", Any], None]
"""Writes a trace into a text stream, a binary stream, or a folder (`Path`), as `Exporter.into` says."""
Read = Callable[["Entry"], None]
ReaderFactory = Callable[[], Read]
"""Makes a reader, one for each session: a callable that gets every entry of the trace, in order and once."""
