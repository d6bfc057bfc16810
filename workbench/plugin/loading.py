"""From an entry point or a file to a plugin, or to what is wrong with it."""

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
    """What is wrong with a plugin or a part of it, and what to do. The others are not touched by it."""

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
    """What the entry points say, ours first, without importing any of it; and names that are taken twice."""
    found: dict[str, InstalledPlugin] = {}
    problems: list[PluginProblem] = []
    for entry in sorted(metadata.entry_points(group=GROUP), key=_rank):
        origin = Origin(_package(entry), entry.dist.version if entry.dist else "")
        name = plain(entry.name, 60, one_line=True)
        if name in found:
            reason = f"another plugin is called {name!r} too: that of {found[name].origin}"
            problems.append(PluginProblem(name, origin, reason, "uninstall one of them"))
        else:
            found[name] = InstalledPlugin(name, origin, entry)
    return list(found.values()), problems


def _rank(entry: metadata.EntryPoint) -> tuple[bool, str, str]:
    return _package(entry) != OURS, entry.name, _package(entry)


def _package(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist else "?"


def import_plugin(found: InstalledPlugin) -> tuple[Plugin | None, list[PluginProblem]]:
    """Import a plugin in a thread of its own, and look at what it is."""
    threads = DaemonThreads(f"import {found.name}")
    began = time.perf_counter()

    def problem(reason: str, hint: str) -> PluginProblem:
        return PluginProblem(found.name, found.origin, reason, hint)

    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is no result of a command
            body = call_in_thread(threads, found.entry.load, IMPORT_S)
    except HookError as error:
        refusal = version_mismatch(_asked_in_source(found.entry.module))
        if refusal:
            return None, [problem(*refusal)]
        hint = f"`pip install --upgrade {found.origin.package}`, or uninstall it"
        return None, [problem(f"cannot be imported: {error.reason}", hint)]
    finally:
        threads.shutdown()
    took_s = time.perf_counter() - began
    if refusal := version_mismatch(getattr(body, "workbench_requires", None)):
        return None, [problem(*refusal)]
    problems = []
    if took_s > SLOW_S:
        hint = "import what is heavy in the functions that use it"
        problems.append(problem(f"took {took_s:.1f} s to import", hint))
    return Plugin(found.name, found.origin, body, round(took_s * 1000, 1)), problems


def load_plugin_file(file: Path) -> Plugin:
    """Run a loose plugin's file. Raises UsageError that names file, line and reason."""
    began = time.perf_counter()
    absent = UsageError(f"there is no plugin file {file}", "write one as in docs/plugins.md")
    name = re.sub(r"\W", "_", file.stem)
    with contextlib.redirect_stdout(sys.stderr):
        body = run_file(file, f"workbench_plugin_{name}_{abs(hash(file.resolve())):x}", absent=absent)
    if refusal := version_mismatch(getattr(body, "workbench_requires", None)):
        raise UsageError(f"{file}: {refusal[0]}", refusal[1])
    return Plugin(file.stem, Origin(file=file), body, round((time.perf_counter() - began) * 1000, 1))


# --- which workbench it asks for -------------------------------------------------------------------------------------


def version_mismatch(requires: Any) -> tuple[str, str] | None:
    """Why this workbench does not do, and what to do; None where it does. `requires` is `workbench_requires`."""
    if requires is None:
        return None
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # 5 ms, for those who ask

    ours = metadata.version(OURS)
    try:
        wanted = SpecifierSet(requires)
    except (InvalidSpecifier, TypeError, AttributeError):
        return f"workbench_requires = {requires!r:.60} is no version", 'write it like ">=0.3"'
    if wanted.contains(ours, prereleases=True):
        return None
    return f"needs workbench {wanted}, this is {ours}", f'`pip install "{OURS}{wanted}"`'


def _asked_in_source(module: str) -> str | None:
    """What a module that can't be imported asks for: it may be just what it lacks."""
    try:
        spec = importlib.util.find_spec(module)
        source = Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""
    except (ImportError, ValueError, OSError, AttributeError):
        return None
    asked = re.search(r"""^workbench_requires\s*=\s*["']([^"']*)["']""", source, re.MULTILINE)
    return asked[1] if asked else None


# --- which hooks it implements ---------------------------------------------------------------------------------------


class HookRegistry(pluggy.PluginManager):
    """pluggy's manager, which leaves out implementations that can't be called and says why."""

    def __init__(self) -> None:
        super().__init__(GROUP)
        self.add_hookspecs(hookspecs)
        self.refused: list[tuple[Callable[..., Any], str, str]] = []
        """(function, reason, hint) of what the last `register` left out."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """As pluggy does it, None for what can't be called."""
        opts = super().parse_hookimpl_opts(plugin, name)
        method = getattr(plugin, name) if opts is not None or name in HOOKS else None
        if method is None:
            return None
        if opts is None:
            refusal = _unmarked(plugin, method, name)
        else:
            refusal = _misfit(method, opts, opts.get("specname") or name)
        if refusal is None:
            return opts
        self.refused.append((method, *refusal))
        return None


def _unmarked(plugin: Any, method: Any, name: str) -> tuple[str, str] | None:
    """A function that has a hook's name and no decorator: forgotten, unless it only came in by an import."""
    if not inspect.isroutine(method) or hasattr(method, "workbench_spec"):
        return None
    if inspect.ismodule(plugin) and method.__module__ != plugin.__name__:
        return None
    return f"{name} is not decorated, so it is never called", "write @hookimpl above it"


def _misfit(method: Any, opts: Any, name: str) -> tuple[str, str] | None:
    if name not in HOOKS:
        near = get_close_matches(name, HOOKS, n=1)
        hint = f"did you mean {near[0]}?" if near else "docs/hooks.md lists the hooks"
        return f"there is no hook {name}", hint
    if opts.get("wrapper") or opts.get("hookwrapper"):
        return f"{name} is a wrapper, which workbench does not call", "write a plain function"
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
        return f"{name} is no plain function", "it runs in a thread of its own, so it may block: write `def`"
    extra = [one for one, by_position in _required(method) if one not in HOOKS[name] or not by_position]
    if extra:
        gives = ", ".join(HOOKS[name]) or "nothing"
        return f"{name} takes {', '.join(extra)}, which it is not given", f"it may take: {gives}"
    return None


def _required(method: Any) -> Iterator[tuple[str, bool]]:
    """The arguments that have to be given, and whether they can be given by position, as pluggy does it."""
    kinds = inspect.Parameter
    for name, one in inspect.signature(method).parameters.items():
        if one.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD) or one.default is not kinds.empty:
            continue
        yield name, one.kind != kinds.KEYWORD_ONLY
