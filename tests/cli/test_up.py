from __future__ import annotations

from pathlib import Path

import pytest

from workbench.cli.up import _missing_weights
from workbench.config import load_settings


def test_only_what_is_chosen_can_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _missing_weights(load_settings({}, environ={})) == (
        "silero/v6, whisper/tiny.en, llama/smollm2-135m, piper/en_US-joe-medium"
    )
    own = {"vad.provider": "energy", "llm.provider": "openai/llama3.2", "tts.provider": "none"}
    assert _missing_weights(load_settings(own, environ={})) == "whisper/tiny.en"
