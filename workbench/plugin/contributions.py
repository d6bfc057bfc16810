"""What a plugin may contribute: the check of every value that its hooks return."""

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
"""The hooks by which plugins contribute things, and what one of them is called."""


def check_contributions(hook: str, items: Any) -> list[Any]:
    """Return what a hook gave; WrongValueError for what it must not give. A look at it may raise anything."""
    if not isinstance(items, list | tuple):
        raise WrongValueError(f"gave {describe_value(items)} and no list")
    for item in items:
        if (problem := _CHECKS[hook](item)) is not None:
            raise WrongValueError(f"gave {describe_value(item)}: {problem}")
    return list(items)


def _tool(item: Any) -> str | None:
    if isinstance(getattr(item, "name", None), str):  # the class is above plugins
        return None
    return "decorate it with @tool" if callable(item) else "no tool"


def _provider(item: Any) -> str | None:
    if isinstance(item, Provider) and item.stage not in get_args(ProviderStage):
        return f"{item.stage!r:.40} is none of the stages {', '.join(get_args(ProviderStage))}"
    return _instance(Provider)(item)


def _instance(kind: type[Any]) -> Callable[[Any], str | None]:
    def check(item: Any) -> str | None:
        if not isinstance(item, kind):
            return f"no {kind.__name__}"
        if not isinstance(item.name, str) or not item.name or any(sign in item.name for sign in "/ \t\n"):
            return "a name has no spaces and no /"
        return None if callable(item.make) else "make is no function"

    return check


def _command(item: Any) -> str | None:
    import click  # 20 ms; the plugin has paid it

    if not isinstance(item, click.Command):
        return "no click.Command"
    return None if item.name else "a command needs a name"


def _reader(item: Any) -> str | None:
    return None if callable(item) else "no function that makes a reader"


def _check(item: Any) -> str | None:
    if not isinstance(item, Check):
        return "no Check"
    return None if item.state in ("ok", "note", "missing") else "state is ok, note or missing"


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "workbench_tools": _tool,
    "workbench_providers": _provider,
    "workbench_transports": _instance(TransportProvider),
    "workbench_commands": _command,
    "workbench_tui_panels": _instance(Panel),
    "workbench_notebook_panels": _instance(Panel),
    "workbench_readers": _reader,
    "workbench_exporters": _instance(Exporter),
    "workbench_checks": _check,
}
