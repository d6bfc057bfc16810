"""Plugins that come from packages and files, good and bad."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from tests.plugin.published import TOOL, publish
from workbench import hookimpl
from workbench.model.errors import UsageError
from workbench.plugin import loading
from workbench.plugin import manager as module
from workbench.plugin.loading import PluginProblem
from workbench.plugin.manager import (
    PluginRegistry,
    find_provider,
    load_files,
    manager,
    plugin_notices,
    plugin_tools,
    providers,
)
from workbench.plugin.values import Check, Exporter, Panel, Provider


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages that is on the path."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("plugin_", "workbench_plugin_")):
            del sys.modules[name]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> PluginRegistry:
    """The plugins of this process, for this test alone."""
    plugins = PluginRegistry()
    plugins.load_installed()
    monkeypatch.setattr(module, "_loaded", lambda: plugins)
    return plugins


def loaded() -> tuple[PluginRegistry, dict[str, PluginProblem]]:
    plugins = PluginRegistry()
    plugins.load_installed()
    plugins.ask_all()
    return plugins, {problem.plugin: problem for problem in plugins.problems()}


# --- from packages ---------------------------------------------------------------------------------------------------


def test_our_providers_come_by_an_entry_point_too() -> None:
    plugins, problems = loaded()
    assert str(plugins.loaded["builtin"].origin).startswith("voice-workbench ")
    assert {item.stage for _, item in plugins.contributions("workbench_providers")} == {
        "vad",
        "turn",
        "stt",
        "llm",
        "tts",
    }
    assert not problems


def test_a_plugin_of_an_installed_package_is_found(site: Path) -> None:
    publish(site, "dice", TOOL.format(name="dice"), version="0.3")
    plugins, problems = loaded()
    assert str(plugins.loaded["dice"].origin) == "the-dice 0.3"
    assert [(plugin.name, tool.name) for plugin, tool in plugins.contributions("workbench_tools")] == [
        ("dice", "dice")
    ]
    assert not problems


BAD = {
    "cannot be imported: ZeroDivisionError: division by zero (plugin_bad.py:1)": "1 / 0",
    "cannot be imported: sys.exit(3) (plugin_bad.py:2)": "import sys\nsys.exit(3)",
    "cannot be imported: ModuleNotFoundError: No module named 'not_there'": "import not_there",
    "cannot be imported: SyntaxError": "def",
    "needs workbench >=99, this is 0.": 'workbench_requires = ">=99"',
    "needs workbench >=99, this is 0.1": (
        'workbench_requires = ">=99"\nfrom workbench import something_of_99'
    ),
    "workbench_requires = 'new' is no version": 'workbench_requires = "new"',
    "workbench_requires = 3 is no version": "workbench_requires = 3",
    "there is no hook workbench_tols": (
        "from workbench import hookimpl\n@hookimpl\ndef workbench_tols(): return []"
    ),
    "workbench_turn_started takes what, which it is not given": (
        "from workbench import hookimpl\n@hookimpl\ndef workbench_turn_started(what): ..."
    ),
    "workbench_turn_started takes turn, which it is not given": (
        "from workbench import hookimpl\n@hookimpl\ndef workbench_turn_started(*, turn): ..."
    ),
    "workbench_before_tts is no plain function": (
        "from workbench import hookimpl\n@hookimpl\nasync def workbench_before_tts(text): ..."
    ),
    "workbench_tools is a wrapper": (
        "from workbench import hookimpl\n@hookimpl(wrapper=True)\ndef workbench_tools(): yield"
    ),
    "workbench_tools is not decorated": "def workbench_tools(): return []",
    "workbench_tools ZeroDivisionError": (
        "from workbench import hookimpl\n@hookimpl\ndef workbench_tools(): 1 / 0"
    ),
    "workbench_tools gave function <function price": (
        "from workbench import hookimpl\ndef price(): ...\n@hookimpl\ndef workbench_tools(): return [price]"
    ),
    "workbench_tools gave NoneType None and no list": (
        "from workbench import hookimpl\n@hookimpl\ndef workbench_tools(): ..."
    ),
    "workbench_providers gave str 'x': no Provider": (
        "from workbench import hookimpl\n@hookimpl\ndef workbench_providers(): return ['x']"
    ),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_broken_plugin_is_named_and_the_others_work(site: Path, reason: str) -> None:
    publish(site, "bad", BAD[reason])
    publish(site, "dice", TOOL.format(name="dice"))
    plugins, problems = loaded()
    assert problems["bad"].reason.startswith(reason)
    assert problems["bad"].hint
    assert str(problems["bad"]).startswith("bad (the-bad 1.0): ")
    assert set(problems) == {"bad"}
    assert [tool.name for _, tool in plugins.contributions("workbench_tools")] == ["dice"]
    assert "builtin" in plugins.loaded


def test_a_misspelt_hook_is_answered_with_the_nearest_name(site: Path) -> None:
    publish(site, "bad", BAD["there is no hook workbench_tols"])
    assert loaded()[1]["bad"].hint == "did you mean workbench_tools?"


def test_a_plugin_with_one_bad_hook_keeps_the_others(site: Path) -> None:
    publish(site, "bad", TOOL.format(name="dice") + "@hookimpl\ndef workbench_zzz(): ...\n")
    plugins, problems = loaded()
    assert "no hook workbench_zzz" in problems["bad"].reason
    assert [tool.name for _, tool in plugins.contributions("workbench_tools")] == ["dice"]


def test_a_slow_import_is_a_problem_but_the_plugin_works(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SLOW_S", 0.05)
    publish(site, "slow", f"import time\ntime.sleep(0.1)\n{TOOL.format(name='dice')}")
    plugins, problems = loaded()
    assert re.fullmatch(r"took [\d.]+ s to import", problems["slow"].reason)
    assert plugins.loaded["slow"].took_ms >= 100


def test_a_hanging_import_is_left_behind(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "IMPORT_S", 0.05)
    publish(site, "stuck", "import time\ntime.sleep(2)")
    plugins, problems = loaded()
    assert problems["stuck"].reason.startswith("cannot be imported: did not return within ")
    assert "stuck" not in plugins.loaded


def test_a_hanging_hook_is_asked_once(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONTRIBUTE_S", 0.05)
    publish(
        site,
        "hangs",
        "import time\nfrom workbench import hookimpl\n@hookimpl\ndef workbench_tools(): time.sleep(2)",
    )
    plugins, problems = loaded()
    assert problems["hangs"].reason.startswith("workbench_tools did not return within ")
    began = time.monotonic()
    assert plugins.contributions("workbench_tools") == []
    assert time.monotonic() - began < 1


def test_what_an_import_prints_goes_to_standard_error(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(site, "loud", "print('hello')")
    loaded()
    assert capsys.readouterr().out == ""


def test_two_plugins_of_one_name_and_one_plugin_of_two_names(site: Path) -> None:
    publish(site, "dice", TOOL.format(name="dice"))
    publish(site, "dice", TOOL.format(name="dice"), module="plugin_other", package="other")
    about = site / "plugin_twice-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: twice\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[workbench]\nbuiltin = plugin_x\nzz = workbench.providers.plugin\n"
    )
    plugins, problems = loaded()
    assert problems["dice"].reason.startswith("another plugin is called 'dice' too: that of other 1.0")
    assert "that of voice-workbench" in problems["builtin"].reason
    assert "is the same module as the plugin 'builtin'" in problems["zz"].reason
    assert plugins.loaded["builtin"].origin.package == "voice-workbench"


def test_two_plugins_that_contribute_the_same_provider(site: Path, process: PluginRegistry) -> None:
    class Other:
        @hookimpl
        def workbench_providers(self) -> list[Provider]:
            return [Provider("llm", "scripted", "another one", lambda _: None)]

    process.register(Other(), "other")
    with pytest.raises(UsageError, match=r"two llm providers are called 'scripted': builtin .* and other"):
        find_provider("llm", "scripted")
    assert find_provider("stt", "scripted")[0].name == "scripted"
    assert providers("llm")["scripted"].summary != "another one"
    assert "the provider 'llm scripted' is already there" in process.problems()[0].reason


def test_two_threads_load_the_plugins_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module._loaded.cache_clear()
    found: list[PluginRegistry] = []
    threads = [threading.Thread(target=lambda: found.append(manager())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({id(plugins) for plugins in found}) == 1


# --- shapes ----------------------------------------------------------------------------------------------------------


def _bringing(hook: str, items: Any) -> ModuleType:
    body = ModuleType("plugin_made")

    def bring() -> Any:
        return items

    setattr(body, hook, hookimpl(specname=hook)(bring))
    return body


class Hostile:
    @property
    def name(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("hook", "good", "bad"),
    [
        ("workbench_providers", Provider("llm", "x", "", print), Provider("mouth", "x", "", print)),  # type: ignore[arg-type]
        ("workbench_providers", Provider("llm", "x", "", print), Provider("llm", "x/y", "", print)),
        ("workbench_providers", Provider("llm", "x", "", print), Provider("llm", "x", "", 7)),  # type: ignore[arg-type]
        ("workbench_commands", click.Command("x"), click.Command(None)),
        ("workbench_commands", click.Group("x"), print),
        ("workbench_tui_panels", Panel("x", "X", print), Panel("", "X", print)),
        ("workbench_notebook_panels", Panel("x", "X", print), "x"),
        ("workbench_exporters", Exporter("x", "", print), Panel("x", "", print)),  # type: ignore[arg-type]
        ("workbench_readers", print, 7),
        ("workbench_tools", click.Command("x"), Hostile()),
    ],
)
def test_contributions_of_the_wrong_type_are_refused(hook: str, good: Any, bad: Any) -> None:
    plugins = PluginRegistry()
    name = plugins.register(_bringing(hook, (good,)))
    assert [item for _, item in plugins.contributions(hook)] == [good]
    plugins.unregister(name)
    plugins.register(_bringing(hook, [good, bad]))
    assert plugins.contributions(hook) == []
    (problem,) = plugins.problems()
    assert problem.reason.startswith(hook)


def test_checks_run_anew_each_time() -> None:
    class Plugin:
        @hookimpl
        def workbench_checks(self, settings: Any) -> Any:
            return settings

    plugins = PluginRegistry()
    plugins.register(Plugin(), "plugin")
    good = Check("key", "ok", "there")
    assert [check for _, check in plugins.checks([good])] == [good]
    for wrong in (["x"], [Check("key", "bad", "")]):  # type: ignore[arg-type]
        (told,) = [check for _, check in plugins.checks(wrong)]
        assert told.state == "note"
        assert told.found.startswith("workbench_checks gave ")


# --- loose files, and programs ---------------------------------------------------------------------------------------


def test_a_plugin_file_is_loaded_and_again_when_it_changed(tmp_path: Path, process: PluginRegistry) -> None:
    file = tmp_path / "jokes.py"
    file.write_text(
        TOOL.format(name="joke")
        + "@hookimpl\ndef workbench_before_tts(text): ...\n@hookimpl\ndef workbench_checks(): return []\n"
    )
    assert load_files([file]) == [f"plugin {file}: 1 tool, checks, listens to before_tts"]
    assert load_files([file, tmp_path / "." / "jokes.py"]) == []
    assert [(plugin, tool.name) for plugin, tool in plugin_tools()] == [("jokes", "joke")]
    assert plugin_notices() == [("info", f"plugin {file}: 1 tool, checks, listens to before_tts", "")]
    file.write_text(TOOL.format(name="pun"))
    assert load_files([str(file)]) == [f"plugin {file}: 1 tool"]
    assert [tool.name for _, tool in plugin_tools()] == ["pun"]


LOOSE: dict[str, str] = {
    "{file}:2: NameError: name 'x' is not defined": "\nx",
    "{file}:1: invalid syntax": "a b",
    "{file}: needs workbench >=99": "workbench_requires = '>=99'",
    "{file} implements no hook": "x = 1",
    "{file}:2: there is no hook workbench_x": (
        "from workbench import hookimpl\n@hookimpl\ndef workbench_x(): ..."
    ),
    "{file}:1: workbench_tools is not decorated": "def workbench_tools(): return []",
}


@pytest.mark.parametrize("reason", LOOSE)
def test_an_error_in_a_plugin_file_is_named_with_its_line(
    tmp_path: Path, process: PluginRegistry, reason: str
) -> None:
    file = tmp_path / "bad.py"
    file.write_text(LOOSE[reason])
    with pytest.raises(UsageError) as caught:
        load_files([file])
    assert caught.value.reason.startswith(reason.format(file=file))
    assert caught.value.hint
    assert [*process.loaded] == ["builtin"]
    file.write_text(TOOL.format(name="joke"))
    assert load_files([file])


def test_a_missing_plugin_file_is_named(tmp_path: Path, process: PluginRegistry) -> None:
    with pytest.raises(UsageError, match="there is no plugin file"):
        load_files([tmp_path / "none.py"])
    with pytest.raises(UsageError, match="cannot be read"):
        load_files([tmp_path])


def test_two_plugin_files_of_one_name(tmp_path: Path, process: PluginRegistry) -> None:
    (tmp_path / "a").mkdir()
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "jokes.py").write_text(TOOL.format(name="joke"))
    load_files([tmp_path / "jokes.py"])
    with pytest.raises(UsageError, match=r"another plugin is called 'jokes' too: that of .*jokes\.py"):
        load_files([tmp_path / "a" / "jokes.py"])


def test_problems_of_plugins_are_notices_of_a_session(site: Path, process: PluginRegistry) -> None:
    publish(site, "bad", "1 / 0")
    process.load_installed()
    assert ("warning", "bad (the-bad 1.0): cannot be imported") in {
        (level, reason.partition(": Zero")[0]) for level, reason, _ in plugin_notices()
    }


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: _bringing("workbench_zzz", []), "there is no hook workbench_zzz"),
        (lambda: _Odd(), "cannot be looked at"),
    ],
)
def test_register_raises_what_is_wrong(make: Callable[[], Any], reason: str) -> None:
    plugins = PluginRegistry()
    with pytest.raises(UsageError, match=reason):
        plugins.register(make(), "mine")
    assert not plugins.loaded


class _Odd:
    def __dir__(self) -> Any:
        raise ValueError("no")


def test_plugins_are_called_in_pluggys_order() -> None:
    plugins = PluginRegistry()
    for name, how in {"a": {"trylast": True}, "b": {}, "c": {}, "d": {"tryfirst": True}}.items():
        body = ModuleType(name)
        body.workbench_before_tts = hookimpl(**how)(lambda text: None)  # type: ignore[attr-defined,call-overload]
        plugins.register(body)
    assert [plugin.name for plugin, _ in plugins.implementations("workbench_before_tts")] == [*"dcba"]
