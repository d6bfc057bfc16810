"""The recordings of the golden conversations, made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.golden.scenes import SCENES, record

Recorded = Callable[[str], Path]


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Gives the folder of a golden conversation by its name."""
    place = tmp_path_factory.mktemp("golden")

    @cache
    def folder(name: str) -> Path:
        return record(SCENES[name](), place / name)

    return folder
