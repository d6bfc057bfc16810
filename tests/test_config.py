from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from workbench.agent import Agent
from workbench.config import (
    PROFILES,
    Settings,
    change,
    known_settings,
    known_tables,
    load_settings,
    sentences,
)
from workbench.engine.settings import EngineSettings
from workbench.model.errors import MissingError, UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _load(toml: str = "", flags: dict[str, Any] | None = None, **more: Any) -> Settings:
    """Settings with `toml` as the workbench.toml of this folder, and an environment of its own."""
    if toml:
        Path("workbench.toml").write_text(toml)
    more.setdefault("environ", {"XDG_CONFIG_HOME": "/nowhere"})
    return load_settings(flags, **more)


def _wrong(toml: str = "", **more: Any) -> str:
    with pytest.raises(UsageError) as caught:
        _load(toml, **more)
    return str(caught.value)


@pytest.mark.usefixtures("folder")
class TestSources:
    def test_without_any_source_settings_have_their_defaults(self) -> None:
        settings = _load()
        assert isinstance(settings, EngineSettings)
        assert (settings.profile, settings.stt.provider, settings.vad.provider) == (
            "embedded",
            "whisper/tiny.en",
            "silero",
        )
        assert (settings.file, settings.origin("vad.threshold")) == (None, "default")

    def test_each_source_of_settings_overrides_the_next(self) -> None:
        given: dict[str, Any] = {
            "environ": {"WORKBENCH_LLM__PROVIDER": "from/environ", "WORKBENCH_VAD__THRESHOLD": "0.3"},
            "toml": '[llm]\nprovider = "from/file"\n[vad]\nthreshold = 0.4\n[turn]\nsilence_ms = 500\n',
            "flags": {"llm.provider": "from/flag", "vad.threshold": None},
            "agent": Agent(instructions="", llm="from/agent", stt="from/agent"),
        }
        settings = _load(**given)
        assert settings.llm.provider == "from/flag"
        assert (settings.vad.threshold, settings.origin("vad.threshold")) == (0.3, "WORKBENCH_VAD__THRESHOLD")
        assert (settings.turn.silence_ms, settings.origin("turn.silence_ms")) == (500, "workbench.toml:6")
        assert (settings.stt.provider, settings.origin("stt.provider")) == ("from/agent", "agent file")
        assert settings.origin("tts.provider") == "profile embedded"
        assert _load(**{**given, "flags": {}}).llm.provider == "from/environ"
        assert _load(**{**given, "flags": {}, "environ": {}}).llm.provider == "from/file"
        assert _load("x = 1".replace("x = 1", "\n"), agent=given["agent"]).llm.provider == "from/agent"

    def test_the_file_of_this_folder_is_read_or_else_the_users(self, tmp_path: Path) -> None:
        home = tmp_path / "config" / "workbench"
        home.mkdir(parents=True)
        (home / "workbench.toml").write_text("[vad]\nthreshold = 0.7")
        environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
        assert _load(environ=environ).vad.threshold == 0.7
        assert _load("[vad]\nthreshold = 0.6", environ=environ).vad.threshold == 0.6
        other = tmp_path / "other.toml"
        other.write_text("[vad]\nthreshold = 0.8")
        assert _load(config_path=other).vad.threshold == 0.8
        assert "there is no settings file" in _wrong(config_path=tmp_path / "missing.toml")

    def test_values_become_what_their_setting_takes(self) -> None:
        environ = {
            "WORKBENCH_AUDIO__INPUT": "3",
            "WORKBENCH_TURN__ADAPT": "no",
            "WORKBENCH_SCRIPT": '{"user": ["Hi."]}',
        }
        settings = _load('models_path = "weights"\n[audio]\noutput = "USB"\n', environ=environ)
        assert (settings.audio.input, settings.audio.output, settings.turn.adapt) == (3, "USB", False)
        assert (settings.models_path, settings.script) == (Path("weights"), {"user": ["Hi."]})
        assert _load('[script]\nuser = ["Hello."]\nstt_ms = 5').script == {"user": ["Hello."], "stt_ms": 5}

    def test_variables_of_other_programs_are_ignored(self) -> None:
        _load(environ={"WORKBENCH_TEST_ALL": "1", "WORKBENCHES": "x"})


