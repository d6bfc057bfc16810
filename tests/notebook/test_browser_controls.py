"""The live widget in JupyterLab: everything on the page does what it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.notebook.browser import (
    BEGIN,
    DATA,
    HOSTILE,
    LOUD,
    SILENT,
    expect_line,
    interrupt_answer,
    let_file_speak,
    opened,
    state,
    talk,
    type_text,
)
from tests.notebook.lab import Book, Lab
from tests.waiting import until

pytestmark = pytest.mark.browser


def test_interrupt_is_heard_at_once(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab) as book:
        book.page.evaluate(LOUD)
        book.run(0)
        interrupt_answer(book)


PLUGIN = f"""
import html
from workbench import hookimpl
from workbench.plugin.values import Panel

class Count:
    said = ""
    def feed(self, entries):
        for entry in entries:
            if type(entry.event).__name__ == "TurnEnded":
                self.said = entry.event.agent_text
    def __str__(self):
        return f"{HOSTILE} {{self.said}}"

class Marked(Count):
    def _repr_html_(self):
        return f"<b class='marked'>{{html.escape(str(self))}}</b><script>window.ran = 1</script>"

class Broken(Count):
    def feed(self, entries):
        raise ValueError("not this one")

def slider():
    from ipywidgets import IntSlider
    return IntSlider(7, description="seven")

@hookimpl
def workbench_notebook_panels():
    given = dict(count=Count, marked=Marked, broken=Broken, slider=slider)
    return [Panel(name, f"Panel {{name}} {HOSTILE}", make) for name, make in given.items()]
"""
WITH_TOOLS = f"""
import json, pathlib, threading
from workbench import Agent, RunContext, tool
from workbench.notebook import live
pathlib.Path("panels.py").write_text({PLUGIN!r})
go_on = threading.Event()

@tool
def look_up(ctx: RunContext, city: str) -> str:
    "Look a city up."
    ctx.progress("half {HOSTILE}", 0.5)
    go_on.wait(30)
    return "{HOSTILE}" + city

script = dict(choose=[
    dict(when="Oslo", tool="look_up", arguments=dict(city="{HOSTILE}")),
    dict(when="Rome", tool="{HOSTILE}", arguments=dict(city="Rome")),
])
w = live(Agent(instructions="x", tools=[look_up]), source="none", sink="none", profile="scripted", script=script,
         tts_provider="none", plugins=["panels.py"])
