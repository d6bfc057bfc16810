"""Reports: one file that fetches nothing, whatever the recording says."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden_recordings import TRACES, golden_recording, made_recording
from tests.readers.test_exports import HOSTILE, hostile
from workbench.__main__ import run
from workbench.replay.report.page import report_html
from workbench.replay.report.waveform import ROWS, clock, row_length_ms
from workbench.trace.store import About, SessionFolder, open_trace

SCENES = sorted({path.name.split(".")[0] for path in TRACES.glob("*.events.jsonl")})
ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "script",
        "header",
        "section",
        "article",
        "div",
        "span",
    ),
    *(
        "h1",
        "h2",
        "h3",
        "p",
        "small",
        "b",
        "i",
        "s",
        "br",
        "time",
        "code",
        "pre",
        "ul",
        "li",
        "button",
        "label",
    ),
    *("input", "audio", "svg", "path", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
}
LINKS = {"href", "action", "srcset", "poster", "background", "formaction", "xlink:href", "data"}


class ReportParser(HTMLParser):
    """What a browser would make of the page: its tags, its sources, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.bad: list[str] = []
        self.meta: dict[str, str] = {}
        self.text = ""
        self.script = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = tag
        values = {name: value or "" for name, value in attrs}
        self.bad += [name for name in values if name.startswith("on") or name in LINKS]
        if "src" in values:
            self.sources.append(values["src"])
        if "http-equiv" in values:
            self.meta[values["http-equiv"]] = values["content"]

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.script += data
        elif self._inside != "style":
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def page_of(folder: Path) -> ReportParser:
    html = report_html(open_trace(folder), SessionFolder.open(folder).about)
    parser = ReportParser(html)
    assert set(parser.tags) <= ALLOWED
    assert parser.tags.count("script") == 1
    assert parser.bad == []
    assert all(source.startswith("data:audio/ogg;base64,") for source in parser.sources)
    assert not re.search(r"url\(|@import|https?://", html)
    return parser


@pytest.mark.parametrize("name", SCENES)
def test_every_conversation_has_its_report(name: str, tmp_path: Path) -> None:
    page = page_of(golden_recording(name, tmp_path / "a", sound_s=1.0))
    assert page.sources
    assert page.tags.count("article") >= 1
    assert "What was said" in page.text


def test_a_report_says_what_was_heard_and_what_was_not(tmp_path: Path) -> None:
    text = page_of(golden_recording("interruption", tmp_path / "a")).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "This is a rather long answer" in text
    assert "not heard" in text
    assert "heard after 630 ms" in text
    assert "then cut off: interrupted: words" in text
    assert "n = 1; not among them: 1 cut" in text


def test_what_was_thrown_away_called_and_failed_is_there(tmp_path: Path) -> None:
    assert "the user went on" in page_of(golden_recording("reopened", tmp_path / "a", sound_s=0)).text
    assert "✓" in page_of(golden_recording("tool", tmp_path / "b", sound_s=0)).text
    failed = page_of(golden_recording("failure", tmp_path / "c", sound_s=0))
    assert "llm: scripted failed too often" in failed.text
    assert failed.sources == []  # nothing was recorded, so there is nothing to play


def test_only_the_scripts_own_hash_may_run(tmp_path: Path) -> None:
    page = page_of(golden_recording("answer", tmp_path / "a", sound_s=0.5))
    policy = page.meta["Content-Security-Policy"]
    hashed = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert f"script-src 'sha256-{hashed}';" in policy
    assert policy.startswith("default-src 'none';")


def test_a_hostile_recording_is_harmless_text(tmp_path: Path) -> None:
    page = page_of(made_recording(tmp_path / "a", hostile(), sound_s=0.5))
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


@settings(max_examples=8)
@given(st.text() | st.just(HOSTILE) | st.just('"><img src=x onerror=alert(1)>') | st.just("' onclick='x"))
def test_any_words_make_a_page(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    page_of(made_recording(tmp_path_factory.mktemp("any") / "a", hostile(text), sound_s=0.05))


@settings(max_examples=10)
@given(st.integers(0, 20_000))
def test_a_recording_that_breaks_off_anywhere_has_a_report(
    tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    folder = golden_recording("interruption", tmp_path_factory.mktemp("cut") / "a", sound_s=0.2)
    events = (folder / "events.jsonl").read_bytes()
    (folder / "events.jsonl").write_bytes(events[:size])
    (folder / "user.wav").write_bytes((folder / "user.wav").read_bytes()[: size // 4])
    page_of(folder)


def test_secrets_in_settings_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "very-secret-value")
    folder = golden_recording("typed", tmp_path / "a", sound_s=0)
    about = About(settings={"llm": {"url": "https://u:pass@h/?key=abcdefghij", "x": "very-secret-value"}})
    html = report_html(open_trace(folder), about)
    assert "very-secret-value" not in html
    assert "abcdefghij" not in html
    assert "u:pass" not in html


@given(st.floats(1.0, 1e9))
def test_rows_are_few_and_cover_the_session(end_ms: float) -> None:
    row_ms = row_length_ms(end_ms)
    assert row_ms * ROWS >= end_ms * 0.999
    assert clock(end_ms).count(":") in (1, 2)


def test_the_command_writes_a_new_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    talk = str(golden_recording("answer", tmp_path / "talk", sound_s=0.5))
    assert run(["report", talk]) == 0
    assert "wrote report.html" in capsys.readouterr().err
    assert run(["report", talk, "-o", "report.html"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(["report", talk, "-o", "-"]) == 0
    assert capsys.readouterr().out.endswith("</html>\n")
    assert run(["report", "nothing"]) == 2


@pytest.mark.browser
def test_a_click_on_a_turn_plays_it_and_stops_at_its_end(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    folder = golden_recording("interruption", tmp_path / "a", sound_s=7.0)
    file = tmp_path / "report.html"
    file.write_text(report_html(open_trace(folder), SessionFolder.open(folder).about), encoding="utf-8")
    with (
        sync_playwright() as tool,
        tool.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        ) as browser,
    ):
        page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.click(".row .turn >> nth=1")
        playing = page.locator("article.now").first
        playing.wait_for(state="attached")
        playing.wait_for(state="detached")  # it has come to the turn's end
        assert page.evaluate("document.querySelector('audio').paused")
        assert page.evaluate("document.querySelector('audio').currentTime") > 5.0
        assert errors == []
