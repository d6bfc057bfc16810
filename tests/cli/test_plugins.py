"""`workbench plugins`, and what plugins add to other commands."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.published import TOOL, publish
from workbench.__main__ import run
from workbench.plugin import manager as module
from workbench.plugin.manager import PluginRegistry

COMMAND = """
import click
from workbench import hookimpl

@click.command()
@click.argument("who")
def {name}(who):
    \"\"\"Say hello.\"\"\"
    if who == "nobody":
        raise ValueError("nobody is here")
    click.echo(f"hello {{who}}")

@hookimpl
def workbench_commands():
    return [{name}]
"""


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, which is also on the path, and plugins of this test alone."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    made: list[PluginRegistry] = []

    def loaded() -> PluginRegistry:
        if not made:
            made.append(PluginRegistry())
            made[0].load_installed()
        return made[0]

    monkeypatch.setattr(module, "_loaded", loaded)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("plugin_", "workbench_plugin_")):
            del sys.modules[name]


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Standard output of a command."""
    assert run([*arguments]) == code
    return capsys.readouterr().out


def told_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    return json.loads(told(capsys, *arguments, "--json", code=code))


# --- list, show, doctor ----------------------------------------------------------------------------------------------


def test_a_list_imports_nothing(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(desk, "dice", "1 / 0", version="0.3")
    (desk / "workbench.toml").write_text('plugins = ["jokes.py"]')
    assert told(capsys, "plugins", "list", "--plugin", "puns.py").splitlines() == [
        "builtin  voice-workbench 0.1.0",
        "dice     the-dice 0.3",
        "jokes    jokes.py",
        "puns     puns.py",
    ]
    listed = told_json(capsys, "plugins", "list")
    assert listed["plugins"][1] == {"name": "dice", "package": "the-dice", "version": "0.3", "file": None}
    assert listed["problems"] == []
    publish(desk, "dice", "1 / 0", module="plugin_other", package="other")
    assert run(["plugins", "list"]) == 0
    assert "another plugin is called 'dice' too" in capsys.readouterr().err


def test_a_plugin_is_shown(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(desk, "dice", TOOL.format(name="dice"), version="0.3", summary="Rolls \x1b[2Jdice.")
    said = told(capsys, "plugins", "show", "dice")
    assert "the-dice 0.3" in said
    assert "\x1b" not in said
    assert said.endswith("  workbench_tools: dice\n")
    shown = told_json(capsys, "plugins", "show", "dice")
    assert (shown["hooks"], shown["module"]) == ({"workbench_tools": ["dice"]}, "plugin_dice")
    providers = told_json(capsys, "plugins", "show", "builtin")["hooks"]["workbench_providers"]
    assert "llm llama" in providers


def test_a_broken_plugin_is_shown(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(desk, "dice", "1 / 0")
    said = told(capsys, "plugins", "show", "dice", code=1)
    assert "✗ dice (the-dice 1.0): cannot be imported: ZeroDivisionError" in said
    assert told_json(capsys, "plugins", "show", "dice", code=1)["problems"][0]["hint"]


def test_an_unknown_plugin_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "show", "bultin"]) == 2
    assert "did you mean builtin?" in capsys.readouterr().err
    assert run(["plugins", "show", "zzz"]) == 2
    assert "there are: builtin" in capsys.readouterr().err


def test_doctor_lists_plugins_and_problems(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "✓ builtin (voice-workbench" in told(capsys, "plugins", "doctor")
    (desk / "jokes.py").write_text(TOOL.format(name="joke"))
    publish(desk, "late", "1 / 0")
    module.manager().load_installed()
    said = told(capsys, "plugins", "doctor", "--plugin", "jokes.py", code=1)
    assert "✓ jokes (jokes.py): 1 tool; imported in " in said
    assert "✗ late (the-late 1.0): cannot be imported" in said
    found = told_json(capsys, "plugins", "doctor", code=1)
    assert found["ok"] is False
    assert {plugin["name"] for plugin in found["plugins"]} == {"builtin", "jokes"}


def test_workbench_doctor_asks_plugins_too(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "workbench.toml").write_text('[audio]\nsource = "x.wav"\nsink = "none"\n')
    (desk / "jokes.py").write_text(
        "from workbench import hookimpl\nfrom workbench.plugin.values import Check\n"
        "@hookimpl\ndef workbench_checks(settings):\n"
        "    return [Check('humour', 'missing', f'none on {settings.profile}', 'lighten up')]\n"
    )
    publish(desk, "bad", "1 / 0")
    arguments = ["doctor", "--profile", "scripted", "--plugin", "jokes.py", "--json"]
    found = {one["what"]: one for one in json.loads(told(capsys, *arguments, code=3))["findings"]}
    assert found["jokes: humour"] == {
        "what": "jokes: humour",
        "state": "missing",
        "found": "none on scripted",
        "advice": "lighten up",
    }
    assert found["plugin"]["state"] == "note"
    assert "ZeroDivisionError" in found["plugin"]["found"]


# --- new -------------------------------------------------------------------------------------------------------------


def test_a_new_plugin_works_as_it_is(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "new", "my-dice"]) == 0
    assert "wrote my-dice/" in capsys.readouterr().err
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=desk / "my-dice",
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    assert "3 passed" in tested.stdout
    _install(desk / "my-dice", desk)
    shown = told_json(capsys, "plugins", "show", "my-dice")
    assert (shown["package"], shown["version"]) == ("my-dice", "0.1.0")
    assert shown["hooks"] == {"workbench_tools": ["my_dice"]}


def _install(package: Path, site: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site), str(package)],
        check=True,
    )


