"""The plugins of this process: from the entry-point group `workbench` (ours too), from files, from a program.

One that cannot be used does not affect the others: what is wrong with it is a `PluginProblem`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pluggy import HookImpl

from workbench.model.errors import UsageError
from workbench.plugin.contributions import KINDS, check_contributions
from workbench.plugin.foreign_calls import HookError, call_in_thread
from workbench.plugin.loading import (
    HOOKS,
    HookRegistry,
    Origin,
    Plugin,
    PluginProblem,
    import_plugin,
    installed_plugins,
    load_plugin_file,
)
from workbench.plugin.values import Check, Exporter, Panel, Provider, ProviderStage, TransportProvider

CONTRIBUTE_S = 5.0
"""How long a plugin may take to return what it contributes, s."""
CHECK_S = 15.0
"""How long its checks may take, s: ours play chirps and listen for 4 s."""
SESSION_HOOKS = tuple(name for name in HOOKS if name not in KINDS and name != "workbench_checks")


class PluginRegistry:
    """Plugins by name, what they contribute, and what is wrong with them. Safe to use from any thread once loaded."""

    def __init__(self) -> None:
        self.loaded: dict[str, Plugin] = {}
        self._problems: list[PluginProblem] = []
        self._hooks = HookRegistry()
        self._contributions: dict[tuple[Plugin, str], tuple[list[Any], PluginProblem | None]] = {}
        self._files: dict[Path, tuple[Plugin, bytes]] = {}

    def load_installed(self) -> None:
        """Import every plugin that an entry point names."""
        candidates, problems = installed_plugins()
        self._problems += problems
        for candidate in candidates:
            plugin, problems = import_plugin(candidate)
            self._problems += problems
            if plugin is not None:
                self._problems += self._add(plugin)

    def load_file(self, file: Path) -> Plugin:
        """Load a loose plugin, again only if its file has changed. UsageError with the place of what is wrong."""
        key = file.resolve()
        source = file.read_bytes() if file.is_file() else b""
        if key in self._files:
            loaded, loaded_source = self._files[key]
            if loaded_source == source:
                return loaded
            self.unregister(loaded.name)
        plugin = load_plugin_file(file)
        problems = self._add(plugin)
        if not problems and not plugin.hooks:
            hint = "decorate functions with @hookimpl: docs/hooks.md lists their names"
            problems = [_problem(plugin, None, f"{file} implements no hook", hint)]
        if problems:
            self._remove(plugin)
            raise UsageError(problems[0].reason, problems[0].hint)
        self._files[key] = plugin, source
        return plugin

    def register(self, body: Any, name: str | None = None) -> str:
        """Add a plugin that a program made, and return its name. UsageError for what is wrong with it."""
        plugin = Plugin(name or str(getattr(body, "__name__", type(body).__name__)), Origin(), body)
        if problems := self._add(plugin):
            self._remove(plugin)
            raise UsageError(str(problems[0]), problems[0].hint)
        return plugin.name

    def unregister(self, name: str) -> None:
        """Remove a plugin; sessions that run keep what they have of it."""
        self._remove(self.loaded[name])

    def _remove(self, plugin: Plugin) -> None:
        if self.loaded.get(plugin.name) is plugin:
            del self.loaded[plugin.name]
            self._hooks.unregister(name=plugin.name)
            self._files = {key: entry for key, entry in self._files.items() if entry[0] is not plugin}
            self._contributions = {
                key: items for key, items in self._contributions.items() if key[0] is not plugin
            }

    def _add(self, plugin: Plugin) -> list[PluginProblem]:
        """Register a plugin with those of its hooks that can be called; return what is wrong with the others."""
        if plugin.name in self.loaded:
            reason = (
                f"another plugin is called {plugin.name!r} too: that of {self.loaded[plugin.name].origin}"
            )
            return [_problem(plugin, None, reason, "give one of them another name")]
        twin = next((other for other in self.loaded.values() if other.body is plugin.body), None)
        if twin is not None:
            reason = f"is the same module as the plugin {twin.name!r} of {twin.origin}"
            return [_problem(plugin, None, reason, "name it by one entry point")]
        self._hooks.refused.clear()
        try:
            self._hooks.register(plugin.body, plugin.name)
        except Exception as error:  # noqa: BLE001  # dir() and getattr run a stranger's code
            return [_problem(plugin, None, f"cannot be looked at: {error!r:.200}", "look into it")]
        self.loaded[plugin.name] = plugin
        plugin.hooks |= {
            hook: impl
            for hook in HOOKS
            for impl in getattr(self._hooks.hook, hook).get_hookimpls()
            if impl.plugin is plugin.body
        }
        return [_problem(plugin, *refused) for refused in self._hooks.refused]

    # --- what they bring ---------------------------------------------------------------------------------------------

    def implementations(self, hook: str) -> list[tuple[Plugin, HookImpl]]:
        """Return who implements a hook in the order of calls: the last registered first (or `tryfirst`, `trylast`)."""
        owners = {id(plugin.body): plugin for plugin in self.loaded.values()}
        impls: Sequence[HookImpl] = getattr(self._hooks.hook, hook).get_hookimpls()
        return [(owners[id(impl.plugin)], impl) for impl in reversed(impls)]

    def contributions(self, hook: str, only: Plugin | None = None) -> list[tuple[Plugin, Any]]:
        """Return what plugins contribute by a hook without arguments, each with its plugin.

        They are asked once; one that fails contributes nothing, and is a problem.
        """
        items: list[tuple[Plugin, Any]] = []
        for plugin in [only] if only else self.loaded.values():
            if hook in plugin.hooks:
                if (plugin, hook) not in self._contributions:
                    self._contributions[plugin, hook] = self._ask(plugin, hook, {})
                items += [(plugin, item) for item in self._contributions[plugin, hook][0]]
        return items

    def _ask(
        self, plugin: Plugin, hook: str, arguments: dict[str, Any], limit_s: float | None = None
    ) -> tuple[list[Any], PluginProblem | None]:
        impl = plugin.hooks[hook]
        job = bind(impl, arguments)
        limit_s = limit_s or CONTRIBUTE_S
        try:
            return call_in_thread(plugin.threads, lambda: check_contributions(hook, job()), limit_s), None
        except HookError as error:
            reason = f"{hook} {error.reason}"
            return [], _problem(plugin, impl.function, reason, "look into it: docs/hooks.md")

    def checks(self, settings: Any) -> Iterator[tuple[Plugin, Check]]:
        """Yield what plugins need and whether it is there now."""
        for plugin, _ in self.implementations("workbench_checks"):
            checks, problem = self._ask(plugin, "workbench_checks", {"settings": settings}, CHECK_S)
            for check in checks:
                yield plugin, check
            if problem is not None:
                yield plugin, Check("check", "note", problem.reason, problem.hint)

    # --- what is wrong with them -------------------------------------------------------------------------------------

    def problems(self) -> list[PluginProblem]:
        """Return all problems that are known by now; call `ask_all` first for those of contributions."""
        failed = [problem for _, problem in self._contributions.values() if problem is not None]
        return [*self._problems, *failed, *self._clashes()]

    def ask_all(self) -> None:
        """Ask every plugin what it contributes."""
        for hook in KINDS:
            self.contributions(hook)

    def _clashes(self) -> Iterator[PluginProblem]:
        """Yield names that two plugins gave to two things of a kind."""
        for hook, kind in KINDS.items():
            if hook == "workbench_readers":
                continue
            owners: dict[tuple[str, ...], Plugin] = {}
            for plugin in self.loaded.values():
                for item in self._contributions.get((plugin, hook), ([], None))[0]:
                    key = (item.stage, item.name) if isinstance(item, Provider) else (str(item.name),)
                    if key in owners:
                        clash = describe_clash(owners[key], plugin)
                        reason = f"the {kind} {' '.join(key)!r} is already there: {clash}"
                        yield _problem(plugin, None, reason, "uninstall one of them, or rename it")
                    owners.setdefault(key, plugin)


def describe_clash(first: Plugin, second: Plugin) -> str:
    """Name two plugins that contribute the same."""
    return f"{first.name} ({first.origin}) and {second.name} ({second.origin}) bring it"


def bind(impl: HookImpl, arguments: dict[str, Any]) -> Callable[[], Any]:
    """Return a call of the implementation with as many of the arguments as it takes."""
    taken = [arguments[name] for name in impl.argnames]
    return lambda: impl.function(*taken)


def _problem(plugin: Plugin, function: Callable[..., Any] | None, reason: str, hint: str) -> PluginProblem:
    """Return a problem; that of a loose file has its line."""
    code = getattr(function, "__code__", None)
    if plugin.origin.file is not None and code is not None:
        reason = f"{plugin.origin.file}:{code.co_firstlineno}: {reason}"
    return PluginProblem(plugin.name, plugin.origin, reason, hint)


# --- of this process -------------------------------------------------------------------------------------------------


_LOCK = threading.Lock()


def manager() -> PluginRegistry:
    """The plugins of this process, loaded once."""
    with _LOCK:  # a second thread waits, and does not load them again
        return _loaded()


@cache
def _loaded() -> PluginRegistry:
    plugins = PluginRegistry()
    plugins.load_installed()
    return plugins


def load_files(files: Iterable[Path | str]) -> list[str]:
    """Load loose plugins, and return a line about each that is new. UsageError for one that is broken."""
    before = set(manager().loaded.values())
    loaded = [manager().load_file(Path(file)) for file in files]
    return [describe_plugin(plugin) for plugin in dict.fromkeys(loaded) if plugin not in before]


def describe_plugin(plugin: Plugin) -> str:
    """Return what a plugin contributes: `plugin jokes.py: 2 tools, 1 provider`."""
    parts = []
    for hook, kind in KINDS.items():
        if hook in plugin.hooks:
            count = len(manager().contributions(hook, plugin))
            parts.append(f"{count} {kind}{'' if count == 1 else 's'}")
    if "workbench_checks" in plugin.hooks:
        parts.append("checks")
    if notified := [hook.removeprefix("workbench_") for hook in SESSION_HOOKS if hook in plugin.hooks]:
        parts.append(f"listens to {', '.join(notified)}")
    return f"plugin {plugin.origin.file or plugin.name}: {', '.join(parts)}"


def plugin_notices() -> list[tuple[Literal["info", "warning"], str, str]]:
    """Return (level, reason, hint) of what a session reports of plugins: loose ones, and problems.

    It asks them what they contribute, so it may take a while.
    """
    manager().ask_all()
    notices: list[tuple[Literal["info", "warning"], str, str]] = [
        ("info", describe_plugin(plugin), "") for plugin in manager().loaded.values() if plugin.origin.file
    ]
    return [*notices, *(("warning", str(problem), problem.hint) for problem in manager().problems())]


# --- what they contribute, by kind -----------------------------------------------------------------------------------


def providers(stage: ProviderStage) -> dict[str, Provider]:
    """Return the installed providers of a stage by name; of two that have the same name the first."""
    by_name: dict[str, Provider] = {}
    for _, provider in manager().contributions("workbench_providers"):
        if provider.stage == stage:
            by_name.setdefault(provider.name, provider)
    return by_name


def find_provider(stage: ProviderStage, choice: str) -> tuple[Provider, str]:
    """Return the provider and the model that `name[/model]` means; UsageError lists what there is."""
    name, _, model = choice.partition("/")
    matches = [
        (plugin, provider)
        for plugin, provider in manager().contributions("workbench_providers")
        if (provider.stage, provider.name) == (stage, name)
    ]
    if not matches:
        hint = f"installed: {', '.join(sorted(providers(stage)))}"
        raise UsageError(f"no {stage} provider is called {name!r}", hint)
    if len(matches) > 1:
        clash = describe_clash(matches[0][0], matches[1][0])
        reason = f"two {stage} providers are called {name!r}: {clash}"
        raise UsageError(reason, "uninstall one of them, or rename it")
    provider: Provider = matches[0][1]
    if not model and not provider.models:
        raise UsageError(f"{stage} provider {name!r} needs a model", f"write {name}/MODEL")
    if model and provider.onboard and provider.models and model not in provider.models:
        hint = f"it has: {', '.join(provider.models)}"
        raise UsageError(f"{stage} provider {name!r} has no model {model!r}", hint)
    return provider, model or provider.models[0]


def transports() -> dict[str, TransportProvider]:
    """Return the installed transports by name; of two that have the same name the first."""
    return {item.name: item for _, item in reversed(manager().contributions("workbench_transports"))}


def plugin_tools() -> list[tuple[str, Any]]:
    """Return (plugin, tool) for every tool of plugins, also two of one name: the registry reports those."""
    return _by_plugin("workbench_tools")


def tui_panels() -> list[tuple[str, Panel]]:
    """Return (plugin, panel) for the terminal."""
    return _by_plugin("workbench_tui_panels")


def notebook_panels() -> list[tuple[str, Panel]]:
    """Return (plugin, panel) for the notebook."""
    return _by_plugin("workbench_notebook_panels")


def exporters() -> list[tuple[str, Exporter]]:
    """Return (plugin, exporter)."""
    return _by_plugin("workbench_exporters")


def _by_plugin(hook: str) -> list[tuple[str, Any]]:
    return [(plugin.name, item) for plugin, item in manager().contributions(hook)]
