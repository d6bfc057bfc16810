"""Chains of providers from settings to the screen: how they are written, checked, missing, swapped and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench import Agent, load_settings, open_session
from workbench.config import Settings
from workbench.model.errors import MissingError, UsageError
from workbench.model.events import FallbackStarted, Notice, ProviderWarmed, Swapped, VoiceChanged
from workbench.providers.checks import provider_checks
from workbench.readers.folds.status import StatusFold
from workbench.session import Session
from workbench.simulation.clock import run_virtual
from workbench.views.screen import ScreenFold
from workbench.views.waterfall import lay_out, waterfall_text

DEAD = "http://127.0.0.1:9/v1"
"""Nobody listens there."""
SERVERS = {"providers.near.provider": "openai/near", "providers.near.base_url": DEAD}


def load(toml: str = "", flags: dict[str, Any] | None = None, **more: Any) -> Settings:
    if toml:
        Path("workbench.toml").write_text(toml)
    return load_settings(flags, **{"environ": {"XDG_CONFIG_HOME": "/nowhere"}, **more})


def wrong(toml: str = "", **more: Any) -> str:
    with pytest.raises(UsageError) as caught:
        load(toml, **more)
    return str(caught.value)


# --- as settings -----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "more",
    [
        {"toml": 'llm = ["a/1", "b", "c/d/e"]'},
        {"toml": '[llm]\nprovider = ["a/1", "b", "c/d/e"]'},
        {"toml": 'profile = "mine"\n[profiles.mine]\nllm = ["a/1", "b", "c/d/e"]'},
        {"flags": {"llm": "a/1, b,c/d/e"}},
        {"flags": {"llm.provider": '["a/1", "b", "c/d/e"]'}},
        {"flags": {"llm.provider": ["a/1", "b", "c/d/e"]}},
        {"environ": {"WORKBENCH_LLM": "a/1,b,c/d/e"}},
        {"environ": {"WORKBENCH_LLM__PROVIDER": "a/1,b,c/d/e"}},
        {"agent": Agent(instructions="", llm=["a/1", "b", "c/d/e"])},
        {"agent": Agent(instructions="", llm="a/1,b,c/d/e")},
    ],
)
def test_a_chain_may_be_written_wherever_a_provider_may(more: Any) -> None:
    settings = load(**more)
    assert settings.chain("llm") == ("a/1", "b", "c/d/e")
    assert settings.chain("stt") == ("whisper/tiny.en",)


def test_one_provider_stays_a_text() -> None:
    for value in ("a/1", ["a/1"], '["a/1"]', " a/1 "):
        assert load(flags={"llm": value}).llm.provider == "a/1"


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("llm = []", "workbench.toml:1: llm.provider = []: no provider is named"),
        ('llm = "[]"', "llm.provider = '[]': no provider is named"),
        ('llm = ["a", ""]', "no provider is named"),
        ("llm = [1]", "llm.provider = [1]: should be a valid string, or a list of them"),
        ('llm = ["a", "b", "a"]', "'a' stands in it twice"),
        ('tts = ["a", "none"]', "'none' stands alone"),
        ('[providers.x]\nbase_urls = "http://x"', "[providers.x] has no base_urls – did you mean base_url?"),
        ('[providers.x]\nbase_url = "x"', "workbench.toml:2: providers.x.base_url = 'x': no http address"),
        ('[providers."a b"]\nvoice = "x"', "no provider can be called that"),
        ("[providers.x]\napi_key = 3", "providers.x.api_key = …"),
        ("providers = 3", "providers = 3"),
        ('[providers]\nx = "y"', "providers"),
    ],
)
def test_what_is_no_chain_is_refused_with_its_place(toml: str, says: str) -> None:
    assert says in wrong(toml)


def test_an_agent_refuses_what_is_no_chain() -> None:
    for chain in (3, [], [3], {"a": 1}):
        with pytest.raises(UsageError, match="llm must be a text, a list of texts or None"):
            Agent(instructions="", llm=chain)  # type: ignore[arg-type]


def test_each_item_has_the_settings_of_its_table_and_no_key_of_others() -> None:
    toml = """
        llm = ["openai/cloud", "near", "openai/far", "llama/x"]
        [providers.near]
        provider = "openai/llama3.2"
        base_url = "http://127.0.0.1:11434/v1"
        [providers."openai/far"]
        base_url = "http://127.0.0.1:8080/v1"
        voice = "v"
    """
    environ = {
        "OPENAI_API_KEY": "sk-cloud",
        "WORKBENCH_PROVIDERS__NEAR__API_KEY": "near-key",
        "XDG_CONFIG_HOME": "/",
    }
    settings = load(toml, environ=environ)
    made = {}
    for item in settings.chain("llm"):
        options = settings.options("llm", "m", "en", item)
        made[item] = (options.base_url, options.api_key.reveal() if options.api_key else None, options.voice)
    assert made == {
        "openai/cloud": (None, "sk-cloud", None),
        "near": ("http://127.0.0.1:11434/v1", "near-key", None),
        "openai/far": ("http://127.0.0.1:8080/v1", None, "v"),
        "llama/x": (None, None, None),
    }
    assert settings.choice("near") == "openai/llama3.2"
    assert settings.choice("openai/far") == "openai/far"
    shown = str(settings.public())
    assert "near-key" not in shown
    assert "sk-cloud" not in shown


def test_a_table_that_is_openai_itself_has_its_key() -> None:
    toml = 'llm = ["one", "llama/x"]\n[providers.one]\nprovider = "openai/gpt"'
    settings = load(toml, environ={"OPENAI_API_KEY": "sk", "XDG_CONFIG_HOME": "/"})
    options = settings.options("llm", "gpt", "en", "one")
    assert options.api_key is not None
    assert options.api_key.reveal() == "sk"


@pytest.mark.parametrize(
    ("base_url", "of_the_key", "has_it"),
    [
        ("https://openrouter.ai/api/v1", None, False),
        ("http://127.0.0.1:11434/v1", None, False),
        ("https://eu.api.openai.com/v1", None, True),
        ("http://api.openai.com/v1", None, False),
        ("https://api.openai.com.example/v1", None, False),
        ("https://not-openai.com/v1", None, False),
        ("http://proxy:8080/other", "http://proxy:8080/v1", True),
        ("http://proxy:8081/v1", "http://proxy:8080/v1", False),
        ("https://api.openai.com/v1", "http://proxy:8080/v1", False),
    ],
)
@pytest.mark.parametrize("place", ["llm", "providers.one"])
def test_the_key_of_the_environment_reaches_the_server_that_it_was_made_for(
    place: str, base_url: str, of_the_key: str | None, has_it: bool
) -> None:
    toml = f'llm = "one"\n[{place}]\nprovider = "openai/gpt"\nbase_url = "{base_url}"'
    environ = {"OPENAI_API_KEY": "sk", "XDG_CONFIG_HOME": "/"}
    environ |= {"OPENAI_BASE_URL": of_the_key} if of_the_key else {}
    item = "one" if place != "llm" else "openai/gpt"
    settings = load(toml if place != "llm" else toml.partition("\n")[2], environ=environ)
    options = settings.options("llm", "gpt", "en", item)
    assert options.base_url == base_url
    assert (options.api_key is not None) == has_it


def test_the_checks_look_at_the_whole_chain() -> None:
    settings = load('llm = ["scripted", "openai/gpt", "near"]\n[providers.near]\nprovider = "openai/x"')
    found = [check.found for check in provider_checks(settings) if check.stage == "llm"]
    assert found == ["there is no key for llm", "there is no key for llm near"]


# --- in a session ----------------------------------------------------------------------------------------------------


def quiet(**values: Any) -> Settings:
    given = {"profile": "scripted", "audio.source": "none", "audio.sink": "none", "record.enabled": False}
    return load(flags={**given, **SERVERS, **values})


def ask(settings: Settings, *texts: str, agent: Agent | None = None, **swap: Any) -> Session:
    async def talk() -> Session:
        async with open_session(settings, agent=agent) as session:
            for number, text in enumerate(texts):
                if number and swap:
                    session.swap(**swap)
                await session.aask(text)
        return session

    return run_virtual(talk())


def events(session: Session, kind: type[Any]) -> list[Any]:
    return [entry.event for entry in session.trace.since(0) if isinstance(entry.event, kind)]


@pytest.mark.parametrize("stage", ["llm", "tts"])
def test_a_server_that_is_away_is_replaced_and_shown(stage: str) -> None:
    session = ask(quiet(**{stage: "near,scripted"}), "Good morning.", "And now?")
    assert [turn.status for turn in session.turns] == ["done", "done"]
    assert session.turns[0].providers[stage] == ("scripted",)
    assert session.turns[0].to_json()["providers"][stage] == ["scripted"]
    first = events(session, FallbackStarted)[0]
    assert (first.stage, first.provider, first.fallback) == (stage, "near", "scripted")
    assert "cannot reach http://127.0.0.1:9" in first.reason
    status, screen = StatusFold(), ScreenFold()
    for entry in session.trace.since(0):
        status.feed(entry)
        screen.feed(entry)
    shown = status.now.providers[stage]
    assert (shown.name, shown.fallbacks, shown.answers) == ("near", ("scripted",), "scripted")
    notes = [line.text for line in screen.lines if "takes over" in line.text]
    assert notes == [f"{stage}: scripted takes over from near"]
    part = {"llm": "llm_first_token", "tts": "tts_first_byte"}[stage]
    bars = {bar.part: bar.provider for bar in lay_out(session.turns[0]).bars}
    assert bars.get(part, "scripted") == "scripted"
    assert waterfall_text(session.turns[0], 80)


def test_what_is_missing_later_in_a_chain_is_said_at_the_start() -> None:
    session = ask(quiet(llm="scripted,openai/gpt"), "Good morning.")
    (notice,) = events(session, Notice)
    assert notice.level == "warning"
    assert "llm openai/gpt needs a key: llm goes on without it, with scripted" in notice.reason
    assert session.turns[0].status == "done"
    session = ask(quiet(llm="openai/gpt,scripted"), "Good morning.")
    assert session.turns[0].status == "done"


def test_where_everything_is_missing_the_session_does_not_begin() -> None:
    with pytest.raises(MissingError, match="openai/gpt needs a key"):
        ask(quiet(llm="openai/gpt,openai/other"), "Good morning.")


@pytest.mark.parametrize(
    ("chain", "says"),
    [
        ("scripted,nobody", "no llm provider is called 'nobody'"),
        ("scripted,scripted/default", "are the same"),
    ],
)
def test_unknown_and_equal_providers_are_refused(chain: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ask(quiet(llm=chain), "Good morning.")

    async def talk() -> None:
        async with open_session(quiet()) as session:
            with pytest.raises(UsageError, match=says):
                session.swap(llm=chain.split(","))
            with pytest.raises(UsageError, match="no provider is named"):
                session.swap(llm=[])

    run_virtual(talk())


def test_a_chain_is_swapped_in_while_it_runs() -> None:
    session = ask(quiet(), "Good morning.", "And now?", llm=["near", "scripted"])
    assert events(session, Swapped) == [Swapped("llm", "near, scripted")]
    assert session.turns[1].status == "done"
    assert session.turns[1].providers["llm"] == ("scripted",)
    assert {event.provider for event in events(session, ProviderWarmed) if event.stage == "llm"} == {
        "scripted",
        "near",
    }


def test_without_a_voice_typed_turns_are_answered_by_text() -> None:
    session = ask(quiet(tts="near"), "Good morning.", "And now?")
    assert [turn.status for turn in session.turns] == ["done", "done"]
    assert all(turn.agent_text for turn in session.turns)
    (event,) = events(session, VoiceChanged)
    assert (event.stage, event.state) == ("tts", "lost")
    assert "providers.near.base_url" in event.hint
    status = StatusFold()
    for entry in session.trace.since(0):
        status.feed(entry)
    assert status.now.by_text == "no voice: answers can be read"
