"""The notebooks and what they show, opened in a real JupyterLab by a real Chromium: one of each for all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.notebook.lab import Book, Lab, chromium, jupyter

pytestmark = pytest.mark.browser

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PATIENCE_MS = 100_000
VIEW = "application/vnd.jupyter.widget-view+json"
RAN = """() => {
    const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells];
    const code = cells.filter((cell) => cell.type === 'code' && cell.sharedModel.source.trim());
    return code.every((cell) => cell.executionCount && cell.executionState !== 'running');
}"""
OUTPUTS = """() => {
    const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells];
    return cells.flatMap((cell) => (cell.type === 'code' ? cell.outputs.toJSON() : []));
}"""
"""What the notebook has, as it is saved."""
DRAWN = "document.querySelectorAll('.jp-OutputArea-output .jupyter-widgets.lm-Widget, .wb-live').length"
FIRST = "document.querySelector('img[data-rows]')"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyter(tmp_path_factory.mktemp("opened") / "lab") as lab:
        for path in NOTEBOOKS:
            shutil.copy(path, lab.folder)
        yield lab


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, chromium(playwright) as browser:
        yield browser


@contextmanager
def opened(browser: Browser, lab: Lab, name: str) -> Iterator[Book]:
    """The notebook after all of its cells ran; its kernel ends with it. Nothing may have gone wrong in the page."""
    # All of it is in sight: JupyterLab draws only that.
    context = browser.new_context(viewport={"width": 1300, "height": 9000})
    context.set_default_timeout(PATIENCE_MS)
    try:
        book = Book(context.new_page())
        book.open(lab.url(name))
        book.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        book.page.wait_for_function(RAN)
        outputs = book.page.evaluate(OUTPUTS)
        assert not [output for output in outputs if output["output_type"] == "error"]
        assert not [output for output in outputs if output.get("name") == "stderr"]
        yield book
        expect_no_trouble(book)
    finally:
        context.close()
        for kernel in lab.kernels():
            lab.ask(f"api/kernels/{kernel['id']}", "DELETE")


def expect_no_trouble(book: Book) -> None:
    assert "Error displaying widget" not in book.page.inner_text("body")
    assert not book.errors
    assert not [line for line in book.console if "favicon" not in line]


def heard_where_it_is_clicked_and_there_without_a_kernel(book: Book, lab: Lab) -> None:
    page = book.page
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
    expect(page.locator(".wb-live .wb-text").first).to_contain_text("Welcome to the Seaview.")
    expect(page.locator(".wb-saved")).to_be_hidden()
    expect(page.locator(".wb-set")).to_be_hidden()
    book.save()
    expect_no_trouble(book)
    (kernel,) = lab.kernels()
    lab.ask(f"api/kernels/{kernel['id']}", "DELETE")
    page.evaluate("document.querySelector('.wb-live').remove()")  # as where there is no widget
    expect(page.locator(".wb-saved")).to_contain_text("Breakfast is included.")
    expect(page.locator(".wb-saved")).to_contain_text("ended")
    book.errors.clear()  # what the page says of a kernel that is gone
    book.console.clear()


def played_again_by_a_slider(book: Book, _: Lab) -> None:
    page = book.page
    shown = ".widget-output table"
    page.locator(shown).first.scroll_into_view_if_needed()
    page.locator(".widget-slider .widget-readout").first.fill("900")
    page.keyboard.press("Enter")
    expect(page.locator(shown).first).to_contain_text("910 ms")


MORE: dict[str, Callable[[Book, Lab], None]] = {
    "tour": heard_where_it_is_clicked_and_there_without_a_kernel,
    "tune_endpointing": played_again_by_a_slider,
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_drawn_whole(browser: Browser, lab: Lab, path: Path) -> None:
    with opened(browser, lab, path.name) as book:
        page = book.page
        outputs = page.evaluate(OUTPUTS)
        views = sum(VIEW in output.get("data", {}) for output in outputs)
        page.wait_for_function(f"{DRAWN} >= {views}")
        pictures = sum("<img" in str(output.get("data", {}).get("text/html")) for output in outputs)
        page.wait_for_function(f"document.querySelectorAll('.jp-OutputArea img').length >= {pictures}")
        page.wait_for_function(
            "[...document.querySelectorAll('.jp-OutputArea img')].every((img) => img.naturalWidth > 100)"
        )
        assert "Loading widget" not in page.inner_text("body")
        if path.stem in MORE:
            MORE[path.stem](book, lab)


# --- with other widgets ----------------------------------------------------------------------------------------------

COMPOSED = """
import json
import ipywidgets as widgets
from workbench import Agent
from workbench.notebook import knobs, live
w = live(Agent(instructions=""), profile="scripted", source="none", sink="none", record_enabled=False)
column = knobs(w.session, "turn.silence_ms", "turn.adapt")
slider = column.children[0]
by_page, by_kernel = widgets.FloatText(description="page"), widgets.FloatText(description="kernel")
widgets.jslink((slider, "value"), (by_page, "value"))
widgets.link((slider, "value"), (by_kernel, "value"))
quiet, doing = widgets.Checkbox(description="quiet"), widgets.Label()
widgets.jslink((w, "muted"), (quiet, "value"))
widgets.jsdlink((w, "activity"), (doing, "value"))
twice = widgets.interactive_output(lambda ms: print("twice", 2 * ms), {"ms": slider})
widgets.VBox([w, column, by_page, by_kernel, quiet, doing, twice])
"""
NOW = "print(json.dumps([w.session.settings.turn.silence_ms, w.muted, w.knobs['turn.silence_ms']]))"


def test_widgets_of_others_compose_with_ours_both_ways(browser: Browser, lab: Lab) -> None:
    name = lab.write(
        "composed.ipynb", [COMPOSED, "w.session.set(turn_silence_ms=700); w.muted = False", NOW, NOW]
    )
    with opened(browser, lab, name) as book:
        page = book.page
        readout = page.locator(".widget-slider .widget-readout").first
        ours = page.locator(".wb-settings input[aria-label='turn.silence_ms']")
        page.locator(".wb-more summary").click()
        page_field, kernel_field = page.locator(".widget-text input").all()

        def everywhere(ms: int) -> None:
            expect(readout).to_have_text(str(ms))
            for field in (page_field, kernel_field, ours):
                expect(field).to_have_value(str(ms))
            expect(page.locator(".widget-output").last).to_contain_text(f"twice {2 * ms}")

        def now(n: int) -> object:
            book.run(n)
            return json.loads(book.output(n).strip().splitlines()[-1])

        everywhere(700)  # the second cell
        handle = page.locator(".widget-slider .noUi-handle").first
        handle.focus()
        page.keyboard.press("ArrowRight")  # by hand
        everywhere(710)
        assert now(2) == [710, False, 710]
        page_field.fill("420")
        page_field.press("Enter")
        everywhere(420)
        ours.fill("900")
        everywhere(900)
        page.locator(".widget-checkbox input").last.check()
        expect(page.locator(".wb-mute")).to_have_text("Unmute")
        expect(page.locator(".widget-label").last).to_have_text("muted")
        assert now(3) == [900, True, 900]
        page.click(".wb-mute")
        expect(page.locator(".widget-checkbox input").last).not_to_be_checked()
