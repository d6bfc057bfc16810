"""Finding and importing plugins, and checking which of their hooks can be called."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy
from pluggy import HookImpl

from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.plugin import hookspecs
from workbench.plugin.files import run_file
from workbench.plugin.foreign_calls import HookError, call_in_thread
from workbench.plugin.threads import DaemonThreads

GROUP = "workbench"
OURS = "voice-workbench"
"""The distribution whose plugin comes first, so that nobody takes its name."""
IMPORT_S, SLOW_S = 20.0, 1.0
"""An import may take so long; one that takes longer than the second is named."""
HOOKS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(hookspecs).items()
    if hasattr(spec, "workbench_spec")
}
"""Every hook and the names of its arguments, in the order of the table of contents."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin came from: a distribution and its version, a file, or a program that registered it."""

    package: str | None = None
    version: str | None = None
    file: Path | None = None

    def __str__(self) -> str:
        if self.package:
            return f"{self.package} {self.version}"
        return str(self.file) if self.file else "a program"


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """What is wrong with a plugin or a part of it, and what to do."""

    plugin: str
    origin: Origin
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.plugin} ({self.origin}): {self.reason}"


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin that is installed, not yet imported."""

    name: str
    origin: Origin
    entry: metadata.EntryPoint


@dataclass(eq=False, slots=True)
class Plugin:
    """A plugin that was loaded: `body` is its module or object, `hooks` what it implements by hook."""

    name: str
    origin: Origin
    body: Any
    took_ms: float = 0.0
    hooks: dict[str, HookImpl] = field(default_factory=dict)
    threads: DaemonThreads = field(init=False)
    """In which its code runs."""

    def __post_init__(self) -> None:
        self.threads = DaemonThreads(f"plugin {self.name}")


def installed_plugins() -> tuple[list[InstalledPlugin], list[PluginProblem]]:
    """Return what the entry points name, ours first, without importing any of it; and names that are taken twice."""
    plugins: dict[str, InstalledPlugin] = {}
    problems: list[PluginProblem] = []
    for entry in sorted(metadata.entry_points(group=GROUP), key=_rank):
        origin = Origin(_package(entry), entry.dist.version if entry.dist else "")
        name = plain(entry.name, 60, one_line=True)
        if name in plugins:
            reason = f"another plugin is called {name!r} too: that of {plugins[name].origin}"
            problems.append(PluginProblem(name, origin, reason, "uninstall one of them"))
        else:
            plugins[name] = InstalledPlugin(name, origin, entry)
    return list(plugins.values()), problems


def _rank(entry: metadata.EntryPoint) -> tuple[bool, str, str]:
    return _package(entry) != OURS, entry.name, _package(entry)


def _package(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist else "?"


def import_plugin(installed: InstalledPlugin) -> tuple[Plugin | None, list[PluginProblem]]:
    """Import a plugin in a thread of its own; return it, None if it cannot be used, and what is wrong with it."""
    name, origin = installed.name, installed.origin
    threads = DaemonThreads(f"import {name}")
    began = time.perf_counter()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is no result of a command
            body = call_in_thread(threads, installed.entry.load, IMPORT_S)
    except HookError as error:
        hint = f"`pip install --upgrade {origin.package}`, or uninstall it"
        mismatch = version_mismatch(_required_version(installed.entry.module))
        return None, [
            PluginProblem(name, origin, *(mismatch or (f"cannot be imported: {error.reason}", hint)))
        ]
    finally:
        threads.shutdown()
    took_s = time.perf_counter() - began
    if mismatch := version_mismatch(getattr(body, "workbench_requires", None)):
        return None, [PluginProblem(name, origin, *mismatch)]
    hint = "import what is heavy in the functions that use it"
    slow = PluginProblem(name, origin, f"took {took_s:.1f} s to import", hint)
    return Plugin(name, origin, body, round(took_s * 1000, 1)), [slow] if took_s > SLOW_S else []


def load_plugin_file(file: Path) -> Plugin:
    """Run a loose plugin's file. UsageError names file, line and reason."""
    began = time.perf_counter()
    absent = UsageError(f"there is no plugin file {file}", "write one as in docs/plugins.md")
    name = re.sub(r"\W", "_", file.stem)
    with contextlib.redirect_stdout(sys.stderr):
        body = run_file(file, f"workbench_plugin_{name}_{abs(hash(file.resolve())):x}", absent=absent)
    if mismatch := version_mismatch(getattr(body, "workbench_requires", None)):
        raise UsageError(f"{file}: {mismatch[0]}", mismatch[1])
    return Plugin(file.stem, Origin(file=file), body, round((time.perf_counter() - began) * 1000, 1))


