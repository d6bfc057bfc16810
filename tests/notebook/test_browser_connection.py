"""The live widget in JupyterLab when kernel, page or connection are busy, away or gone."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.notebook.browser import (
    BEGIN,
    SILENT,
    count_questions,
    expect_line,
    expect_notice,
    let_capture,
    opened,
    state,
    talk,
    type_text,
)
from tests.notebook.lab import SLOW_TIMERS, Book, Lab
from tests.notebook.proxy import Proxy
from tests.waiting import until

pytestmark = pytest.mark.browser
BLOCK = """
import time
w.send({{'k': 'nothing'}})
begun = time.monotonic()
while not (held := {}) or time.monotonic() < begun + 5:
    assert time.monotonic() < begun + 60
    time.sleep(0.1)
print(json.dumps(held))
"""
"""A cell that holds the kernel for five seconds at least, until something is so."""


def test_a_blocking_cell_loses_no_word_and_what_is_said_is_answered_meanwhile(
    browser: Browser, lab: Lab
) -> None:
    sleep = BLOCK.format("any(line['text'] == 'Two.' for line in w.lines)")
    compute = """
until, n = time.monotonic() + 5, 1
while time.monotonic() < until:
    n = n * 31 % 1_000_003
"""
    with opened(browser, lab, sleep, compute, begin=SILENT) as book:
        book.run(0)
        talk(book)
        expect_line(book, "user", "One.")
        book.run(2)
        assert book.printed(2)  # it was taken and shown while the cell slept
        book.run(3)
        until(lambda: count_questions(state(book).speech) >= 6)
        assert state(book).glitches == []
        assert not book.errors


def test_the_same_in_notebook_7(browser: Browser, lab: Lab) -> None:
    sleep = BLOCK.format("sum(line['who'] == 'agent' and line['state'] == 'done' for line in w.lines) >= 2")
    with opened(browser, lab, sleep, url=lambda name: lab.url(name, classic=True)) as book:
        assert book.page.evaluate("window.jupyterapp.name") == "Jupyter Notebook"
        book.run(0)
        talk(book)
        expect_line(book, "agent", "You said: One.")
        book.run(2)
        assert book.printed(2)  # an answer came while the cell slept
        assert state(book).glitches == []


def test_the_sound_is_taken_over_by_a_second_page_and_freed_when_that_is_closed(
    browser: Browser, lab: Lab
) -> None:
    with opened(browser, lab) as book:
        book.run(0)
        type_text(book, "Remember me.")
        expect_line(book, "agent", "You said: Remember me.")
        talk(book)
        expect_line(book, "user", "One.")
        book.save()
        other = Book(book.page.context.new_page())
        other.open(book.page.url)
        expect_line(other, "agent", "You said: Remember me.")  # both show it
        expect(other.page.locator(".wb-talk")).to_have_text("Take over")
        other.page.click(".wb-talk")
        let_capture(book, 2)
        expect(book.page.locator(".wb-talk")).to_have_text("Take over")
        other.page.goto("about:blank")
        expect(book.page.locator(".wb-talk")).to_have_text("Talk")
        book.page.reload()
        expect_line(book, "agent", "You said: Remember me.")
        kernel = state(book)
        kinds = [device.partition("(")[0] for device in kernel.devices if "'mic'" in device]
        assert kinds == ["DeviceOpened", "DeviceOpened", "DeviceLost"]  # each page was captured
        assert not kernel.over  # typing works
        assert not book.errors


def test_one_more_widget_gives_up_the_sound_when_its_cell_runs_again(browser: Browser, lab: Lab) -> None:
    more = "w2 = live(w.session); w2"
    with opened(browser, lab, more, "print(json.dumps(len(w._watcher._subscribers)))") as book:
        book.run(0)
        type_text(book, "Remember me.")
        book.run(2)
        book.cell(2).locator(".wb-talk").click()
        let_capture(book)
        book.run(2)
        expect(book.cell(2).locator(".wb-talk")).to_have_text("Talk")  # the one that had the sound is gone
        lost = until(lambda: [device for device in state(book).devices if "DeviceLost" in device])
        assert "its widget was taken away" in lost[0]
        book.run(3)
        assert book.printed(3) == 2
        expect_line(book, "agent", "You said: Remember me.")
        assert not book.errors


def test_a_throttled_page_that_slept_is_heard_again(browser: Browser, lab: Lab) -> None:
    """Its session took it for gone meanwhile."""
    soon = BEGIN.replace(
        "w = live",
        "import workbench.transports.browser.page\nworkbench.transports.browser.page.PRESENT_S = 3\nw = live",
    )
    with opened(browser, lab, begin=soon) as book:
        book.page.evaluate(SLOW_TIMERS)
        book.run(0)
        talk(book)
        expect_line(book, "agent", "You said: One.")
        suspend_pages(browser, 6)
        expect_notice(book, "this page was asleep for")
        expect_line(book, "note", "the page was closed or is gone")
        expect_line(book, "agent", "You said: Two.")
        assert len(state(book).devices) == 4  # both, the microphone lost, and the microphone
        assert not book.errors


def suspend_pages(browser: Browser, seconds: float) -> None:
    """Stop what draws the pages, as a laptop that is closed does."""
    info = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    renderers = [process["id"] for process in info["processInfo"] if process["type"] == "renderer"]
    try:
        for renderer in renderers:
            os.kill(renderer, signal.SIGSTOP)
        time.sleep(seconds)  # the outage
    finally:
        for renderer in renderers:
            os.kill(renderer, signal.SIGCONT)


def test_the_connection_is_lost_for_ten_seconds(browser: Browser, lab: Lab) -> None:
    with Proxy(lab.port) as proxy:
        by_proxy = lambda name: lab.url(name).replace(str(lab.port), str(proxy.port))  # noqa: E731
        with opened(browser, lab, url=by_proxy, begin=SILENT) as book:
            book.run(0)
            talk(book)
            expect_line(book, "user", "One.")
            proxy.hold()
            expect_notice(book, "the kernel does not answer")
            expect(book.page.locator(".wb-talk")).to_be_enabled()
            time.sleep(6)  # the outage
            proxy.release()
            expect(book.page.locator(".wb-notice")).to_be_hidden()
            speech = until(lambda: state(book).speech)
            wanted = count_questions(speech) + 6  # more than was kept
            until(lambda: count_questions(state(book).speech) >= wanted)
            assert state(book).glitches == []  # what was said meanwhile came late, and is whole


@pytest.fixture
def restarted(browser: Browser, lab: Lab) -> Iterator[Book]:
    """A conversation whose kernel was restarted while the microphone was open; cell 2 takes it up again."""
    again = BEGIN.replace("profile=", "resume=True, profile=")
    with opened(browser, lab, f"{again}\nprint(json.dumps(len(w.session.conversation.messages)))") as book:
        book.run(0)
        type_text(book, "Remember me.")
        expect_line(book, "agent", "You said: Remember me.")
        expect(book.page.locator(".wb-agent.wb-is-done")).to_have_count(1)
        expect(book.page.locator(".wb-activity")).to_have_text("listening")
        talk(book)
        book.page.wait_for_function(LOUD_METERS)
        book.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        expect_notice(book, "resume=True")
        yield book


LOUD_METERS = (
    """() => [...document.querySelectorAll('.wb-bar i')].some((bar) => bar.style.transform !== 'scaleX(0)')"""
)


def test_after_a_restart_the_widget_shows_the_end_and_invites_to_nothing(restarted: Book) -> None:
    page = restarted.page
    expect(page.locator(".wb-activity")).to_have_text("ended")
    expect(page.locator(".wb-live")).to_have_attribute("data-activity", "ended")
    assert not page.evaluate(LOUD_METERS)
    expect(page.locator(".wb-live :is(button, input):enabled:not([type=file])")).to_have_count(0)


def test_after_a_restart_the_conversation_is_taken_up(restarted: Book) -> None:
    kernel = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    restarted.page.wait_for_function(f"{kernel}.status === 'idle'")
    restarted.run(2)
    assert json.loads(re.findall(r"^\d+$", restarted.output(2), re.MULTILINE)[0]) == 2


def test_a_kernel_that_was_killed_is_reported(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)") as book:
        book.run(0)
        talk(book)
        book.run(2, wait=False)
        expect_notice(book, re.compile("kernel (was restarted|has ended|does not answer)"))
