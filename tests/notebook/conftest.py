"""A JupyterLab and a Chromium for the tests of the live widget in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.notebook.browser import DATA
from tests.notebook.lab import Lab, chromium, jupyter

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyter(tmp_path_factory.mktemp("jupyter")) as lab:
        yield lab


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Its microphone asks the question again and again, with 0.7 s of silence between."""
    with chromium(playwright, DATA / "question.wav") as browser:
        yield browser