w
"""


@pytest.fixture(scope="module")
def with_tools(browser: Browser, lab: Lab) -> Iterator[Book]:
    """Cell 2 lets the tool go on that is called when Oslo is asked for."""
    with opened(browser, lab, "go_on.set()", begin=WITH_TOOLS) as book:
        book.run(0)
        yield book
        assert not book.errors


def test_calls_of_tools_are_shown_from_their_beginning_to_their_end(with_tools: Book) -> None:
    page = with_tools.page
    for city, call in (("Rome", "Rome"), ("Oslo", "look_up")):
        type_text(with_tools, f"What about {city}?")
        expect(page.locator(".wb-tool code").filter(has_text=call)).to_be_visible()
    expect(page.locator(".wb-tool.wb-is-failed code")).to_contain_text(HOSTILE)
    running = page.locator(".wb-tool.wb-is-running")
    expect(running).to_contain_text(f"half {HOSTILE}")
    expect(running).to_contain_text("50 %")
    expect(running.locator("progress")).to_have_js_property("value", 0.5)
    with_tools.run(2)
    expect(page.locator(".wb-tool.wb-is-done")).to_contain_text(f"→ {HOSTILE}{HOSTILE}")


def test_panels_of_plugins_show_text_html_widgets_and_errors(with_tools: Book) -> None:
    type_text(with_tools, HOSTILE)
    panels = with_tools.page.locator(".wb-panel")
    expect(panels).to_have_count(4)
    expect(panels.nth(0)).to_contain_text(f"Panel count {HOSTILE}")
    expect(panels.nth(0).locator(".wb-panel-text")).to_contain_text(f"{HOSTILE} ")
    expect(panels.nth(1).locator("b.marked")).to_contain_text(f"{HOSTILE} ")
    assert with_tools.page.evaluate("window.ran") == 1  # a plugin's HTML is its code
    expect(panels.nth(2).locator(".wb-panel-error")).to_contain_text("not this one")
    expect(panels.nth(3).locator(".widget-slider")).to_contain_text("seven")


def test_a_browser_that_cancels_no_echo_makes_it_half_duplex(browser: Browser, lab: Lab) -> None:
    """It says so, and what the user chooses stays."""
    undecided = BEGIN.replace(', bargein_mode="half"', "")
    with opened(browser, lab, "w.session.set(bargein_mode='full')", begin=undecided) as book:
        page = book.page
        page.evaluate("""() => {
            const settings = MediaStreamTrack.prototype.getSettings;
            MediaStreamTrack.prototype.getSettings = function () {
                return { ...settings.call(this), echoCancellation: false };
            };
        }""")
        book.run(0)
        talk(book)
        expect_line(book, "note", "half duplex: the browser does not take what we say out of its microphone")
        expect(page.locator(".wb-about")).to_contain_text("half duplex")
        expect(page.locator(".wb-network")).to_contain_text("echo not cancelled")
        book.run(2)
        expect(page.locator(".wb-about")).not_to_contain_text("half duplex")
        page.click(".wb-talk")
        talk(book)
        expect_line(book, "note", "use headphones")
        expect(page.locator(".wb-about")).not_to_contain_text("half duplex")


def test_text_is_answered_as_text_and_the_turn_has_a_waterfall(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab) as book:
        book.run(0)
        type_text(book, HOSTILE)
        expect_line(book, "user", HOSTILE)
        expect_line(book, "agent", f"You said: {HOSTILE}")
        expect(book.page.locator(".wb-bar-row")).not_to_have_count(0)
        assert not book.errors


FLIPS = """() => {
    window.flips = 0;
    const toolbar = document.querySelector(".jp-NotebookPanel-toolbar");
    const told = { attributes: true, childList: true, subtree: true };
    new MutationObserver((found) => (flips += found.length)).observe(toolbar, told);
}"""


def test_speech_is_answered_and_measured_and_is_no_work_of_the_kernels(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab) as book:
        page = book.page
        book.run(0)
        talk(book)
        expect_line(book, "user", "One.")
        expect_line(book, "agent", "You said: One.")
        page.evaluate(FLIPS)
        expect_line(book, "user", "Two.")
        assert page.evaluate("flips") < 30  # of fifty chunks a second the kernel reports nothing
        expect(page.locator(".wb-plot canvas")).to_be_visible()
        expect(page.locator(".wb-part").filter(has_text="playback buffer")).to_be_visible()
        expect(page.locator(".wb-network")).to_contain_text("echo cancelled by the browser")
        assert not book.errors


def test_the_buttons_mute_hold_bookmark_and_stop(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab) as book:
        page = book.page
        book.run(0)
        talk(book)
        page.click(".wb-mute")
        expect(page.locator(".wb-mute")).to_have_text("Unmute")
        assert state(book).muted
        page.click(".wb-mute")
        expect(page.locator(".wb-mute")).to_have_text("Mute")
        page.hover(".wb-push")
        page.mouse.down()
        page.mouse.up()  # let go: not listening
        expect(page.locator(".wb-mute")).to_have_text("Unmute")
        page.click(".wb-bookmark")
        expect_line(book, "note", "bookmark")
        page.click(".wb-interrupt")
        page.click(".wb-talk")
        expect(page.locator(".wb-talk")).to_have_text("Talk")
        assert not book.errors


def test_settings_are_changed_on_the_page_and_in_a_cell(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab, "w.muted = True; w.session.set(turn_silence_ms=700)") as book:
        book.run(0)
        book.page.click(".wb-more summary")
        slider = book.page.locator(".wb-settings input[aria-label='turn.silence_ms']")
        slider.fill("900")
        until(lambda: state(book).silence_ms == 900)
        book.run(2)
        expect(slider).to_have_value("700")
        expect(book.page.locator(".wb-mute")).to_have_text("Unmute")
        assert not book.errors


def test_a_file_speaks_in_the_place_of_the_microphone_which_has_its_turn_again(
    browser: Browser, lab: Lab
) -> None:
    with opened(browser, lab, begin=SILENT) as book:
        page = book.page
        book.run(0)
        talk(book)
        page.click(".wb-more summary")
        expect(page.locator(".wb-devices select[aria-label='microphone'] option")).not_to_have_count(0)
        let_file_speak(book, str(DATA / "question.wav"), where=".wb-more")
        expect(page.locator(".wb-network")).to_contain_text("question.wav 0:0")
        expect(page.locator(".wb-network")).to_contain_text("echo cancelled by the browser")
        devices = [device for device in state(book).devices if "'mic'" in device]
        kinds = ["file" if "browser: file question.wav" in device else "fake" for device in devices]
        assert kinds == ["fake", "file", "fake"], devices
        assert not book.errors
