"""Public names of a package, imported when they are first asked for: `import workbench` must cost next to nothing."""

from __future__ import annotations

TYPE_CHECKING = False  # the module `typing` alone would cost 4 ms, half a Python start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for the package of that name.

    Its names and their homes are what it imports under `if TYPE_CHECKING:`, so that they are written once, where type
    checkers and editors look. They are read from the source when the first name is asked for.
    """
    import sys

    module = sys.modules[package]
    homes: dict[str, str] = {}

    def get(name: str) -> Any:
        if name not in module.__all__:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not homes:
            homes.update(_homes(module))
        value = getattr(__import__(homes[name], fromlist=[name]), name)
        setattr(module, name, value)
        return value

    return get, lambda: sorted({*vars(module), *module.__all__})


def _homes(module: Any) -> dict[str, str]:
    """Return the module that each name is imported from under `if TYPE_CHECKING:`."""
    import ast
    import inspect

    (block,) = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.If)]
    return {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
