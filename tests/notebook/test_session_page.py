from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from tests.views.pages import HOSTILE, Page, size, spoken, traced
from tests.waiting import PATIENCE_S
from workbench.config import load_settings
from workbench.model.audio import OUTPUT_RATE
from workbench.model.errors import UsageError
from workbench.notebook import compare, score, show
from workbench.notebook.session_page import NARROW, PAGE_RATE
from workbench.session import open_session
from workbench.views.html import styled
from workbench.views.trace import OpenTrace

SCENE = """
you: Good morning.
agent: It is a fine day.
you: What else?
agent: Nothing else.
"""


@pytest.fixture(scope="module")
def quick() -> OpenTrace:
    return score(SCENE)


@pytest.fixture(scope="module")
def slow() -> OpenTrace:
    return score(SCENE, turn_provider="silence", turn_silence_ms=900, turn_adapt=False)


def sounds(html: str) -> list[bytes]:
    return [b64decode(data) for data in re.findall(r'src="data:audio/wav;base64,([^"]+)"', html)]


def test_a_session_is_shown_with_picture_words_and_every_turn_to_hear(quick: OpenTrace) -> None:
    bundle: Any = show(quick)._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert size(b64decode(bundle["image/png"]))[0] > 800
    assert "2 turns" in bundle["text/plain"]
    html = bundle["text/html"]
    assert "It is a fine day." in Page(html).text
    wavs = sounds(html)
    assert len(wavs) == 2
    for turn, wav in zip(quick.turns, wavs, strict=True):
        assert wav[:4] == b"RIFF"
        seconds = (len(wav) - 44) / 2 / PAGE_RATE
        assert seconds == pytest.approx(len(quick.audio(turn=turn.turn)) / OUTPUT_RATE, abs=0.01)


def test_why_the_agent_spoke_and_every_event_open_where_they_are_clicked(quick: OpenTrace) -> None:
    html = show(quick).html
    text = Page(html).text
    for words in (
        "Why the agent spoke",
        "Turn 1",
        "end of turn",
        "probability",
        "Events",
        "turn_decided",
        "heard",
    ):
        assert words in text
    one = show(quick, turn=2).html
    assert one.count("speech_started") < html.count("speech_started")
    assert "turn_ended" in one


def test_one_turn_is_shown_alone(quick: OpenTrace) -> None:
    html = show(quick, turn=2).html
    assert "Nothing else." in html
    assert "fine day" not in html
    assert len(sounds(html)) == 1
    with pytest.raises(UsageError, match="no turn 7"):
        show(quick, turn=7)


