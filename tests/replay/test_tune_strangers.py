"""Tuning by what strangers made: detectors of plugins, damaged recordings, settings files of any style."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.replay.tune_material import hesitant, settings_of, tuned
from workbench import hookimpl
from workbench.config.edit import write_settings
from workbench.engine.interfaces import TurnDetector
from workbench.engine.settings import TurnSettings
from workbench.engine.utterance import Utterance
from workbench.model.errors import StageError, UsageError
from workbench.plugin.manager import manager
from workbench.plugin.values import Provider


class Impatient(TurnDetector):
    """Ends a turn once a silence is half as long as the speech before it; it looks at the sound, and at every frame."""

    def wait_ms(self, utterance: Utterance, settings: TurnSettings) -> float:
        assert len(utterance.audio()) == utterance.end - utterance.start_sample
        silent, spoken = utterance.end - utterance.speech_end, utterance.speech_end - utterance.onset
        return 0.0 if silent >= spoken / 2 else settings.unfinished_ms

    def paused(self, ms: float, *, went_on: bool) -> None:
        assert went_on


@pytest.fixture
def stranger() -> Iterator[str]:
    class Plugin:
        @hookimpl
        def workbench_providers(self) -> list[Provider]:
            return [Provider("turn", "impatient", "half as long", lambda options: Impatient(), ("v1",))]

    name = manager().register(Plugin(), "impatient")
    yield "impatient"
    manager().unregister(name)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hesitant(tmp_path_factory.mktemp("tune") / "rec")


def test_a_detector_of_a_plugin_is_asked_at_every_frame(recording: Path, stranger: str) -> None:
    result = tuned([recording], {"turn.unfinished_ms": (900, 2500)}, settings_of(turn__provider=stranger))
    (scored,) = result.recordings
    replies_ms = scored.outcome.replies_ms[:, 0]
    # 1.26 s of speech before 450 ms of silence; 180 ms before 800 ms
    assert np.isfinite(replies_ms).tolist() == [False, True, True, True, True]
    assert replies_ms[2] < 450


def test_a_detector_that_fails_is_named(
    recording: Path, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Impatient, "hold_ms", lambda *_: "soon")
    with pytest.raises(StageError, match="the turn detector"):
        tuned([recording], {"turn.unfinished_ms": (900, 2500)}, settings_of(turn__provider=stranger))


@settings(max_examples=12)
@given(st.data())
def test_of_a_damaged_recording_there_are_figures_or_a_reason(recording: Path, data: st.DataObject) -> None:
    folder = recording.parent / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(recording, folder)
    for name in ("events.jsonl", "user.wav", "cassette/rows.jsonl"):
        content = (folder / name).read_bytes()
        if data.draw(st.booleans(), label=f"cut {name}"):
            (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content)))])
        elif name != "user.wav":
            lines = content.splitlines(keepends=True)
            at = data.draw(st.integers(0, len(lines) - 1))
            lines[at] = data.draw(st.binary(max_size=60)) + b"\n"
            (folder / name).write_bytes(b"".join(lines))
    with suppress(UsageError):
        assert tuned([folder], {"turn.silence_ms": (200, 600)}).points


# --- workbench.toml --------------------------------------------------------------------------------------------------

CHANGES: dict[str, Any] = {"turn.silence_ms": 500.0, "turn.adapt": False, "vad.threshold": 0.35}
STYLES = [
    "",
    "# nothing but a comment",
    "turn.silence_ms = 300\nvad.threshold = 0.5 # mine\n",
    "[turn]\n# silence_ms = 1\nsilence_ms = 300 # why\n\n[vad]\nthreshold=0.5\n",
    'turn = {silence_ms = 300}\nprofile = "scripted"\n',
    "[llm]\n[turn]\n[profiles.mine]\nturn.silence_ms = 300\n[vad]\n",
    '\ufeff[turn]\r\nsilence_ms = 1_000\r\n[llm]\r\nprovider = """\r\nscripted"""\r\n',
    "[[mcp]]\n",
    '[turn]\n"silence_ms" = 300\n[mcp.files]\ncommand = ["a",\n  "b", # c\n]\n',
]


@pytest.mark.parametrize("text", STYLES)
def test_settings_are_written_whatever_the_style_of_the_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "workbench.toml"
    file.write_bytes(text.encode())
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    try:
        write_settings(file, CHANGES)
    except UsageError:
        assert file.read_bytes() == text.encode()
        return
    written = file.read_bytes().decode()
    says = tomllib.loads(written)
    assert (says["turn"]["silence_ms"], says["turn"]["adapt"], says["vad"]["threshold"]) == (500, False, 0.35)
    assert all(comment in written for comment in comments)
    assert [*tmp_path.iterdir()] == [file]


@given(text=st.text(alphabet="[]turnvad.silence_ms=#\"' \n{}0,", max_size=80))
@example(text="[turn]\nadapt = 1\n[turn.silence_ms]\n")
def test_a_file_that_cannot_be_edited_stays_as_it_was(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(text.encode())
    try:
        write_settings(file, CHANGES)
    except UsageError:
        assert file.read_bytes() == text.encode()
    else:
        tomllib.loads(file.read_text("utf-8"))


def test_a_file_in_a_place_that_takes_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_settings(tmp_path / "absent" / "workbench.toml", CHANGES)
    folder = tmp_path / "workbench.toml"
    folder.mkdir()
    with pytest.raises(UsageError):
        write_settings(folder, CHANGES)
