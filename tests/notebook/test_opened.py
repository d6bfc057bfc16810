"""The notebooks and what they show, opened in a real JupyterLab by a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.lab import Book, Lab, chromium, jupyter

pytestmark = pytest.mark.browser

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PATIENCE_MS = 60_000
RAN = """() => {
    const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells];
    return cells.filter((cell) => cell.type === 'code').every((cell) => cell.executionCount);
}"""
FIRST = "document.querySelector('img[data-rows]')"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyter(tmp_path_factory.mktemp("opened") / "lab") as lab:
        for path in NOTEBOOKS.glob("*.ipynb"):
            shutil.copy(path, lab.folder)
        yield lab


@pytest.fixture
def book() -> Iterator[Book]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, chromium(playwright) as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        yield Book(page)


def run_all(book: Book, lab: Lab, name: str) -> None:
    book.open(lab.url(f"{name}.ipynb"))
    book.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    book.page.wait_for_function(RAN, timeout=PATIENCE_MS)


def test_the_tour_is_drawn_can_be_heard_and_stays(lab: Lab, book: Book) -> None:
    run_all(book, lab, "tour")
    page = book.page
    page.wait_for_selector(".widget-slider")
    page.wait_for_function("document.querySelectorAll('img[data-rows]').length === 2")
    page.wait_for_function("document.querySelectorAll('audio')[0].duration > 1")
    x, y = page.evaluate(
        f"""() => {{
            const box = {FIRST}.getBoundingClientRect();
            const [left, bottom, right, top, first, last] = {FIRST}.dataset.rows.split(';')[0].split(',').map(Number);
            const ms = Number(document.querySelectorAll('audio')[0].dataset.start) + 500;
            return [box.width * (left + (right - left) * (ms - first) / (last - first)),
                    box.height * (1 - (bottom + top) / 2)];
        }}"""
    )
    page.locator("img[data-rows]").first.click(position={"x": x, "y": y})
    page.wait_for_function("document.querySelectorAll('audio')[0].currentTime > 0.6")
    assert "Error displaying widget" not in page.inner_text("body")
    assert not book.errors

    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function(
        "!document.querySelector('.jp-Document.jp-mod-dirty, .lm-TabBar-tab.jp-mod-dirty')"
    )
    (kernel,) = lab.kernels()
    lab.ask(f"api/kernels/{kernel['id']}", "DELETE")
    page.reload()
    page.wait_for_function("document.querySelectorAll('img[data-rows]').length === 2")
    page.wait_for_function(f"{FIRST}.naturalWidth > 800")


def test_a_slider_of_interact_plays_the_scene_again(lab: Lab, book: Book) -> None:
    run_all(book, lab, "tune_endpointing")
    page = book.page
    shown = ".widget-output table"
    page.wait_for_selector(shown, state="attached")
    page.locator(shown).scroll_into_view_if_needed()
    before = page.inner_text(shown)
    page.locator(".widget-slider .widget-readout").first.fill("900")
    page.keyboard.press("Enter")
    page.wait_for_function(
        f"(before) => document.querySelector({shown!r})?.innerText !== before && "
        f"document.querySelector({shown!r})?.innerText.includes('910 ms')",
        arg=before,
    )
    assert not book.errors
