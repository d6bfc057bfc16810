from __future__ import annotations

import subprocess
import sys

import pytest

from workbench.plugin.values import ProviderOptions
from workbench.providers.plugin import workbench_providers

ALL = workbench_providers()


def test_each_provider_is_listed_once() -> None:
    names = [(provider.stage, provider.name) for provider in ALL]
    assert len(set(names)) == len(names)
    assert {("vad", "silero"), ("vad", "energy"), ("turn", "silence"), ("tts", "piper")} <= set(names)


def test_only_local_providers_are_on_board() -> None:
    assert {provider.name for provider in ALL if not provider.onboard} == {"openai"}


def test_providers_without_weights_and_key_can_be_made() -> None:
    for provider in ALL:
        if provider.name in ("energy", "silence", "scripted", "whisper", "llama"):
            assert provider.make(ProviderOptions(provider.models[0]))


@pytest.mark.models
def test_providers_with_weights_can_be_made() -> None:
    for provider in ALL:
        if provider.name in ("silero", "piper"):
            assert provider.make(ProviderOptions(provider.models[0]))


def test_listing_imports_no_provider() -> None:
    code = (
        "import sys; from workbench.providers.plugin import workbench_providers; workbench_providers();"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'openai', 'onnxruntime', 'aiohttp')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
