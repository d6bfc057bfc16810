"""What figures and tables show, whatever the ground is."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from workbench.readers.timeline import Turn
from workbench.views.figures import draw_latencies
from workbench.views.html import turns_html


def test_a_plot_of_latency_says_what_its_hollow_points_are() -> None:
    turns = [
        Turn(1, "done", "", "", 900.0, cold=True),
        Turn(2, "done", "", "", 600.0),
        Turn(3, "cut", "", "", 700.0),
    ]
    (axes,) = draw_latencies(turns).axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][-1] == "cold, cut: not in p50 and p95"
    assert axes.get_xlim()[0] > 0, "there is no turn 0"


def test_a_figure_has_no_ground_of_its_own() -> None:
    png = draw_latencies([Turn(1, "done", "", "", 900.0)]).png()
    pixels = np.asarray(Image.open(BytesIO(png)).convert("RGBA"))
    assert pixels[0, 0, 3] == 0


def test_a_table_of_turns_has_three_columns_so_that_words_have_room() -> None:
    html = turns_html([Turn(1, "done", "Hello?", "Hello.", 600.0)], lambda turn: "<audio></audio>")
    assert html.count("<th ") == 3
