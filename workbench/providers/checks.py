"""Checks of our providers' needs: packages of the extra [local], weights, libraries, keys."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, get_args

from workbench.config.request import missing_variable
from workbench.plugin.values import Check, ProviderOptions, ProviderStage

if TYPE_CHECKING:
    from workbench.config import Settings
    from workbench.config.settings import ProviderSettings

ON_BOARD = {
    "silero": (("onnxruntime",), "silero/v6"),
    "combined": (("onnxruntime",), "smart-turn/v3.2"),
    "smart-turn": (("onnxruntime",), "smart-turn/v3.2"),
    "whisper": (("ctranslate2", "tokenizers"), "whisper/{model}"),
    "llama": (("xllamacpp",), "llama/smollm2-135m"),
    "piper": (("piper",), "piper/en_US-joe-medium"),
}
"""Modules of the extra [local], and weights, by provider."""


def provider_checks(settings: Settings) -> Iterator[Check]:
    """Yield a check for each thing that is missing for the providers of the settings; APIs are asked for models."""
    servers: list[tuple[ProviderStage, ProviderOptions]] = []
    for stage in get_args(ProviderStage):
        for item in settings.chain(stage):
            name, _, model = settings.choice(item).partition("/")
            if name in ON_BOARD:
                modules, weights = ON_BOARD[name]
                weights = weights.format(model=model or "tiny.en")
                missing = [*_missing_modules(stage, modules), *_missing_weights(settings, stage, weights)]
                # turns end by words and silence without them
                yield from (replace(check, state="note") if stage == "turn" else check for check in missing)
            if name == "llama" and sys.platform == "linux" and not _loads("libgomp.so.1"):
                reason = "OpenMP's library, which xllamacpp needs, is not installed"
                advice = (
                    "install it: `apt-get install libgomp1` (Debian, Ubuntu), `dnf install libgomp` (Fedora)"
                )
                yield Check("libgomp", "missing", reason, advice, stage)
            if name == "openai":
                missing = [*_missing_key(settings, stage, item)]
                yield from missing
                if not missing:
                    servers.append((stage, settings.options(stage, model, "en", item)))
    if servers:
        from workbench.providers.openai.listing import server_checks  # the SDK with it, half a second

        yield from server_checks(servers, settings.prices, date.today())


def needed_weights(settings: Settings) -> list[str]:
    """Return the names of the weights that the providers of the settings load, by their stages."""
    names: dict[str, None] = {}
    for stage in get_args(ProviderStage):
        for item in settings.chain(stage):
            name, _, model = settings.choice(item).partition("/")
            if name in ON_BOARD:
                names[ON_BOARD[name][1].format(model=model or "tiny.en")] = None
    return [*names]


def _missing_key(settings: Settings, stage: ProviderStage, item: str) -> Iterator[Check]:
    table: ProviderSettings = settings.providers.get(item) or getattr(settings, stage)
    secrets = [*([table.api_key] if table.api_key else ()), *table.headers.values()]
    variables = [missing_variable(secret.get_secret_value()) for secret in secrets]
    user = f"{stage} {item}" if item in settings.providers else stage
    for variable in filter(None, variables):
        found = f"there is no key for {user}: {variable} is not set"
        yield Check("key", "missing", found, f"export {variable}=…", stage)
    if not secrets and not table.base_url:
        place = f"providers.{item}" if item in settings.providers else stage
        advice = f"set OPENAI_API_KEY, or [{place}] base_url and api_key for another server"
        yield Check("key", "missing", f"there is no key for {user}", advice, stage)


def _missing_modules(stage: ProviderStage, modules: tuple[str, ...]) -> Iterator[Check]:
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        advice = 'install the extra: pip install "voice-workbench[local]"'
        yield Check("package", "missing", f"{', '.join(absent)} for {stage} is not installed", advice, stage)


def _missing_weights(settings: Settings, stage: ProviderStage, name: str) -> Iterator[Check]:
    """Look at size and hash of the weights, 0.3 s for all."""
    from workbench.weights.manifest import find
    from workbench.weights.store import FileState, open_store

    state = open_store(settings.models_path).state(find(name))
    if state is not FileState.PRESENT:
        advice = f"run `workbench models pull {name}`"
        yield Check("weights", "missing", f"the weights of {name} are {state}", advice, stage)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