def test_only_so_much_sound_is_in_a_page(quick: OpenTrace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.notebook.session_page.MOST_SOUND_S", 3.0)
    html = show(quick).html
    assert len(sounds(html)) == 1
    assert "show(…, turn=2)" in html


def test_two_sessions_are_compared_turn_by_turn(quick: OpenTrace, slow: OpenTrace) -> None:
    shown = compare(quick, slow, names=("quick", "slow"))
    page = Page(shown.html)
    assert shown.text.startswith("quick: 2 turns")
    assert re.search(r"endpointing\d+900\+\d+ ms", page.text)
    assert len(sounds(shown.html)) == 4
    assert len(re.findall("data:image/png", shown.html)) == 3
    assert "data:image/png" not in shown.html.partition("<table")[2]  # where they would be too small to read
    assert "+0 ms" in Page(compare(quick, quick).html).text


def test_sessions_of_different_length_are_compared(quick: OpenTrace) -> None:
    page = Page(compare(quick, traced(), names=("{0}", "$<b>")).html)
    assert "$<b>" in page.text
    assert "–" in page.text
    assert "b" not in page.tags - {"b"}


def test_a_session_and_what_has_one_are_shown_too() -> None:
    settings = load_settings(
        {
            "profile": "scripted",
            "audio.source": "none",
            "audio.sink": "none",
            "tts.provider": "none",
            "record.enabled": False,
        }
    )

    class Widget:
        def __init__(self, session: Any) -> None:
            self.session = session

    with open_session(settings) as session:
        session.ask("hello")
        assert "1 turn" in show(session).text
        assert "<audio" not in show(session).html  # nobody is heard
        assert "1 turn" in show(Widget(session)).text  # type: ignore[arg-type]


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(UsageError, match="str is neither a trace nor a session – give session"):
        show("folder")  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c"), (), "ab", None, 3, ("a", 2), (None, None)])
def test_a_comparison_has_two_names(quick: OpenTrace, names: Any) -> None:
    with pytest.raises(UsageError, match="are not two names – write names="):
        compare(quick, quick, names=names)


def test_thousands_of_turns_and_huge_lines_make_no_huge_page() -> None:
    events = [event for turn in range(1, 1501) for event in spoken(turn)]
    long = OpenTrace(lambda: 1501 * 10_000.0, keep=len(events), keep_turns=None)
    for event in events:
        long.emit(event)
    huge = traced(*spoken(1, HOSTILE + "x" * 3_000_000, "\u202e" + "y " * 1_500_000), clock=[20_000.0])
    for trace in (long, huge):
        for shown in (show(trace), compare(trace, trace)):
            assert len(shown.html) < 2_000_000
            assert len(shown.text) < 1000
            assert "\u202e" not in shown.html
    html = show(long).html
    assert "the 1300 turns before are not shown" in html
    assert "the 1300 turns before are not shown" in compare(long, long).html
    for figure in (long.plot.latency(), long.plot.waterfall(), long.plot.timeline()):
        assert max(size(figure.png())) < 3000
        assert sum(len(axes.get_children()) for axes in figure.axes) < 1000, "not an artist each"


def test_hostile_text_does_not_become_part_of_the_page() -> None:
    trace = traced(*spoken(1, HOSTILE, HOSTILE), clock=[20_000.0])
    for html in (
        show(trace).html,
        show(trace, turn=1).html,
        compare(trace, trace, names=(HOSTILE, HOSTILE)).html,
    ):
        assert html.count("<script>") == 1, "our own"
        body, _, script = html.removeprefix(styled(NARROW)).partition("<script>")
        assert "alert" not in script
        assert Page(body).tags <= {
            "div",
            "img",
            "audio",
            "details",
            "summary",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "b",
            "br",
            "small",
            "span",
        }
        assert "http" not in html, "nothing is fetched"


@pytest.mark.browser
def test_a_click_on_the_picture_plays_that_moment(quick: OpenTrace, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    page_file = tmp_path / "page.html"
    page_file.write_text(f'<meta charset="utf-8">{show(quick).html}', "utf-8")
    moment = quick.moment(2)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(PATIENCE_S * 1000)
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(page_file.as_uri())
        page.wait_for_function("[...document.querySelectorAll('audio')].every((sound) => sound.duration > 0)")
        place = page.evaluate(
            """(ms) => {
                const picture = document.querySelector('img[data-rows]'), box = picture.getBoundingClientRect();
                const [left, bottom, right, top, first, last] = picture.dataset.rows.split(',').map(Number);
                return [box.left + box.width * (left + (right - left) * (ms - first) / (last - first)),
                        box.top + box.height * (1 - (bottom + top) / 2)];
            }""",
            moment.start_ms + 500,
        )
        page.mouse.click(*place)
        page.wait_for_function(
            "(() => { const s = document.querySelectorAll('audio')[1]; return !s.paused && s.currentTime >= 0.5 })()"
        )
        assert page.evaluate("document.querySelectorAll('audio')[0].paused")
        line = "getComputedStyle(document.querySelector('img[data-rows]').nextElementSibling).display"
        page.wait_for_function(f"{line} === 'block'")
        page.wait_for_function(f"document.querySelectorAll('audio')[1].ended && {line} === 'none'")
        assert not troubles
        browser.close()


def test_a_saved_notebook_shows_it_without_javascript(quick: OpenTrace, slow: OpenTrace) -> None:
    """What nbconvert makes of outputs on disk: a page, and Markdown with the picture beside it."""
    import nbformat
    from nbconvert import HTMLExporter, MarkdownExporter

    cells: list[Any] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "source": "show(trace)",
            "metadata": {},
            "execution_count": 1,
            "outputs": [
                {
                    "output_type": "execute_result",
                    "execution_count": 1,
                    "metadata": {},
                    "data": shown._repr_mimebundle_(),
                }
            ],
        }
        for number, shown in enumerate((show(quick), compare(quick, slow)))
    ]
    book = nbformat.from_dict({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    html, _ = HTMLExporter().from_notebook_node(book)
    page = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert len(re.findall('<img[^>]* src="data:image/png', page)) == 4
    assert "It is a fine day." in page
    assert len(sounds(page)) == 6
    markdown, resources = MarkdownExporter().from_notebook_node(book)
    assert "It is a fine day." in markdown
    assert "data:image/png" in markdown or resources["outputs"]
