"""`workbench models`, as a script and as a person use it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from workbench.cli.models import models
from workbench.model.errors import MissingError, UsageError
from workbench.weights.manifest import MODELS, find

SILERO = find("silero/v6").files[0]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and neither an index nor a hub to fill it from."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("WORKBENCH_MODELS_PATH", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path / "cache" / "workbench" / "models"


def corrupt(cache: Path) -> Path:
    path = cache / SILERO.sha256 / SILERO.name
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(SILERO.size))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(models, arguments)


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_list_shows_every_model_its_licence_and_its_caveat(cache: Path) -> None:
    shown = run("list").stdout
    for model in MODELS:
        assert model.name in shown
    assert "missing" in shown
    assert "Apache-2.0" in shown
    assert "lessac" in " ".join(shown.split())


def test_list_as_json_is_one_object_a_model(cache: Path) -> None:
    corrupt(cache)
    answer = lines(run("list", "--json"))
    assert [model["name"] for model in answer] == [model.name for model in MODELS]
    assert [model["state"] for model in answer] == ["corrupt", *["missing"] * (len(MODELS) - 1)]
    assert all(model["licence"] for model in answer)


def test_verify_finds_what_is_corrupt(cache: Path) -> None:
    path = corrupt(cache)
    result = run("verify")
    assert result.exit_code == 1
    assert f"corrupt  silero/v6 {SILERO.name} {path}" in result.stdout
    assert "workbench models pull" in result.stderr


def test_verify_minds_only_the_missing_that_were_named(cache: Path) -> None:
    assert run("verify").exit_code == 0
    result = run("verify", "--json", "whisper/base")
    assert isinstance(result.exception, MissingError)
    assert [model["state"] for model in lines(result)] == ["missing"]


def test_pull_says_on_standard_error_why_nothing_came(cache: Path) -> None:
    result = run("pull", "silero/v6", "--json")
    assert isinstance(result.exception, MissingError)
    assert "faster-whisper==1.2.1" in result.stderr
    assert [(model["state"], model["fetched"]) for model in lines(result)] == [("missing", [])]


def test_pull_goes_on_with_the_next_model(cache: Path) -> None:
    result = run("pull", "silero/v6", "llama/smollm2-135m")
    assert isinstance(result.exception, MissingError)
    assert "2 of 2 models" in result.exception.reason


def test_pull_can_be_silent_but_for_its_error(cache: Path) -> None:
    result = run("pull", "--quiet")
    assert isinstance(result.exception, MissingError)
    assert "5 of 5 models" in result.exception.reason
    assert "faster-whisper==1.2.1" in result.exception.reason
    assert result.output == ""


def test_remove_deletes_the_files_from_the_cache(cache: Path) -> None:
    path = corrupt(cache)
    assert lines(run("remove", "silero/v6", "--json")) == [{"name": "silero/v6", "removed": [str(path)]}]
    assert "was not in the cache" in run("remove", "silero/v6").stdout


@pytest.mark.parametrize("command", ["pull", "verify", "remove"])
def test_an_unknown_name_is_an_error_of_usage(cache: Path, command: str) -> None:
    assert isinstance(run(command, "whisper/huge").exception, UsageError)


def test_every_help_has_an_example() -> None:
    for command in [models, *models.commands.values()]:
        assert isinstance(command, click.Command)
        assert "Example: workbench models" in " ".join(command.get_help(click.Context(command)).split())


@pytest.mark.models
def test_pull_fetches_nothing_that_is_present() -> None:
    result = run("pull", "--json")
    assert result.exit_code == 0
    assert all(model["state"] == "present" and not model["fetched"] for model in lines(result))
