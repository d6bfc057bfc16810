"""What the tests of broken providers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.testing.contract.sabotage import opened
from workbench.testing.contract import holdings


@pytest.fixture(autouse=True)
def _close(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(holdings, "SETTLE_S", 0.2)  # nothing here closes late
    yield
    while opened:
        opened.pop()()
