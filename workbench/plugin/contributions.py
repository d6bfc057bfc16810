"""What a hook may give: the shape of every value that a plugin brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from workbench.plugin.foreign_calls import WrongValueError, describe_value
from workbench.plugin.values import Check, Exporter, Panel, Provider, ProviderStage, TransportProvider

KINDS = {
    "workbench_tools": "tool",
    "workbench_providers": "provider",
    "workbench_transports": "transport",
    "workbench_commands": "command",
    "workbench_tui_panels": "terminal panel",
    "workbench_notebook_panels": "notebook panel",
    "workbench_readers": "reader",
    "workbench_exporters": "exporter",
}
"""The hooks that bring things, and what one of them is called."""


def check_contributions(hook: str, items: Any) -> list[Any]:
    """Return what a hook gave; WrongValueError for what it must not give. A look at it may raise anything."""
    if not isinstance(items, list | tuple):
        raise WrongValueError(f"gave {describe_value(items)} and no list")
    for item in items:
        if (misfit := _SHAPES[hook](item)) is not None:
            raise WrongValueError(f"gave {describe_value(item)}: {misfit}")
    return list(items)


def _tool(item: Any) -> str | None:
    if isinstance(getattr(item, "name", None), str):  # the class is above plugins
        return None
    return "decorate it with @tool" if callable(item) else "no tool"


def _provider(item: Any) -> str | None:
    if not isinstance(item, Provider):
        return "no Provider"
    if item.stage not in get_args(ProviderStage):
        return f"{item.stage!r:.40} is none of the stages {', '.join(get_args(ProviderStage))}"
    return _made(item)


def _made(item: Any) -> str | None:
    if not isinstance(item.name, str) or not item.name or any(sign in item.name for sign in "/ \t\n"):
        return "a name has no spaces and no /"
    return None if callable(item.make) else "make is no function"


def _command(item: Any) -> str | None:
    import click  # 20 ms; the plugin has paid it

    if not isinstance(item, click.Command):
        return "no click.Command"
    return None if item.name else "a command needs a name"


def _of(kind: type[Any]) -> Callable[[Any], str | None]:
    return lambda item: _made(item) if isinstance(item, kind) else f"no {kind.__name__}"


def _reader(item: Any) -> str | None:
    return None if callable(item) else "no function that makes a reader"


def _check(item: Any) -> str | None:
    if not isinstance(item, Check):
        return "no Check"
    return None if item.state in ("ok", "note", "missing") else "state is ok, note or missing"


_SHAPES: dict[str, Callable[[Any], str | None]] = {
    "workbench_tools": _tool,
    "workbench_providers": _provider,
    "workbench_transports": _of(TransportProvider),
    "workbench_commands": _command,
    "workbench_tui_panels": _of(Panel),
    "workbench_notebook_panels": _of(Panel),
    "workbench_readers": _reader,
    "workbench_exporters": _of(Exporter),
    "workbench_checks": _check,
}
