"""What an import pulls in, asked of a fresh interpreter."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

HEAVY = {
    "IPython",
    "anywidget",
    "ctranslate2",
    "ipywidgets",
    "livekit",
    "matplotlib",
    "numpy",
    "onnxruntime",
    "openai",
    "pandas",
    "piper",
    "pydantic",
    "sounddevice",
    "textual",
    "xllamacpp",
}
MAY = {
    "workbench": set[str](),
    "workbench.cli": set[str](),
    "workbench.__main__": set[str](),
    "workbench.agent": set[str](),
    "workbench.notebook": set[str](),
    "workbench.server": set[str](),
    "workbench.simulation": set[str](),
    "workbench.spi": set[str](),
    "workbench.testing": set[str](),
    "workbench.testing.pytest_plugin": set[str](),
    "workbench.session": {"numpy", "pydantic"},
    "workbench.readers.timeline": {"numpy"},
    "workbench.config": {"numpy", "pydantic"},
}
"""What of it each of these may pull in."""


def _imported(module: str) -> set[str]:
    """The top-level modules that are there after an import."""
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.split()
    )


@pytest.mark.parametrize("module", MAY)
def test_no_heavy_module_comes_along(module: str) -> None:
    assert _imported(module) & HEAVY <= MAY[module]


def _cpu_s(program: str) -> float:
    """The least CPU time that some runs took, s: no more than it takes alone."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(7))


def test_importing_workbench_costs_no_more_than_python_itself() -> None:
    assert _cpu_s("import workbench") <= 2 * _cpu_s("pass")
