"""What stays of a conversation in a saved notebook, and in what nbconvert makes of it: no kernel, no script."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter, MarkdownExporter

from tests.notebook.lab import chromium
from tests.views.pages import Page, size

VIEW = "application/vnd.jupyter.widget-view+json"
HOSTILE = "<img src=x onerror=owned=1>"
CELLS = [
    f"""
from workbench import Agent
from workbench.notebook import knob, knobs, live
w = live(
    Agent(instructions="Be brief.", name="host"), profile="scripted", source="none", sink="none", record_enabled=False,
    script={{"agent": ["Breakfast is included.", "Parking costs {HOSTILE}."]}},
)
w
""",
    "from workbench.views.live_output import LiveOutput\n"
    "LiveOutput(w.session.trace, lambda: {'text/plain': f'turn {len(w.session.turns)}'})",
    "w.session.trace.plot.waterfall(live=True)",
    "asked = w.session.ask('Is breakfast included?')",
    f"w.session.ask('And {HOSTILE}?')",
    "w",
    "knobs(w.session, 'turn.silence_ms', 'bargein.mode')",
    "knob('vad.threshold', 0.7)",
    "w.end()",
    "w.close()\nw",
]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after `nbconvert --execute`, as it is written to the disk."""
    folder = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(folder / name))
        book: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
        NotebookClient(
            book, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    nbformat.write(book, folder / "book.ipynb")
    return nbformat.read(folder / "book.ipynb", as_version=4)


def data(book: Any, cell: int) -> list[dict[str, Any]]:
    return [output.data for output in book.cells[cell].outputs]


def test_the_live_widget_leaves_the_whole_conversation_behind(book: Any) -> None:
    for cell in (0, 5):  # in each cell that shows it
        view, saved = data(book, cell)
        assert set(view) == {VIEW, "text/plain"}
        assert set(saved) == {"text/html", "image/png", "text/plain"}
        page = Page(saved["text/html"])
        assert "host · scripted" in page.text
        assert "ended" in page.text
        assert "1you: Is breakfast included?agent: Breakfast is included." in page.text
        assert f"2you: And {HOSTILE}?agent: Parking costs {HOSTILE}." in page.text
        assert page.tags & {"script", "a", "iframe", "link"} == set()
        assert "onerror" not in page.attributes
        assert size(b64decode(saved["image/png"]))[0] > 500
        assert "you: Is breakfast included?\nagent: Breakfast is included." in saved["text/plain"]


def test_what_is_drawn_again_is_saved_as_it_was_at_last(book: Any) -> None:
    """Not as the cell that shows it left it: that ended before any turn."""
    assert data(book, 1) == [{"text/plain": "turn 2"}]
    (figure,) = data(book, 2)
    assert set(figure) == {"text/html", "image/png", "text/plain"}


def test_knobs_are_saved_as_what_was_set(book: Any) -> None:
    for cell, plainly, told in (
        (6, "turn.silence_ms = 350.0, bargein.mode = full", "turn.silence_ms350.0Silence that ends a turn"),
        (7, "vad.threshold = 0.7", "vad.threshold0.7"),
    ):
        view, instead = data(book, cell)
        assert set(view) == {VIEW, "text/plain"}
        assert view["text/plain"] == instead["text/plain"] == plainly
        assert told in Page(instead["text/html"]).text


def test_a_closed_widget_still_says_what_was(book: Any) -> None:
    closed, saved = data(book, 9)
    assert VIEW not in closed
    assert "Breakfast is included." in saved["text/html"]


def test_markdown_and_html_have_the_conversation(book: Any) -> None:
    for exporter in (MarkdownExporter(), HTMLExporter()):
        written, _ = exporter.from_notebook_node(book)
        assert "Breakfast is included." in written
        assert "turn.silence_ms" in written


@pytest.fixture
def page() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, chromium(playwright) as browser:
        yield browser.new_page()


@pytest.mark.browser
@pytest.mark.parametrize("scripts", [True, False])
def test_a_page_made_by_nbconvert_shows_it_without_a_kernel(
    book: Any, page: Any, tmp_path: Path, scripts: bool
) -> None:
    file = tmp_path / "book.html"
    file.write_text(HTMLExporter().from_notebook_node(book)[0])
    context = page.context.browser.new_context(java_script_enabled=scripts)
    opened = context.new_page()
    opened.goto(file.as_uri())
    saved = opened.locator(".wb-saved").first
    saved.wait_for()
    assert "Breakfast is included." in saved.inner_text()
    assert saved.locator("img").bounding_box()["height"] > 100
    assert "bargein.mode" in opened.locator(".wb-set").first.inner_text()
    if scripts:
        assert not opened.evaluate("window.owned === 1")
    context.close()