@pytest.mark.usefixtures("folder")
class TestProfiles:
    @pytest.mark.parametrize("name", PROFILES)
    def test_built_in_profiles(self, name: str) -> None:
        settings = _load(flags={"profile": name})
        assert settings.stt.provider == PROFILES[name]["stt.provider"]

    def test_profiles_of_the_users_own_extend_others(self) -> None:
        toml = """
            profile = "mine"
            [turn]
            silence_ms = 300
            [profiles.mine]
            extends = "base"
            llm.provider = "openai/llama3"
            [profiles.mine.turn]
            silence_ms = 700
            max_silence_ms = 900
            [profiles.base]
            extends = "scripted"
            llm.base_url = "http://127.0.0.1:11434/v1"
            tts.voice = "x"
        """
        settings = _load(toml)
        assert (settings.llm.provider, settings.llm.base_url) == (
            "openai/llama3",
            "http://127.0.0.1:11434/v1",
        )
        assert (settings.stt.provider, settings.tts.voice) == ("scripted", "x")
        assert (settings.turn.silence_ms, settings.turn.max_silence_ms) == (300, 900)
        assert settings.origin("turn.max_silence_ms") == "workbench.toml:10"

    @pytest.mark.parametrize(
        ("toml", "says"),
        [
            (
                'profile = "scriptd"',
                "no profile is called 'scriptd' – did you mean scripted? – there are: embedded, scripted, openai",
            ),
            ('profile = "zzz"', "there are: embedded, scripted, openai"),
            ("profile = [1]", "no profile is called [1]"),
            (
                'profile = "a"\n[profiles.a]\nextends = "b"\n[profiles.b]\nextends = "a"',
                "extend each other: a → b → a",
            ),
            (
                'profile = "a"\n[profiles.a]\nturn.silnce_ms = 1',
                "workbench.toml:3: turn.silnce_ms is no setting",
            ),
            ("profiles = 3", "profiles are tables"),
            ("[profiles]\na = 3", "profiles are tables"),
        ],
    )
    def test_errors_in_profiles_are_explained(self, toml: str, says: str) -> None:
        assert says in _wrong(toml)


@pytest.mark.usefixtures("folder")
class TestSecrets:
    ENVIRON: ClassVar = {"OPENAI_API_KEY": "sk-123", "OPENAI_BASE_URL": "http://me:pw@host/v1"}

    def test_the_openai_key_is_for_stages_that_chose_openai(self) -> None:
        settings = _load('[llm]\nprovider = "openai/x"', environ=self.ENVIRON)
        assert settings.llm.api_key is not None
        assert settings.llm.api_key.get_secret_value() == "sk-123"
        assert settings.origin("llm.api_key") == "OPENAI_API_KEY"
        assert settings.stt.api_key is None
        assert (
            _load('[llm]\nprovider = "openai/x"\napi_key = "own"', environ=self.ENVIRON).public()["llm"][
                "api_key"
            ]
            == "set"
        )

    def test_secrets_are_never_shown(self) -> None:
        settings = _load(flags={"profile": "openai"}, environ=self.ENVIRON)
        options = settings.options("llm", "gpt-x", "en")
        assert options.api_key is not None
        assert options.api_key.reveal() == "sk-123"
        for shown in (repr(settings), str(settings.public()), settings.model_dump_json(), repr(options)):
            assert "sk-123" not in shown
        assert settings.public()["llm"]["base_url"] == "http://host/v1"
        assert "sk-1" not in _wrong('[llm]\napi_key = ["sk-123"]')


