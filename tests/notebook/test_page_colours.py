"""Style sheets and programs of pages have no colours of their own: all are in `views/palette.py`."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from workbench.notebook.widget import STATIC, page_style
from workbench.readers.folds.calls import CallState
from workbench.readers.folds.status import Activity
from workbench.views.palette import DRAWN_PARTS, PALETTE, part_key

OURS = sorted(path for path in STATIC.iterdir() if path.suffix in (".css", ".js") and path.stem != "uplot")
LITERAL = re.compile(r"#[0-9a-fA-F]{3,8}\b(?=[;\"'`\s,)])|\b(?:rgb|hsl|hwb|lab|lch|oklab|oklch)a?\(")
DRAWN_BY_THE_PAGE = {"part", "speaker", "call", "activity"}
"""Properties that the page's program sets on an element, to one of the palette's."""


@pytest.mark.parametrize("name", [path.name for path in OURS])
def test_no_colour_stands_in_a_style_sheet_or_a_program(name: str) -> None:
    assert LITERAL.findall((STATIC / name).read_text("utf-8")) == []


def test_every_colour_that_is_used_is_in_the_palette_or_the_pages_own() -> None:
    texts = [path.read_text("utf-8") for path in OURS]
    own = {name for text in texts for name in re.findall(r"(--wb-[\w-]+):", text)}
    used = {name for text in texts for name in re.findall(r"var\((--wb-[\w-]+)[,)]", text)}
    used |= {f"--wb-{name}" for text in texts for name in re.findall(r'colour\("([\w-]+)"\)', text)}
    assert "--wb-line" in used
    assert used - own - {f"--wb-{name}" for name in (*PALETTE, *DRAWN_BY_THE_PAGE)} == set()


def test_a_style_sheet_names_no_part_and_no_speaker() -> None:
    style = (STATIC / "live.css").read_text("utf-8")
    assert re.findall(r"[.-](?:wb-)?part-[\w-]+", style) == []
    assert [part for part in DRAWN_PARTS if re.search(rf"\b{part}\b", style)] == []


def test_the_page_gets_a_light_and_a_dark_colour_for_whatever_it_draws() -> None:
    names = [part_key(part) for part in DRAWN_PARTS]
    names += [f"activity-{activity}" for activity in get_args(Activity)]
    names += [f"call-{state}" for state in get_args(CallState)]
    style = page_style()
    for name in (*names, "user", "agent"):
        assert len(re.findall(rf"--wb-{name}:#[0-9a-f]{{6}};", style)) == 2, name
