"""The plugins of this process: ours and strangers', by the entry-point group `workbench`, from files, by a program.

One that cannot be used costs nobody else anything: what is wrong with it is a `PluginProblem`.
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

BRING_S = 5.0
"""How long a plugin may take to say what it brings, s."""
CHECK_S = 15.0
"""How long its checks may take, s: ours play chirps and listen for 4 s."""
LISTENING = tuple(name for name in HOOKS if name not in KINDS and name != "workbench_checks")


class PluginRegistry:
    """Plugins by name, what they bring, and what is wrong with them. Safe to use from any thread once loaded."""

    def __init__(self) -> None:
        self.loaded: dict[str, Plugin] = {}
        self._problems: list[PluginProblem] = []
        self._hooked = HookRegistry()
        self._brought: dict[tuple[Plugin, str], tuple[list[Any], PluginProblem | None]] = {}
        self._files: dict[Path, tuple[Plugin, bytes]] = {}

    def load_installed(self) -> None:
        """Import every plugin that an entry point names."""
        found, problems = installed_plugins()
        self._problems += problems
        for one in found:
            plugin, problems = import_plugin(one)
            self._problems += problems
            if plugin is not None:
                self._problems += self._add(plugin)

    def load_file(self, file: Path) -> Plugin:
        """Load a loose plugin; one that is loaded already only if it was changed since.

        Raises UsageError with the place of whatever is wrong with it.
        """
        key = file.resolve()
        source = file.read_bytes() if file.is_file() else b""
        if key in self._files:
            known, was = self._files[key]
            if was == source:
                return known
            self.unregister(known.name)
        plugin = load_plugin_file(file)
        problems = self._add(plugin)
        if problems or not plugin.hooks:
            if self.loaded.get(plugin.name) is plugin:
                self.unregister(plugin.name)
            hint = "decorate functions with @hookimpl: docs/hooks.md lists their names"
            first = problems[0] if problems else _at(plugin, None, f"{file} implements no hook", hint)
            raise UsageError(first.reason, first.hint)
        self._files[key] = plugin, source
        return plugin

    def register(self, body: Any, name: str | None = None) -> str:
        """Add a plugin that a program made, and return its name. Raises UsageError for what is wrong with it."""
        plugin = Plugin(name or str(getattr(body, "__name__", type(body).__name__)), Origin(), body)
        if problems := self._add(plugin):
            if self.loaded.get(plugin.name) is plugin:
                self.unregister(plugin.name)
            raise UsageError(str(problems[0]), problems[0].hint)
        return plugin.name

    def unregister(self, name: str) -> None:
        """Remove a plugin; sessions that run keep what they have of it."""
        plugin = self.loaded.pop(name)
        self._hooked.unregister(name=name)
        self._files = {key: known for key, known in self._files.items() if known[0] is not plugin}
        self._brought = {key: known for key, known in self._brought.items() if key[0] is not plugin}

    def _add(self, plugin: Plugin) -> list[PluginProblem]:
        """Register a plugin with the hooks of it that can be called; what is wrong with the others."""
        if plugin.name in self.loaded:
            there = self.loaded[plugin.name].origin
            reason = f"another plugin is called {plugin.name!r} too: that of {there}"
            return [_at(plugin, None, reason, "give one of them another name")]
        twin = next((other for other in self.loaded.values() if other.body is plugin.body), None)
        if twin is not None:
            reason = f"is the same module as the plugin {twin.name!r} of {twin.origin}"
            return [_at(plugin, None, reason, "name it by one entry point")]
        self._hooked.refused.clear()
        try:
            self._hooked.register(plugin.body, plugin.name)
        except Exception as error:  # noqa: BLE001  # dir() and getattr run a stranger's code
            return [_at(plugin, None, f"cannot be looked at: {error!r:.200}", "look into it")]
        self.loaded[plugin.name] = plugin
        plugin.hooks |= {
            hook: impl
            for hook in HOOKS
            for impl in getattr(self._hooked.hook, hook).get_hookimpls()
            if impl.plugin is plugin.body
        }
        return [_at(plugin, *refused) for refused in self._hooked.refused]

    # --- what they bring ---------------------------------------------------------------------------------------------

    def implementations(self, hook: str) -> list[tuple[Plugin, HookImpl]]:
        """Who implements a hook, in the order in which they are called: the last that came in first, as pluggy does it
        (`tryfirst`, `trylast`)."""
        owners = {id(plugin.body): plugin for plugin in self.loaded.values()}
        impls: Sequence[HookImpl] = getattr(self._hooked.hook, hook).get_hookimpls()
        return [(owners[id(impl.plugin)], impl) for impl in reversed(impls)]

    def contributions(self, hook: str, only: Plugin | None = None) -> list[tuple[Plugin, Any]]:
        """What plugins bring by a hook without arguments, each with its plugin. They are asked once; one that fails
        brings nothing, and is a problem."""
        found: list[tuple[Plugin, Any]] = []
        for plugin in [only] if only else self.loaded.values():
            if hook not in plugin.hooks:
                continue
            key = plugin, hook
            if key not in self._brought:
                self._brought[key] = self._ask(plugin, hook, {})
            found += [(plugin, item) for item in self._brought[key][0]]
        return found

    def _ask(
        self, plugin: Plugin, hook: str, given: dict[str, Any], limit_s: float | None = None
    ) -> tuple[list[Any], PluginProblem | None]:
        impl = plugin.hooks[hook]
        call = call_of(impl, given)
        try:
            return call_in_thread(
                plugin.threads, lambda: check_contributions(hook, call()), limit_s or BRING_S
            ), None
        except HookError as error:
            return [], _at(plugin, impl.function, f"{hook} {error.reason}", "look into it: docs/hooks.md")

    def checks(self, settings: Any) -> Iterator[tuple[Plugin, Check]]:
        """What plugins say of their readiness, now."""
        for plugin, _ in self.implementations("workbench_checks"):
            found, problem = self._ask(plugin, "workbench_checks", {"settings": settings}, CHECK_S)
            for check in found:
                yield plugin, check
            if problem is not None:
                yield plugin, Check("check", "note", problem.reason, problem.hint)

    # --- what is wrong with them -------------------------------------------------------------------------------------

    def problems(self) -> list[PluginProblem]:
        """All that is known by now; `ask_all` first to know what they bring."""
        failed = [problem for _, problem in self._brought.values() if problem is not None]
        return [*self._problems, *failed, *self._clashes()]

    def ask_all(self) -> None:
        """Ask every plugin what it brings."""
        for hook in KINDS:
            self.contributions(hook)

    def _clashes(self) -> Iterator[PluginProblem]:
        """Names that two of them gave to two things of a kind."""
        for hook, kind in KINDS.items():
            if hook == "workbench_readers":
                continue
            taken: dict[Any, Plugin] = {}
            known = {plugin: items for (plugin, of), (items, _) in self._brought.items() if of == hook}
            for plugin in (one for one in self.loaded.values() if one in known):
                for item in known[plugin]:
                    key = _key(item)
                    if key in taken:
                        reason = f"the {kind} {' '.join(key)!r} is already there: {describe_clash(taken[key], plugin)}"
                        yield _at(plugin, None, reason, "uninstall one of them, or rename it")
                    taken.setdefault(key, plugin)


def _key(item: Any) -> tuple[str, ...]:
    return (item.stage, item.name) if isinstance(item, Provider) else (str(item.name),)


def describe_clash(first: Plugin, second: Plugin) -> str:
    """Two plugins that want the same, by their names."""
    return f"{first.name} ({first.origin}) and {second.name} ({second.origin}) bring it"


def call_of(impl: HookImpl, given: dict[str, Any]) -> Callable[[], Any]:
    """A call with as many of the arguments as the implementation takes."""
    arguments = [given[name] for name in impl.argnames]
    return lambda: impl.function(*arguments)


def _at(plugin: Plugin, function: Callable[..., Any] | None, reason: str, hint: str) -> PluginProblem:
    """A problem; of a loose file with its line."""
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
    """Load loose plugins; a line about each that is new, to be told. Raises UsageError for one that is broken."""
    known = set(manager().loaded.values())
    loaded = [manager().load_file(Path(file)) for file in files]
    return [describe_plugin(plugin) for plugin in dict.fromkeys(loaded) if plugin not in known]


def describe_plugin(plugin: Plugin) -> str:
    """What a plugin brings: `plugin jokes.py: 2 tools, 1 provider`."""
    parts = []
    for hook, kind in KINDS.items():
        if hook in plugin.hooks:
            count = len(manager().contributions(hook, plugin))
            parts.append(f"{count} {kind}{'' if count == 1 else 's'}")
    if "workbench_checks" in plugin.hooks:
        parts.append("checks")
    if listens := [hook.removeprefix("workbench_") for hook in LISTENING if hook in plugin.hooks]:
        parts.append(f"listens to {', '.join(listens)}")
    return f"plugin {plugin.origin.file or plugin.name}: {', '.join(parts)}"


def plugin_notices() -> list[tuple[Literal["info", "warning"], str, str]]:
    """(level, reason, hint) of what a session should say of the plugins: those from files, and what is wrong. Asks them
    what they bring, so it may take a while."""
    manager().ask_all()
    loose: list[tuple[Literal["info", "warning"], str, str]] = [
        ("info", describe_plugin(plugin), "")
        for plugin in manager().loaded.values()
        if plugin.origin.file is not None
    ]
    return [*loose, *(("warning", str(problem), problem.hint) for problem in manager().problems())]


def providers(stage: ProviderStage) -> dict[str, Provider]:
    """The installed providers of a stage by name; of two that have the same name the first."""
    found: dict[str, Provider] = {}
    for _, provider in manager().contributions("workbench_providers"):
        if provider.stage == stage:
            found.setdefault(provider.name, provider)
    return found


def find_provider(stage: ProviderStage, choice: str) -> tuple[Provider, str]:
    """The provider and model that `name[/model]` means; UsageError lists what there is."""
    name, _, model = choice.partition("/")
    found = [
        (plugin, provider)
        for plugin, provider in manager().contributions("workbench_providers")
        if (provider.stage, provider.name) == (stage, name)
    ]
    if not found:
        raise UsageError(
            f"no {stage} provider is called {name!r}", f"installed: {', '.join(sorted(providers(stage)))}"
        )
    if len(found) > 1:
        raise UsageError(
            f"two {stage} providers are called {name!r}: {describe_clash(found[0][0], found[1][0])}",
            "uninstall one of them, or rename it",
        )
    provider = found[0][1]
    if not model and not provider.models:
        raise UsageError(f"{stage} provider {name!r} needs a model", f"write {name}/MODEL")
    if model and provider.onboard and provider.models and model not in provider.models:
        raise UsageError(
            f"{stage} provider {name!r} has no model {model!r}", f"it has: {', '.join(provider.models)}"
        )
    return provider, model or provider.models[0]


def transports() -> dict[str, TransportProvider]:
    """The installed transports by name; of two that have the same name the first."""
    return {
        transport.name: transport
        for _, transport in reversed(manager().contributions("workbench_transports"))
    }


def plugin_tools() -> list[tuple[str, Any]]:
    """(plugin, tool) for every tool that plugins bring, two of one name too: the registry tells of them."""
    return _named("workbench_tools")


def tui_panels() -> list[tuple[str, Panel]]:
    """(plugin, panel) for the terminal."""
    return _named("workbench_tui_panels")


def notebook_panels() -> list[tuple[str, Panel]]:
    """(plugin, panel) for the notebook."""
    return _named("workbench_notebook_panels")


def exporters() -> list[tuple[str, Exporter]]:
    """(plugin, exporter)."""
    return _named("workbench_exporters")


def _named(hook: str) -> list[tuple[str, Any]]:
    return [(plugin.name, item) for plugin, item in manager().contributions(hook)]