@pytest.mark.usefixtures("folder")
class TestErrors:
    @pytest.mark.parametrize(
        ("toml", "says"),
        [
            ("[vad]\nthreshold = = 1", "workbench.toml:2: not TOML: Invalid value"),
            ('a = "x', "workbench.toml:1: not TOML: Unterminated string"),
            (
                "[vad]\n\ntreshold = 0.4",
                "workbench.toml:3: vad.treshold is no setting – did you mean threshold?",
            ),
            ("[vda]\nthreshold = 0.4", "workbench.toml:2: [vda] is no table of settings – did you mean vad?"),
            ("[vda]", "workbench.toml:1: vda is no setting – did you mean vad?"),
            ("[turn]\nsilence = 300", "did you mean silence_ms?"),
            ("profil = 'x'", "did you mean profile?"),
            ("vad = 3", "workbench.toml:1: vad is a table of settings – write [vad]"),
            (
                "[vad]\nthreshold = 7",
                "toml:2: vad.threshold = 7: should be less than or equal to 0.99 – allowed: ≥ 0.01 and ≤ 0.99",
            ),
            ("[vad]\nthreshold = nan", "vad.threshold = nan: not a number to work with"),
            (
                "[vad]\nthreshold = 'loud'",
                "workbench.toml:2: vad.threshold = 'loud': should be a valid number",
            ),
            (
                "[bargein]\nmode = 'fulll'",
                "bargein.mode = 'fulll': should be 'full' or 'half' – did you mean full?",
            ),
            ("[audio]\ninput = []", "audio.input = []"),
            ("[stt]\nprovider = 3", "workbench.toml:2: stt.provider = 3: should be a valid string"),
            (
                '[llm]\nbase_url = "not a url"',
                "toml:2: llm.base_url = 'not a url': no http address – write it like http://localhost:11434/v1",
            ),
            ('[llm]\nbase_url = "http:// x"', "llm.base_url = 'http:// x': no http address"),
            ('[llm]\nbase_url = "http://x:99999"', "no http address"),
            ('[llm]\nbase_url = "me:pw@host"', "llm.base_url = 'host': no http address"),
            ("script = 3", "script = 3: should be a valid dictionary"),
            ("[turn.deep]\nx = 1", "[turn.deep] is no table"),
        ],
    )
    def test_errors_in_the_file_name_line_and_setting(self, toml: str, says: str) -> None:
        assert says in _wrong(toml)

    def test_errors_from_other_sources_name_the_source(self) -> None:
        assert "WORKBENCH_VAD__TRESHOLD: vad.treshold is no setting" in _wrong(
            environ={"WORKBENCH_VAD__TRESHOLD": "1"}
        )
        assert "WORKBENCH_SCRIPT: script = '{': no table" in _wrong(environ={"WORKBENCH_SCRIPT": "{"})
        assert "flag: turn.silence_ms = 'x'" in _wrong(flags={"turn.silence_ms": "x"})

    def test_files_that_cannot_be_read(self, tmp_path: Path) -> None:
        strange = tmp_path / "strange.toml"
        strange.write_bytes(b"a = '\xff'")
        assert "is not UTF-8" in _wrong(config_path=strange)


@pytest.mark.usefixtures("folder")
def test_a_setting_changes_while_a_session_runs() -> None:
    settings = _load()
    change(settings, "turn.silence_ms", 500)
    change(settings, "stt.provider", "openai/x")
    assert (settings.turn.silence_ms, settings.stt.provider) == (500, "openai/x")
    assert settings.origin("turn.silence_ms") == "changed while running"
    for name, value, says in [
        (
            "turn.silence_ms",
            -3,
            "turn.silence_ms = -3: should be greater than or equal to 50 – allowed: ≥ 50 and ≤ 5000",
        ),
        ("turn.silnce_ms", 3, "did you mean silence_ms?"),
        ("vad", 3, "is a table"),
    ]:
        with pytest.raises(UsageError) as caught:
            change(settings, name, value)
        assert says in str(caught.value)
    assert settings.turn.silence_ms == 500


def test_every_setting_has_a_sentence() -> None:
    told = sentences()
    assert [
        name for name in [*known_settings(), *known_tables()] if not told.get(name, "").endswith((".", "…"))
    ] == []


