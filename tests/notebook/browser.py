"""What tests of the live widget in a browser share: a notebook with it, and what they look for on its page."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from playwright.sync_api import Browser, expect

from tests.notebook.lab import Book, Lab
from tests.waiting import PATIENCE_S, until

DATA = Path(__file__).parents[1] / "data"
SCRIPT = {"agent": ["You said: {said}"], "user": ["One.", "Two.", "Three."]}
HOSTILE = "<img src=x onerror=owned=1>"
BEGIN = f"""
import json
from workbench import Agent
from workbench.model.events import *
from workbench.notebook import live
w = live(Agent(instructions="Be brief.", name="tour"), profile="scripted", script={SCRIPT!r}, bargein_mode="half")
w
"""
SILENT = BEGIN.replace('bargein_mode="half"', 'tts_provider="none"')
"""The agent answers by text, so that the microphone captures nothing of it."""
STATE = """
def events(*kinds):
    return [str(e.event) for e in w.session.trace.since(0) if type(e.event).__name__ in kinds]
print(json.dumps([
    events("SpeechStarted", "SpeechPaused", "SpeechResumed"), events("Glitch"), events("DeviceOpened", "DeviceLost"),
    w.muted, w.session.settings.turn.silence_ms, w.session.over,
]))
"""


class KernelState(NamedTuple):
    """What the session says of itself: its events as texts, and some values."""

    speech: list[str]
    glitches: list[str]
    devices: list[str]
    muted: bool
    silence_ms: float
    over: bool


@contextlib.contextmanager
def opened(
    browser: Browser, lab: Lab, *cells: str, url: Callable[[str], str] | None = None, begin: str = BEGIN
) -> Iterator[Book]:
    """Open a notebook of its own in a page of its own; its kernel is ended afterwards.

    Cell 0 is `begin`, cell 1 is for `state`, the others follow. On leaving, no hostile text may have run on the page.
    """
    name = lab.write(f"book{time.monotonic_ns()}.ipynb", [begin, STATE, *cells])
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(PATIENCE_S * 1000)
    try:
        book = Book(context.new_page())
        book.open(url(name) if url else lab.url(name))
        yield book
        assert not book.page.evaluate("window.owned === 1")
    finally:
        context.close()
        lab.end_kernels()


def state(book: Book) -> KernelState:
    """Ask the kernel, by a cell."""
    book.run(1)
    return KernelState(*book.printed(1))


def talk(book: Book) -> None:
    """Press Talk."""
    book.page.click(".wb-talk")
    expect(book.page.locator(".wb-talk")).to_have_text("Stop")


def let_capture(book: Book, times: int = 1) -> None:
    """Wait until the session has taken sound of so many captures."""
    until(lambda: sum(d.startswith("DeviceOpened") and "'mic'" in d for d in state(book).devices) >= times)


def type_text(book: Book, text: str) -> None:
    """Type to the agent."""
    book.page.fill(".wb-type", text)
    book.page.press(".wb-type", "Enter")


def expect_line(book: Book, who: str, text: str | re.Pattern[str]) -> None:
    """Wait for a line of the conversation with that text."""
    expect(book.page.locator(f".wb-{who} .wb-text").filter(has_text=text).first).to_be_visible()


def expect_notice(book: Book, text: str | re.Pattern[str]) -> None:
    """Wait for the notice above the conversation."""
    expect(book.page.locator(".wb-notice")).to_contain_text(text)


def let_file_speak(book: Book, file: str, where: str = ".wb-notice") -> None:
    """Choose a file that speaks; the picker is there."""
    expect(book.page.locator(f"{where} .wb-instead button")).to_be_visible()
    book.page.set_input_files(f"{where} .wb-file", file)


def count_questions(speech: list[str]) -> int:
    """Return how often the question was captured from its beginning to its end; fail if one was cut or merged.

    It is 1.6 s long, and begins every 2.3 s of the microphone's own time.
    """
    starts = [
        int(match[1])
        for text in speech
        if (match := re.search(r"(?:Started|Resumed).*at_sample=(\d+)", text))
    ]
    ends = [int(match[1]) for text in speech if (match := re.search(r"Paused.*end_sample=(\d+)", text))]
    assert all(1.0 < (end - start) / 16_000 < 2.2 for start, end in zip(starts, ends, strict=False)), speech
    between = np.diff(ends) / 16_000  # one that was not heard would leave twice the time
    assert len(ends) < 2 or np.allclose(between, np.median(between), atol=0.3), speech
    return len(ends)


LOUD = """(() => {
  window.loudAt = window.loudFrom = window.cutAt = 0;
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...more) {
    if (to instanceof AudioDestinationNode && !(this instanceof ScriptProcessorNode)) {
      const tap = this.context.createScriptProcessor(512, 1, 1);
      tap.onaudioprocess = ({ inputBuffer }) => {
        if (!inputBuffer.getChannelData(0).some((value) => Math.abs(value) > 0.01)) return;
        window.loudAt = performance.now();
        window.loudFrom ||= window.loudAt;
      };
      connect.call(this, tap);
      connect.call(tap, to);
    }
    return connect.call(this, to, ...more);
  };
})()"""
"""When the page first and last played something, ms."""


def interrupt_answer(book: Book) -> None:
    """Let the page, on which `LOUD` ran, play a long answer, interrupt it, and expect silence long before its end."""
    page = book.page
    page.evaluate(
        "document.querySelector('.wb-interrupt').onpointerdown = () => (window.cutAt = performance.now())"
    )
    type_text(book, "This takes a minute to say. " * 20)
    page.wait_for_function("window.loudAt - window.loudFrom > 500")
    page.click(".wb-interrupt")
    expect(page.locator(".wb-agent.wb-is-cut")).to_be_visible()
    page.wait_for_function("performance.now() - window.loudAt > 1000")
    loud_at, cut_at = page.evaluate("[window.loudAt, window.cutAt]")
    assert cut_at > 0
    assert loud_at - cut_at < 5000  # all of it takes half a minute
    expect(page.locator(".wb-agent s")).to_contain_text("a minute")  # most of it was not heard
