"""What `doctor` says of the servers that the stages use: no answer, no such model, a model that ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.providers.answering import served
from workbench.__main__ import run
from workbench.config.models import OPENAI_HOST, find_model
from workbench.config.settings import PROFILES
from workbench.model.errors import UsageError
from workbench.model.price import UNKNOWN
from workbench.plugin.values import Check, ProviderOptions, Secret
from workbench.providers.openai.listing import server_checks

TODAY = date(2026, 11, 29)


@contextmanager
def listing(answer: Any, status: int = 200) -> Iterator[str]:
    """The base URL of a server that answers so, in a thread: what is tested has a loop of its own."""

    async def handler(request: web.Request) -> web.StreamResponse:
        body = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(text=body, status=status, content_type="application/json")

    with served(handler) as url:
        yield url


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def checks(answer: Any, model: str = "gpt-4o-mini", status: int = 200) -> list[Check]:
    with listing(answer, status) as url:
        options = ProviderOptions(model, base_url=url, api_key=Secret("sk-1234567"))
        return server_checks([("llm", options)], None, TODAY)


def test_a_model_that_ends_is_told_with_its_date() -> None:
    model = {"id": "gpt-4o-mini", "object": "model", "shutdown_date": "2027-01-14"}
    (check,) = checks({"object": "list", "data": [model]})
    assert (check.what, check.state, check.found) == ("model", "note", "gpt-4o-mini ends on 2027-01-14")
    (check,) = checks({"data": [{**model, "shutdown_date": "2026-11-29"}]})
    assert check.found == "gpt-4o-mini ended on 2026-11-29"


@pytest.mark.parametrize("end", [None, "", "soon", 7, [], {}])
def test_a_server_that_gives_no_date_says_nothing(end: Any) -> None:
    assert checks({"data": [{"id": "m", "shutdown_date": end}]}, "m") == []


@pytest.mark.parametrize(
    "answer", [{"data": [{"id": "m:latest"}]}, {"models": [{"name": "m"}]}, [{"id": "m"}]]
)
def test_lists_of_other_servers_are_read(answer: Any) -> None:
    assert checks(answer, "m") == []


@pytest.mark.parametrize(
    ("answer", "status"), [("<html>", 200), ({"data": None}, 200), ("[" * 9999, 200), ({}, 404), ({}, 405)]
)
def test_a_server_without_a_list_is_fine(answer: Any, status: int) -> None:
    assert checks(answer, "m", status) == []


def test_a_model_that_is_not_there_is_told_with_those_that_are() -> None:
    (check,) = checks({"data": [{"id": "a\x1b[2J"}, {"id": "b"}]}, "m")
    assert "lists no model m" in check.found
    assert check.advice == "it has a, b"


def test_a_wrong_key_is_missing() -> None:
    (check,) = checks({"error": {"message": "wrong key sk-1234567"}}, status=401)
    assert (check.state, "sk-1234567" in check.found) == ("missing", False)


def test_what_openai_announced_is_known_without_its_list_and_has_a_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = find_model(OPENAI_HOST, "gpt-4o-mini-2024-07-18")
    assert facts is not None
    assert (facts.shutdown, facts.successor) == (date(2027, 1, 14), "openai/gpt-6-luna")
    for stage in ("stt", "llm"):
        chosen = find_model(OPENAI_HOST, PROFILES["openai"][f"{stage}.provider"].partition("/")[2])
        assert chosen is not None
        assert chosen.shutdown is None
        assert chosen.price != UNKNOWN


def test_the_models_of_the_profile_live_longer_than_those_that_the_sdk_lists_as_ending() -> None:
    import openai.types.audio_model
    import openai.types.shared.chat_model

    for module, stage in ((openai.types.audio_model, "stt"), (openai.types.shared.chat_model, "llm")):
        source = Path(str(module.__file__)).read_text("utf-8")
        model = PROFILES["openai"][f"{stage}.provider"].partition("/")[2]
        known, _, ending = source.partition("Deprecated values:")
        assert f'"{model}"' in known
        assert f'"{model}"' not in ending


def test_a_table_of_the_user_goes_first_and_its_faults_are_named(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('[[model]]\nserver = "*"\nmodel = "gpt-6-*"\ninput = 3\noutput = 0')
    facts = find_model(OPENAI_HOST, "gpt-6-luna", own)
    assert facts is not None
    assert (facts.price.input, facts.price.cached, facts.price.output) == (3.0, None, 0.0)
    assert find_model("localhost", "llama3.2", own) is None
    for number, (text, says) in enumerate(
        [
            ("[[model]]\nserver = 'x'\nmodel = 'y'\ninpt = 3", "model 1 has inpt"),
            ("[[model]]\nserver = 'x'\nmodel = 'y'\ninput = -3", "input is no price"),
            ("[[model]]\nserver = 'x'\nmodel = 'y'\ninput = nan", "input is no price"),
            ("[[model]]\nserver = 'x'\nmodel = 'y'\nshutdown = 'soon'", "shutdown is no date"),
            ("[[model]]\nserver = 'x'", "model must be a text"),
            ("model = 3", "no list of models"),
            ("[[", "prices:"),
        ]
    ):
        bad = tmp_path / f"{number}.toml"
        bad.write_text(text)
        with pytest.raises(UsageError, match=says):
            find_model(OPENAI_HOST, "gpt-6-luna", bad)
    with pytest.raises(UsageError, match="cannot be read"):
        find_model(OPENAI_HOST, "m", tmp_path / "none.toml")


def test_doctor_shows_it_below_the_stage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with listing({"data": [{"id": "m", "shutdown_date": "2031-05-01"}]}) as url:
        Path("workbench.toml").write_text(f'[llm]\nprovider = "openai/m"\nbase_url = "{url}"')
        run(["doctor", "--profile", "scripted"])
    said = capsys.readouterr().out
    assert "m ends on 2031-05-01" in said
    assert "choose another model" in said
