"""What `workbench plugins new` writes: an installable package with one tool and a test that passes."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path

from workbench import __version__
from workbench.cli.output import template
from workbench.model.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,60}[A-Za-z0-9])?")
"""What a distribution may be called."""

FILES = (
    "pyproject.toml",
    "README.md",
    "src/module/__init__.py",
    "src/module/plugin.py",
    "tests/test_plugin.py",
)
"""Templates in `templates/plugin`; the folder `module` is called like the package's module."""


def scaffold(name: str, parent: Path) -> Path:
    """Write the package into the new folder `name`, and return it.

    Raises UsageError for a name that can't be, or a folder that is there.
    """
    module = _module(name)
    folder = parent / name
    if (spec := _spec(module)) is not None:
        raise UsageError(f"there is a module {module} already: {spec}", f"call it {name}-plugin")
    try:
        folder.mkdir()
        for path in FILES:
            file = folder / path.replace("module", module)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = template(f"plugin/{path}", name=name, module=module, version=__version__)
            file.write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"{folder} is there already", "nothing was written: give another name") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}", "go to another folder") from None
    return folder


def _module(name: str) -> str:
    """Return the module of a package of that name. Raises UsageError."""
    module = re.sub(r"[-.]+", "_", name).lower()
    if not NAME.fullmatch(name) or not module.isidentifier():
        hint = "letters, digits and -, beginning with a letter: my-weather"
        raise UsageError(f"{name!r:.80} is no name for a package", hint)
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise UsageError(f"{module} is a word of Python's own", f"call it {name}-plugin")
    return module


def _spec(module: str) -> str | None:
    """Return the file of an installed module, None if there is none; a mere folder is none."""
    spec = importlib.util.find_spec(module)
    return spec.origin if spec else None
