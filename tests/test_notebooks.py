"""The notebooks run from top to bottom in a kernel of their own, and show something worth reading."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WORTH = {
    "latency_in_depth": ["<b>heard after</b>", "speculating", "(840.0, 840.0)"],
    "tour": ["host goes into w", "Breakfast is included.", "one after the other", "1 cut"],
    "tune_endpointing": ["2 cut", "cut in pieces", "You are welcome."],
    "write_a_tool": ["There is no wine", "About oil: 7 euros", "item: must be given", "keeps"],
    "write_a_provider": ["the parrot does not tell the time", "parrot/slow", "'Stop.'", "llm parrot keeps"],
}
"""What a reader must find in the outputs."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    import matplotlib.font_manager  # noqa: F401  # a new machine's fonts are listed here, once, and not in each kernel

    book: Any = nbformat.read(path, as_version=4)
    client = NotebookClient(
        book, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    # Its stand-in for output widgets sends on the channel whose reply is waited for, and the wake-up gets lost: such a
    # cell takes its whole timeout. Without it the output is where it is without JavaScript: under the cell.
    client.widget_registry.clear()
    client.execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    shown = "\n".join(text(output) for output in outputs)
    for words in WORTH[path.stem]:
        assert words in shown
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3


def text(output: Any) -> str:
    """What a reader sees of an output, without its pictures and sounds."""
    data = output.get("data", {})
    found = "".join(data.get(kind, "") for kind in ("text/html", "text/plain")) + output.get("text", "")
    return re.sub(r"base64,[^\"]+", "", found)


def test_every_notebook_has_words_to_look_for() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(WORTH)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    book = json.loads(path.read_text("utf-8"))
    for cell in book["cells"]:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")
    assert book["metadata"].keys() <= {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        for target in re.findall(
            r"\]\(([^)#:]+)\)", "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""
        ):
            assert (FOLDER / target).exists(), target
