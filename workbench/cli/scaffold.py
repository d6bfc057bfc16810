"""What `workbench plugins new` writes: an installable package with one tool and a test that passes."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path

from workbench import __version__
from workbench.model.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,60}[A-Za-z0-9])?")
"""What a distribution may be called."""

FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
description = "A tool for voice agents: {name}."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["voice-workbench>={version}"]

[project.optional-dependencies]
test = ["pytest"]

# By this line workbench finds the plugin, once the package is installed.
[project.entry-points.workbench]
"{name}" = "{module}.plugin"

[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["src"]
""",
    "README.md": """\
# {name}

A plugin of workbench (`voice-workbench`), with one tool, `{module}`, in `src/{module}/plugin.py`.

    pip install -e ".[test]"
    pytest
    workbench plugins show {name}

Then every agent has the tool. Ask for a die to be rolled:

    workbench tui
""",
    "src/{module}/__init__.py": '''\
"""{name}, a plugin of workbench."""
''',
    "src/{module}/plugin.py": '''\
"""What {name} brings to workbench: add hooks here, `docs/hooks.md` of workbench lists them."""

import random
from typing import Any

from workbench import ToolError, hookimpl, tool


@tool(idempotent=True)
def {module}(sides: int = 6) -> str:
    """Roll a die.

    Args:
        sides: How many sides it has, 2 to 1000.
    """
    if not 2 <= sides <= 1000:
        raise ToolError("A die has 2 to 1000 sides.")
    return f"The die shows {{random.randint(1, sides)}}."


@hookimpl
def workbench_tools() -> list[Any]:
    return [{module}]
''',
    "tests/test_plugin.py": """\
from workbench.testing import check_tool

from {module}.plugin import {module}, workbench_tools


def test_it_keeps_what_a_tool_promises() -> None:
    check_tool({module}, arguments={{"sides": 20}})


def test_it_is_registered() -> None:
    assert workbench_tools() == [{module}]


def test_it_rolls_a_die() -> None:
    assert {module}(sides=2) in ("The die shows 1.", "The die shows 2.")
""",
}
"""By path; braces are filled in."""


def scaffold(name: str, where: Path) -> Path:
    """Write the package into the new folder `name`. UsageError for a name that can't be, or a folder that is there."""
    module = _module(name)
    folder = where / name
    if (spec := _spec(module)) is not None:
        raise UsageError(f"there is a module {module} already: {spec}", f"call it {name}-plugin")
    try:
        folder.mkdir()
        for path, text in FILES.items():
            file = folder / path.format(module=module)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.format(name=name, module=module, version=__version__), encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{folder} is there already", "nothing was written: give another name") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}", "go to another folder") from None
    return folder


def _module(name: str) -> str:
    """The module of a package of that name."""
    module = re.sub(r"[-.]+", "_", name).lower()
    if not NAME.fullmatch(name) or not module.isidentifier():
        hint = "letters, digits and -, beginning with a letter: my-weather"
        raise UsageError(f"{name!r:.80} is no name for a package", hint)
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise UsageError(f"{module} is a word of Python's own", f"call it {name}-plugin")
    return module


def _spec(module: str) -> str | None:
    """The file of an installed module, None if there is none; a mere folder is none."""
    spec = importlib.util.find_spec(module)
    return spec.origin if spec else None
