"""Public names of a package, imported when they are first asked for: `import workbench` must cost next to nothing."""

from __future__ import annotations

TYPE_CHECKING = False  # the module `typing` alone would cost 4 ms, half a Python start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for the package of that name.

    Its names are those that it imports as themselves (`from … import Name as Name`) under `if TYPE_CHECKING:`; this is
    called under the `else:`, so that type checkers find a wrong name. They are read from the source when the first one
    is asked for.
    """
    import sys

    module = sys.modules[package]
    homes: dict[str, str] = {}

    def get(name: str) -> Any:
        if not homes and (name == "__all__" or not name.startswith("__")):
            homes.update(_homes(str(module.__file__)))
        if name == "__all__":
            return sorted(homes)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(__import__(homes[name], fromlist=[name]), name)
        setattr(module, name, value)
        return value

    return get, lambda: sorted({*vars(module), *get("__all__")})


def _homes(file: str) -> dict[str, str]:
    """Return the module that each public name is imported from."""
    import ast
    from pathlib import Path

    tree = ast.parse(Path(file).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.asname == alias.name
    }
