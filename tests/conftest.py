"""What all tests share: tests that this machine can't run are left out aloud, and none reads the user's settings.

`--all` or WORKBENCH_TEST_ALL=1 turns "left out" into an error, so that a machine that should have everything can't
quietly test less.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from bench._netns import lacking
from bench._prompts import lacking_prompts
from bench._readings import lacking_novel
from workbench.weights.manifest import MODELS
from workbench.weights.store import FileState, open_store

hypothesis.settings.register_profile(
    "project", deadline=None
)  # machines are shared: no test asserts a tight time
hypothesis.settings.load_profile("project")

KEPT = {"WORKBENCH_TEST_ALL", "WORKBENCH_MODELS_PATH"}
COMPONENTS = Path(__file__).parent / "transports" / "livekit" / "components" / "bundle.js"
left_out = pytest.StashKey[dict[str, int]]()
ran = pytest.StashKey[pytest.Session]()


def _commands(**packages: str) -> list[str]:
    """The packages whose command is not on the path; `command="package"`, `_` in a command stands for `-`."""
    return [package for command, package in packages.items() if not shutil.which(command.replace("_", "-"))]


def _modules(**packages: str) -> list[str]:
    """The distributions whose module cannot be found; `module="distribution"`, `__` stands for a dot."""
    return [package for module, package in packages.items() if not _found(module.replace("__", "."))]


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False


def _sound() -> list[str]:
    absent = _commands(pulseaudio="pulseaudio", parec="pulseaudio-utils")
    try:
        ctypes.CDLL("libportaudio.so.2")
    except OSError:
        absent.append("libportaudio2")
    return absent


def _models() -> list[str]:
    store = open_store()
    absent = [
        f"the weights of {model.name}"
        for model in MODELS
        if model.default and store.state(model) != FileState.PRESENT
    ]
    return absent + _modules(
        onnxruntime="onnxruntime", ctranslate2="ctranslate2", xllamacpp="xllamacpp", piper="piper-tts"
    )


def _netns() -> list[str]:
    lacks = lacking()
    return [lacks.reason] if lacks else []


def _prompts() -> list[str]:
    return lacking_prompts("en") + lacking_novel()


NEEDS: dict[str, Callable[[], list[str]]] = {
    "sound": _sound,
    "terminal": lambda: _commands(tmux="tmux"),
    "picture": lambda: _commands(rsvg_convert="librsvg2-bin"),
    "browser": lambda: (
        _commands(chromium="chromium") + _modules(playwright="playwright", jupyterlab="jupyterlab")
    ),
    "room": lambda: _commands(livekit_server="livekit-server") + _modules(livekit__api="livekit-api"),
    "components": lambda: [] if COMPONENTS.is_file() else ["the page of LiveKit's components (npm)"],
    "models": _models,
    "netns": _netns,
    "prompts": _prompts,
}


@cache
def _missing(marker: str) -> str:
    """What the marker's tests lack on this machine, in words; empty if nothing."""
    return ", ".join(NEEDS[marker]())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all", action="store_true", help="fail if a test has to be left out (WORKBENCH_TEST_ALL=1)"
    )


@pytest.hookimpl(trylast=True)  # after -m and -k: what nobody asked for is not left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    reasons: dict[str, int] = {}
    for item in items:
        lacks = "; ".join(filter(None, (_missing(mark) for mark in NEEDS if item.get_closest_marker(mark))))
        (dropped if lacks else kept).append(item)
        if lacks:
            reasons[lacks] = reasons.get(lacks, 0) + 1
    if dropped and (config.getoption("--all") or os.environ.get("WORKBENCH_TEST_ALL") == "1"):
        counts = "; ".join(f"{count} tests need {lacks}" for lacks, count in reasons.items())
        raise pytest.UsageError(f"nothing may be left out, but {counts}: see scripts/system-packages --test")
    config.stash[left_out] = reasons
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for lacks, count in config.stash.get(left_out, {}).items():
        terminalreporter.write_line(f"left out {count} tests: this machine lacks {lacks}", yellow=True)


@pytest.hookimpl(trylast=True)  # when everything is reported and written
def pytest_unconfigure(config: pytest.Config) -> None:
    """Native threads of LiveKit's SDK call into an interpreter that ends, and abort some processes that all was well
    with (`workbench.__main__` says more): leave without ending it."""
    session = config.stash.get(ran, None)
    if session is not None and "livekit.rtc" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(session.exitstatus)


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[ran] = session


@pytest.fixture(autouse=True)
def no_plugin_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """The plugins that a test brings go with it."""
    yield
    if "workbench.plugin.manager" in sys.modules:
        plugins = sys.modules["workbench.plugin.manager"].manager()
        for plugin in [*plugins.loaded.values()]:
            if not plugin.origin.package:
                plugins.unregister(plugin.name)


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No key, setting or session of whoever runs the tests is read or written; the cache of weights is."""
    for name in list(os.environ):
        if name.startswith(("WORKBENCH_", "OPENAI_", "LIVEKIT_")) and name not in KEPT:
            monkeypatch.delenv(name)
    home: Path = tmp_path_factory.getbasetemp() / "home"
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))
