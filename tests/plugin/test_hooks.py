"""The table of contents, and docs/hooks.md, which lists it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from workbench.plugin import hookspecs
from workbench.plugin.loading import HOOKS
from workbench.plugin.manager import PluginRegistry

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text("utf-8")
LISTED = re.findall(
    r"^### `(workbench_\w+)([^\n]*)`\n\n([^\n]+)\n\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
)


def signature(name: str) -> str:
    """As it stands in the source, without the quotes."""
    told = inspect.signature(getattr(hookspecs, name))
    arguments = ", ".join(f"{one.name}: {one.annotation}" for one in told.parameters.values())
    return f"({arguments}) -> {told.return_annotation}"


def test_the_docs_list_every_hook_in_order() -> None:
    assert [name for name, *_ in LISTED] == [*HOOKS]
    assert len(HOOKS) == 18


@pytest.mark.parametrize("name", HOOKS)
def test_the_docs_have_each_hooks_signature_and_sentence(name: str) -> None:
    ((_, shown, sentence, _),) = [one for one in LISTED if one[0] == name]
    assert shown == signature(name)
    assert sentence == getattr(hookspecs, name).__doc__
    assert "\n" not in sentence


@pytest.mark.parametrize("name", HOOKS)
def test_the_docs_example_of_each_hook_is_a_valid_plugin(name: str) -> None:
    ((*_, code),) = [one for one in LISTED if one[0] == name]
    body = ModuleType("example")
    exec(compile(code, "hooks.md", "exec"), vars(body))
    plugins = PluginRegistry()
    plugins.register(body)
    assert [*plugins.loaded["example"].hooks] == [name]
    plugins.ask_all()
    assert plugins.problems() == []


def test_importing_the_hooks_is_cheap() -> None:
    program = (
        "import sys; from workbench import hookimpl; import workbench.plugin.hookspecs;"
        "print(*{'numpy', 'pydantic', 'click', 'asyncio', 'textual'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
