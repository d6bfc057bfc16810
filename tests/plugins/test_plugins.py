"""The packages of plugins/, installed as anyone's: found by their entry points, whole, and with their own tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which they are installed, beside what is installed anyway."""
    folder = tmp_path_factory.mktemp("shelf")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder)),
            *map(str, PACKAGES),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return {**os.environ, "PYTHONPATH": str(folder)}


def run(shelf: dict[str, str], *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], env=shelf, cwd=cwd, capture_output=True, text=True, check=False
    )


def test_there_are_five_packages() -> None:
    assert len(PACKAGES) == 5


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_packages_own_tests_pass(shelf: dict[str, str], package: Path) -> None:
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "-W",
        "error",
        "--override-ini",
        "pythonpath=",
    )
    done = run(shelf, "pytest", *options, cwd=package)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_packages_are_found_without_problems(shelf: dict[str, str]) -> None:
    listed = run(shelf, "workbench", "plugins", "list", "--json")
    names = {plugin["name"] for plugin in json.loads(listed.stdout)["plugins"]}
    assert {package.name for package in PACKAGES} <= names
    doctor = run(shelf, "workbench", "plugins", "doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
