"""The hooks that a plugin may implement: a table of contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pluggy

hookspec = pluggy.HookspecMarker("workbench")
hookimpl = pluggy.HookimplMarker("workbench")

ProviderStage = Literal["vad", "turn", "stt", "llm", "tts"]


class Secret:
    """A key or token that is not shown by accident; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What a provider is made with. `api_key` never appears in a repr."""

    model: str
    """The part after the slash of `name/model`, or the provider's first model."""
    base_url: str | None = None
    api_key: Secret | None = None
    voice: str | None = None
    language: str = "en"
    timeout_s: float = 30.0
    models_path: str | None = None
    """A folder to look for weights in, before the cache."""
    script: Any = None
    """For scripted providers: what they say and when."""


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


@hookspec
def workbench_providers() -> list[Provider]:  # type: ignore[empty-body]
    """The providers that this plugin brings."""
