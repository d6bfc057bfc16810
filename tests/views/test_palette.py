"""Everything that is drawn has its colour in the palette, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import workbench
from workbench.model.events import PARTS
from workbench.readers.folds.calls import MARKS
from workbench.readers.timeline import CHAIN
from workbench.tui.themes import themes
from workbench.views.palette import DARK_PAGES, DRAWN_PARTS, PALETTE, Colour, css, part_key

PACKAGE = Path(workbench.__file__).parent
SHEETS = [
    path for path in PACKAGE.rglob("*") if path.suffix in (".css", ".tcss") and path.name != "uplot.css"
]
HEX = re.compile(r"#[0-9a-fA-F]{6}\b")


def test_every_part_of_a_waterfall_has_a_colour_and_a_place() -> None:
    assert {part_key(part) for part in DRAWN_PARTS} == {name for name in PALETTE if name.startswith("part-")}
    assert {*PARTS, "startup"} == set(CHAIN)


def test_every_state_of_a_call_has_a_colour() -> None:
    assert {f"call-{state}" for state in MARKS} == {name for name in PALETTE if name.startswith("call-")}


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.name)
def test_style_sheets_name_no_part_and_no_colour_of_a_part(sheet: Path) -> None:
    text = sheet.read_text("utf-8")
    assert not [part for part in DRAWN_PARTS if f"part-{part}" in text]
    parts = {
        value for name, colour in PALETTE.items() if "part-" in name for value in (colour.light, colour.dark)
    }
    assert not parts & set(HEX.findall(text))


def test_python_names_colours_in_the_palette_only() -> None:
    named = {path.name for path in PACKAGE.rglob("*.py") if HEX.search(path.read_text("utf-8"))}
    assert named <= {"palette.py"}


def test_the_style_sheet_has_both_values_of_each_colour() -> None:
    light, _, dark = css().partition(DARK_PAGES[0])
    for name, colour in PALETTE.items():
        assert f"--wb-{name}:{colour.light};" in light
        assert f"--wb-{name}:{colour.dark};" in dark


def test_both_themes_have_all_colours() -> None:
    for theme in themes():
        for name, colour in PALETTE.items():
            value = theme.variables.get(name) or getattr(theme, name, None)
            assert value in (colour.dark if theme.dark else colour.light, None) or name in ("ink", "paper")


def test_tones_of_figures_are_readable_on_light_and_on_dark_ground() -> None:
    assert Colour("#000000", "#ffffff").middle == "#7f7f7f"
    for name in ("ink", "quiet", "user", "agent", *map(part_key, DRAWN_PARTS)):
        for ground in ("#ffffff", "#111111"):
            assert contrast(PALETTE[name].middle, ground) >= 2.4, (name, ground)


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    dim, bright = sorted(map(luminance, (one, other)))
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
