"""The repository itself: locks that name no host, and tests that are left out only aloud."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = [ROOT / "requirements" / name for name in ("run.txt", "test.txt")]


def locked(lock: Path) -> dict[str, set[str]]:
    """Each name in the lock with its versions (more than one where they differ by Python's version)."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ]+)", lock.read_text(), re.MULTILINE):
        versions.setdefault(normal(name), set()).add(version)
    return versions


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_has_hashes_only_and_names_no_index(lock: Path) -> None:
    requirement = re.compile(r"[a-z0-9-]+==\S+( ; .+)? \\")
    digest = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    for line in lock.read_text().splitlines():
        assert requirement.fullmatch(line) or digest.fullmatch(line), line


def test_the_locks_contain_the_projects_dependencies_and_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    run, test = (locked(lock) for lock in LOCKS)
    for wanted, lock in (
        (project["dependencies"] + extras["local"] + extras["room"], run),
        (extras["dev"], test),
    ):
        missing = {normal(re.split(r"[><=~! ]", name)[0]) for name in wanted} - set(lock)
        assert not missing, "run `make lock`"
    assert {name: test[name] for name in run} == run


def pytest_of_models(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The tests that need weights, on a machine that has none."""
    selected = ["tests/cli/test_models.py", "-m", "models", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *selected],
        cwd=ROOT,
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(tmp_path),
            "WORKBENCH_MODELS_PATH": "",
            "PYTEST_ADDOPTS": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("everything", [False, True])
def test_the_runner_reports_tests_that_it_skips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everything: bool
) -> None:
    monkeypatch.delenv("WORKBENCH_TEST_ALL", raising=False)
    result = pytest_of_models(tmp_path, *["--all"] * everything)
    assert result.returncode == (
        pytest.ExitCode.USAGE_ERROR if everything else pytest.ExitCode.NO_TESTS_COLLECTED
    )
    said = result.stdout + result.stderr
    assert ("nothing may be left out" if everything else "left out 1 tests: this machine lacks") in said
    assert "the weights of silero/v6" in said