@pytest.mark.usefixtures("folder")
class TestRequests:
    """Headers, fields and manner of requests as settings."""

    def test_tables_are_set_in_the_file_by_flag_and_in_the_environment(self) -> None:
        toml = '[llm.extra_body]\ntemperature = 0.2\n[llm.headers]\nX-Title = "demo"'
        settings = _load(toml)
        assert settings.llm.extra_body == {"temperature": 0.2}
        assert settings.llm.headers["X-Title"].get_secret_value() == "demo"
        for text in ('{"top_k": 3, "stop": ["x"]}', '{top_k = 3, stop = ["x"]}'):
            wanted = {"top_k": 3, "stop": ["x"]}
            assert _load(flags={"llm.extra_body": text}).llm.extra_body == wanted
            assert _load(environ={"WORKBENCH_LLM__EXTRA_BODY": text}).llm.extra_body == wanted

    def test_one_entry_is_added_to_its_table(self) -> None:
        toml = "[llm.extra_body]\ntemperature = 0.2\nseed = 1"
        flags = {"llm.extra_body.temperature": "0.9", "llm.extra_body.user": "ada", "llm.headers.X-A": "1"}
        environ = {"WORKBENCH_LLM__EXTRA_BODY__THINK": "false"}
        settings = _load(toml, flags=flags, environ=environ)
        assert settings.llm.extra_body == {"temperature": 0.9, "seed": 1, "user": "ada", "think": False}
        assert settings.llm.headers["X-A"].get_secret_value() == "1"
        assert settings.origin("llm.extra_body") == "flag"

    def test_one_entry_is_added_to_the_table_of_a_provider(self) -> None:
        toml = '[providers.near]\nprovider = "openai/x"\n[providers.near.extra_body]\nseed = 1'
        flags = {"providers.near.extra_body.top_k": "3", "providers.near.headers.X-A": "1"}
        flags |= {"providers.extra_body.provider": "openai/y", "providers.headers.extra_body.a": "true"}
        environ = {"WORKBENCH_PROVIDERS__NEAR__EXTRA_BODY__THINK": "false"}
        providers = _load(toml, flags=flags, environ=environ).providers
        assert providers["near"].extra_body == {"seed": 1, "think": False, "top_k": 3}
        assert providers["near"].headers["X-A"].get_secret_value() == "1"
        assert providers["extra_body"].provider == "openai/y"
        assert providers["headers"].extra_body == {"a": True}

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("llm.extra_body", "temperature=1", "llm.extra_body = 'temperature=1': no table"),
            ("llm.extra_body", "[1]", "no table: write it like"),
            ("llm.extra_body", '{"stream": false}', "stream is the conversation's own"),
            ("llm.extra_body.messages", "[]", "messages is the conversation's own"),
            ("llm.extra_body", "{a = nan}", "a cannot be sent as JSON"),
            ("llm.extra_body", "{a = 2026-01-01}", "a cannot be sent as JSON"),
            ("llm.headers", '{"a b": "sesame1"}', "llm.headers = …: a header's name has letters"),
            ("llm.headers", '{"X-A": "sesame\\n1"}', "llm.headers = …: the value of X-A has characters"),
            ("llm.headers", '{"X-A": ["sesame"]}', "llm.headers = …: should be a valid string"),
            (
                "llm.headers.X-A",
                "sesam\N{LATIN SMALL LETTER E WITH ACUTE}",
                "the value of X-A has characters",
            ),
            ("tts.response_format", "aac", "allowed: pcm, wav, flac, mp3, opus"),
            ("tts.response_format", "mp4", "did you mean mp3?"),
            (
                "tts.speed",
                "9",
                "tts.speed = '9': should be less than or equal to 4 – allowed: ≥ 0.25 and ≤ 4",
            ),
            ("tts.speed", "fast", "should be a valid number"),
            ("stt.speed", "1", "stt.speed is no setting"),
            ("llm.extra_bdy", "{}", "did you mean extra_body?"),
            ("llm.voice.x", "1", "[llm.voice] is no table of settings"),
        ],
    )
    def test_what_cannot_be_is_said_without_secrets(self, name: str, value: str, says: str) -> None:
        for said in (
            _wrong(flags={name: value}),
            _wrong(environ={f"WORKBENCH_{name.upper().replace('.', '__')}": value}),
        ):
            assert says.lower() in said.lower()
            assert "sesam" not in said

    def test_secrets_are_shown_nowhere_and_may_be_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        url = "http://me:sesame@h/v1?key=sesame1"
        toml = f'[llm]\napi_key = "${{GROQ_KEY}}"\nbase_url = "{url}"\n[llm.headers]\nX-A = "${{OTHER}}"'
        settings = _load(toml)
        assert "sesame" not in json.dumps(settings.public())
        assert settings.public()["llm"]["headers"] == {"X-A": "set"}
        monkeypatch.delenv("GROQ_KEY", raising=False)
        with pytest.raises(MissingError, match=r"llm\.api_key: GROQ_KEY is not set"):
            settings.options("llm", "m", "en")
        monkeypatch.setenv("GROQ_KEY", "gsk-1234567")
        with pytest.raises(MissingError, match=r"llm\.headers\.X-A: OTHER is not set"):
            settings.options("llm", "m", "en")
        monkeypatch.setenv("OTHER", "sesame2")
        options = settings.options("llm", "m", "en")
        assert options.api_key is not None
        assert options.api_key.reveal() == "gsk-1234567"
        assert {name: value.reveal() for name, value in options.headers.items()} == {"X-A": "sesame2"}
        monkeypatch.setenv("OTHER", "two\nlines")
        with pytest.raises(UsageError, match="the value of X-A has characters that no header has"):
            settings.options("llm", "m", "en")

    def test_a_built_in_profile_sets_nothing_for_the_provider_of_somebody_else(self) -> None:
        profile = {"profile": "openai"}
        assert _load(flags=profile).llm.extra_body == {"reasoning_effort": "none"}
        assert _load(flags={**profile, "llm.provider": "openai/llama3.2"}).llm.extra_body == {}
        assert _load('[tts]\nprovider = "piper"', flags=profile).tts.voice is None
        assert _load(flags={**profile, "llm.extra_body.reasoning_effort": "low"}).llm.extra_body == {
            "reasoning_effort": "low"
        }

    def test_words_are_a_list_or_a_text(self) -> None:
        assert _load('[llm]\nomit = ["strict"]').llm.omit == ("strict",)
        assert _load(flags={"llm.omit": "strict, stream_options"}).llm.omit == ("strict", "stream_options")
