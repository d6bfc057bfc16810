"""The six public modules: their names are there, and what we show others to write imports nothing else of ours."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PUBLIC = [
    "workbench",
    "workbench.notebook",
    "workbench.server",
    "workbench.simulation",
    "workbench.spi",
    "workbench.testing",
]
PAGES = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "decisions"),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
    *sorted((ROOT / "plugins").rglob("*.py")),
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docs_notebooks_and_plugins_import_public_modules_only(path: Path) -> None:
    imported = set(re.findall(r"(?:from|import) (workbench[\w.]*)", path.read_text("utf-8")))
    assert imported <= set(PUBLIC)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_names_that_are_imported_are_there(path: Path) -> None:
    imports = re.findall(r"from (workbench(?:\.\w+)?) import ([\w, ]+)", path.read_text("utf-8"))
    for module, names in imports:
        for name in names.split(","):
            assert hasattr(importlib.import_module(module), name.split()[0])


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_when_asked_for(name: str) -> None:
    module = importlib.import_module(name)
    for public in module.__all__:
        assert getattr(module, public) is not None
        assert public in dir(module)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name