# --- the version that it requires ------------------------------------------------------------------------------------


def version_mismatch(requires: Any) -> tuple[str, str] | None:
    """Return (reason, hint) where `workbench_requires` excludes this workbench, None where it does not."""
    if requires is None:
        return None
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # 5 ms, for those who ask

    ours = metadata.version(OURS)
    try:
        versions = SpecifierSet(requires)
    except (InvalidSpecifier, TypeError, AttributeError):
        return f"workbench_requires = {requires!r:.60} is no version", 'write it like ">=0.3"'
    if versions.contains(ours, prereleases=True):
        return None
    return f"needs workbench {versions}, this is {ours}", f'`pip install "{OURS}{versions}"`'


def _required_version(module: str) -> str | None:
    """Return `workbench_requires` of a module that can't be imported: the version may be just what it lacks."""
    try:
        spec = importlib.util.find_spec(module)
        source = Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""
    except (ImportError, ValueError, OSError, AttributeError):
        return None
    match = re.search(r"""^workbench_requires\s*=\s*["']([^"']*)["']""", source, re.MULTILINE)
    return match[1] if match else None


# --- the hooks that it implements ------------------------------------------------------------------------------------


class HookRegistry(pluggy.PluginManager):
    """pluggy's manager, but for implementations that can't be called: they are left out, with the reason."""

    def __init__(self) -> None:
        super().__init__(GROUP)
        self.add_hookspecs(hookspecs)
        self.refused: list[tuple[Callable[..., Any], str, str]] = []
        """(function, reason, hint) of what the last `register` left out."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Return what pluggy does, None for what can't be called."""
        opts = super().parse_hookimpl_opts(plugin, name)
        method = getattr(plugin, name) if opts is not None or name in HOOKS else None
        if method is None:
            return None
        if opts is None:
            problem = _missing_decorator(plugin, method, name)
        else:
            problem = _wrong_signature(method, opts, opts.get("specname") or name)
        if problem is None:
            return opts
        self.refused.append((method, *problem))
        return None


def _missing_decorator(plugin: Any, method: Any, name: str) -> tuple[str, str] | None:
    """Return (reason, hint) for a function with a hook's name and no decorator, unless the plugin only imports it."""
    if not inspect.isroutine(method) or hasattr(method, "workbench_spec"):
        return None
    if inspect.ismodule(plugin) and method.__module__ != plugin.__name__:
        return None
    return f"{name} is not decorated, so it is never called", "write @hookimpl above it"


def _wrong_signature(method: Any, opts: Any, name: str) -> tuple[str, str] | None:
    """Return (reason, hint) where a decorated function cannot be called as that hook."""
    if name not in HOOKS:
        near = get_close_matches(name, HOOKS, n=1)
        hint = f"did you mean {near[0]}?" if near else "docs/hooks.md lists the hooks"
        return f"there is no hook {name}", hint
    if opts.get("wrapper") or opts.get("hookwrapper"):
        return f"{name} is a wrapper, which workbench does not call", "write a plain function"
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
        return f"{name} is no plain function", "it runs in a thread of its own, so it may block: write `def`"
    extra = [
        parameter
        for parameter, by_position in _required_arguments(method)
        if parameter not in HOOKS[name] or not by_position
    ]
    if extra:
        gives = ", ".join(HOOKS[name]) or "nothing"
        return f"{name} takes {', '.join(extra)}, which it is not given", f"it may take: {gives}"
    return None


def _required_arguments(method: Any) -> Iterator[tuple[str, bool]]:
    """Yield the arguments without a default, and whether they can be passed by position, as pluggy does it."""
    kinds = inspect.Parameter
    for name, parameter in inspect.signature(method).parameters.items():
        variable = parameter.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        if not variable and parameter.default is kinds.empty:
            yield name, parameter.kind != kinds.KEYWORD_ONLY