@pytest.mark.parametrize(
    "name", ["", "9lives", "a b", "../x", "class", "json", "workbench", "ä", "-x", "x" * 99]
)
def test_names_that_no_package_can_have_are_refused(
    name: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plugins", "new", "--", name]) == 2
    assert "  → " in capsys.readouterr().err
    assert [*desk.iterdir()] == []


def test_nothing_is_overwritten(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "dice").mkdir()
    assert run(["plugins", "new", "dice"]) == 2
    assert "dice is there already" in capsys.readouterr().err
    assert [*(desk / "dice").iterdir()] == []
    (desk / "puns").touch()
    assert run(["plugins", "new", "puns"]) == 2


def test_names_are_what_a_project_may_be_called(desk: Path) -> None:
    assert run(["plugins", "new", "My.Puns"]) == 0
    project = tomllib.loads((desk / "My.Puns" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"] == {"workbench": {"My.Puns": "my_puns.plugin"}}


# --- loose plugins ---------------------------------------------------------------------------------------------------


def test_a_loose_plugin_is_never_silent(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk / "there").mkdir()
    (desk / "there" / "jokes.py").write_text(TOOL.format(name="joke") + "print('loaded')\n")
    (desk / "there" / "workbench.toml").write_text('plugins = ["jokes.py"]\n')
    assert run(["config", "validate", "there/workbench.toml"]) == 0
    said = capsys.readouterr()
    assert "plugin there/jokes.py: 1 tool\n" in said.err
    assert said.out == "there/workbench.toml is fine\n"
    monkeypatch.setenv("WORKBENCH_PLUGINS", "there/jokes.py:there/none.py")
    assert run(["plugins", "doctor"]) == 2
    assert "there is no plugin file there/none.py" in capsys.readouterr().err


def test_a_broken_loose_plugin_is_bad_input(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "jokes.py").write_text("\n1 / 0\n")
    for command in (["run", "--source", "none"], ["serve", "--openai"], ["plugins", "doctor"], ["doctor"]):
        assert run([*command, "--plugin", "jokes.py"]) == 2
        assert "jokes.py:2: ZeroDivisionError: division by zero" in capsys.readouterr().err


# --- commands --------------------------------------------------------------------------------------------------------


def test_a_command_of_a_plugin_can_be_called(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Commands of plugins" not in told(capsys, "--help")
    publish(desk, "greet", COMMAND.format(name="hello"))
    said = told(capsys, "--help")
    assert said.index("Commands:") < said.index("Commands of plugins:") < said.index("Example:")
    assert "  hello  Say hello. (greet)\n" in said
    assert told(capsys, "hello", "Ada") == "hello Ada\n"
    assert "Usage: workbench hello" in told(capsys, "hello", "--help")
    assert run(["hello"]) == 2
    assert "Missing argument 'WHO'" in capsys.readouterr().err
    assert run(["helo"]) == 2
    assert "Did you mean hello?" in capsys.readouterr().err


def test_a_command_that_raises_is_its_plugins_fault(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(desk, "greet", COMMAND.format(name="hello"))
    assert run(["hello", "nobody"]) == 1
    said = capsys.readouterr().err
    assert (
        "the command hello of greet (the-greet 1.0) raised ValueError: nobody is here (plugin_greet.py:"
        in said
    )


def test_a_command_of_a_loose_plugin_can_be_called(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "greet.py").write_text(COMMAND.format(name="hello"))
    (desk / "workbench.toml").write_text('plugins = ["greet.py"]')
    assert "  hello  Say hello. (greet)\n" in told(capsys, "--help")
    assert told(capsys, "hello", "Ada") == "hello Ada\n"
    (desk / "workbench.toml").write_text('plugins = ["gone.py"]')
    assert "Plugins: there is no plugin file gone.py" in told(capsys, "--help")


def test_a_command_of_ours_stays_ours(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(desk, "greet", COMMAND.format(name="completion"))
    assert "_WORKBENCH_COMPLETE" in told(capsys, "completion", "bash")
    assert "Say hello" not in told(capsys, "--help")
    said = told(capsys, "plugins", "doctor", code=1)
    assert "greet (the-greet 1.0): its command 'completion' is also one of workbench itself" in said


def test_a_command_that_two_plugins_have_is_an_error(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(desk, "greet", COMMAND.format(name="hello"))
    publish(desk, "other", COMMAND.format(name="hello"))
    assert run(["hello", "Ada"]) == 2
    said = capsys.readouterr().err
    assert "two commands are called 'hello': greet (the-greet 1.0) and other (the-other 1.0) bring it" in said
    assert "the command 'hello' is already there" in told(capsys, "plugins", "doctor", code=1)


def test_help_imports_no_plugin_where_there_is_none() -> None:
    program = (
        "import sys; from workbench.__main__ import run; run(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('pluggy', 'importlib.metadata', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


# --- exporters -------------------------------------------------------------------------------------------------------


@pytest.fixture
def recording(desk: Path, capsys: pytest.CaptureFixture[str]) -> str:
    said = 'script.agent = ["=1+1"]'
    (desk / "workbench.toml").write_text(f'profile = "scripted"\n{said}\n')
    question = str(Path(__file__).parents[1] / "data" / "question.wav")
    arguments = ["--source", question, "--sink", "none", "--fast", "--record", "demo"]
    assert run(["run", *arguments]) == 0
    capsys.readouterr()
    return "demo"


def test_turns_are_exported(recording: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, row = told(capsys, "sessions", "export", recording, "--to", "csv").splitlines()
    assert header.startswith("turn,status,cold,user_text,agent_text,heard_latency_ms,endpointing_ms,")
    assert row.startswith("1,done,0,Hello there.,'=1+1,")
    assert run(["sessions", "export", recording, "--to", "csv", "--out", "turns.csv"]) == 0
    assert (desk / "turns.csv").read_text().splitlines() == [header, row]
    assert run(["sessions", "export", recording, "--to", "csv", "--out", "turns.csv"]) == 2


EXPORTER = """
from workbench import hookimpl
from workbench.plugin.values import Exporter

def count(trace, out):
    out.write(f"{{trace.end > 5}}\\n")

def broken(trace, out):
    out.write("half")
    raise OSError("no server")

@hookimpl
def workbench_exporters():
    return [Exporter("{name}", "counts", lambda: {name})]
"""


def test_an_exporter_of_a_plugin_can_be_chosen(
    recording: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "x.py").write_text(EXPORTER.format(name="count"))
    (desk / "y.py").write_text(EXPORTER.format(name="broken"))
    export = ["sessions", "export", recording, "--to"]
    assert told(capsys, *export, "count", "--plugin", "x.py") == "True\n"
    assert run([*export, "broken", "--plugin", "y.py", "--out", "new"]) == 1
    assert "the exporter broken of y raised OSError: no server (y.py:" in capsys.readouterr().err
    assert not (desk / "new").exists()
    assert run([*export, "xml"]) == 2
    assert "there are – csv: a row for each turn" in capsys.readouterr().err


def test_two_exporters_of_one_name_are_an_error(
    recording: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "x.py").write_text(EXPORTER.format(name="count").replace('"count"', '"csv"'))
    assert run(["sessions", "export", recording, "--to", "csv", "--plugin", "x.py"]) == 2
    assert "two exporters are called 'csv', of builtin and x" in capsys.readouterr().err
