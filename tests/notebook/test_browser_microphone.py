"""The live widget where there is no microphone, and with real models in both directions."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Playwright, expect

from tests.notebook.browser import (
    DATA,
    LOUD,
    SILENT,
    STATE,
    count_questions,
    expect_line,
    expect_notice,
    interrupt_answer,
    let_file_speak,
    opened,
    state,
    talk,
    type_text,
)
from tests.notebook.lab import SLOW_TIMERS, Book, Lab, chromium
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.browser

LAST_TURN = "print(json.dumps([events('Heard'), w.session.turns[-1].turn, w.session.turns[-1].parts_ms]))"


@pytest.fixture(scope="module")
def denied(playwright: Playwright, lab: Lab) -> Iterator[Browser]:
    """Its user gives no page a microphone, and elsewhere.test, which is not secure, is the Jupyter server, too."""
    resolve = f"--host-resolver-rules=MAP elsewhere.test 127.0.0.1:{lab.port}"
    flags = [resolve, "--deny-permission-prompts"]
    with chromium(playwright, DATA / "question.wav", allow=False, flags=flags) as browser:
        yield browser


@pytest.fixture(scope="module")
def denied_book(denied: Browser, lab: Lab) -> Iterator[Book]:
    """A notebook in which Talk was pressed."""
    with opened(denied, lab, begin=SILENT) as book:
        book.run(0)
        book.page.click(".wb-talk")
        yield book
        assert not book.errors


@pytest.fixture(scope="module")
def insecure_book(denied: Browser, lab: Lab) -> Iterator[Book]:
    """A notebook on a page that is not secure, in which Talk was pressed; cell 2 prints the last turn."""
    insecure = lambda name: lab.url(name).replace("127.0.0.1", "elsewhere.test")  # noqa: E731
    with opened(denied, lab, LAST_TURN, url=insecure) as book:
        book.page.evaluate(LOUD)
        book.run(0)
        book.page.click(".wb-talk")
        yield book
        assert not book.errors


def test_without_permission_the_reason_is_said_and_text_is_answered(denied_book: Book) -> None:
    expect_notice(denied_book, "was told to give this page no microphone")
    type_text(denied_book, "Hello?")
    expect_line(denied_book, "agent", "You said: Hello?")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.wav", lambda: b"", "there is no sound in this file"),
        ("<b>a.wav", lambda: b"no sound at all", "no audio that the browser can decode"),
        ("hours.wav", lambda: silent_wav(601), "longer than 10 minutes"),
    ],
)
def test_a_file_that_cannot_speak_is_refused_with_the_reason(
    denied_book: Book, tmp_path: Path, name: str, content: Callable[[], bytes], reason: str
) -> None:
    (tmp_path / name).write_bytes(content())
    let_file_speak(denied_book, str(tmp_path / name))
    expect_notice(denied_book, reason)


def test_without_permission_a_file_speaks(denied_book: Book) -> None:
    file_speaks(denied_book)


def test_on_an_insecure_page_the_reason_is_said_and_the_answer_is_played(insecure_book: Book) -> None:
    expect_notice(insecure_book, "not secure, so the browser gives it no microphone")
    expect(insecure_book.page.locator(".wb-activity")).to_have_text("listening")
    interrupt_answer(insecure_book)


def test_on_an_insecure_page_a_file_speaks_and_the_answer_is_measured(insecure_book: Book) -> None:
    page = insecure_book.page
    page.evaluate("window.loudAt = 0")
    file_speaks(insecure_book)
    page.wait_for_function("window.loudAt > 0")
    expect(page.locator(".wb-agent .wb-ms")).to_be_visible()  # of what was spoken
    expect(page.locator(".wb-part").filter(has_text="playback buffer")).to_be_visible()
    insecure_book.run(2)
    heard, turn, parts = insecure_book.printed(2)
    assert heard[-1].startswith(f"Heard(turn={turn}, ")
    assert parts["playback_buffer"] > 0
    assert parts["output_buffer"] > 0


def file_speaks(book: Book) -> None:
    """Let the question speak; it is captured once and whole, and answered."""
    page = book.page
    let_file_speak(book, str(DATA / "question.wav"))
    expect(page.locator(".wb-network")).to_contain_text("question.wav 0:0")
    expect(page.locator(".wb-network")).to_contain_text("playback buffer")
    expect(page.locator(".wb-talk")).to_have_text("Stop")
    expect_line(book, "agent", "You said: One.")
    expect(page.locator(".wb-talk")).to_have_text("Talk")  # it has said all
    kernel = state(book)
    assert kernel.glitches == []
    assert count_questions(kernel.speech) == 1
    assert any("browser: file question.wav" in device for device in kernel.devices)


def test_in_a_frame_that_may_not_use_the_microphone_text_and_a_file_are_answered(
    browser: Browser, lab: Lab
) -> None:
    """With the timers of a page that nobody sees."""
    name = lab.write("framed.ipynb", [SILENT, STATE])
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_S * 1000)
    framing = (
        f"""<iframe src="{lab.url(name)}" allow="microphone 'none'" style="width: 99%; height: 900px">"""
    )
    around = lab.url(name).replace("framed", "around")
    context.route(around, lambda route: route.fulfill(body=framing, content_type="text/html"))
    page = context.new_page()
    page.goto(around)
    frame = page.frame_locator("iframe")
    inside = page.frames[1]
    try:
        inside.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=PATIENCE_S * 1000,
        )
        inside.evaluate(SLOW_TIMERS)
        inside.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        frame.locator(".wb-talk").click()
        expect(frame.locator(".wb-notice")).to_contain_text("in a frame that may not use a microphone")
        frame.locator(".wb-type").fill("Hello?")
        frame.locator(".wb-type").press("Enter")
        expect(frame.locator(".wb-agent .wb-text").filter(has_text="You said: Hello?")).to_be_visible()
        frame.locator(".wb-notice .wb-file").set_input_files(str(DATA / "question.wav"))
        expect(frame.locator(".wb-agent .wb-text").filter(has_text="You said: One.")).to_be_visible()
    finally:
        context.close()
        lab.end_kernels()


def silent_wav(seconds: int) -> bytes:
    """Return silence at 8 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8_000, 0, "NONE", ""))
        out.writeframes(bytes(16_000 * seconds))
    return file.getvalue()


def test_without_any_device_it_says_so(playwright: Playwright, lab: Lab) -> None:
    with chromium(playwright, fake=False) as browser, opened(browser, lab) as book:
        book.run(0)
        book.page.click(".wb-talk")
        expect_notice(book, "there is no microphone")


# --- both ways, with models ------------------------------------------------------------------------------------------

RECORD = """
(() => {
  window.played = [];
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...more) {
    if (to instanceof AudioDestinationNode && !(this instanceof ScriptProcessorNode)) {
      const tap = this.context.createScriptProcessor(16384, 1, 1);
      tap.onaudioprocess = (event) => window.played.push(Array.from(event.inputBuffer.getChannelData(0)));
      connect.call(this, tap);
      connect.call(tap, to);
    }
    return connect.call(this, to, ...more);
  };
})()
"""
QUIET_AGAIN = """() => {
    const loud = (block) => block.some((value) => Math.abs(value) > 0.01);
    return played.some(loud) && !played.slice(-4).some(loud);
}"""
THREE_LINES = """
from workbench import Agent
from workbench.notebook import live
w = live(Agent(instructions="Answer in one short sentence."))
w
"""
TURNS = """
import json
t = [x for x in w.session.turns if x.heard_latency_ms is not None and x.status != "running"]
print(json.dumps([[x.agent_text, x.heard_latency_ms, x.parts_ms] for x in t]))
"""


@pytest.mark.models
def test_an_agent_with_models_answers_and_can_be_understood_from_the_page(
    browser: Browser, lab: Lab, tmp_path: Path
) -> None:
    with opened(browser, lab, THREE_LINES, TURNS) as book:
        book.page.add_init_script(RECORD)
        book.page.reload()
        book.open(book.page.url)
        book.run(2)
        expect(book.page.locator(".wb-activity")).to_have_text("listening")
        talk(book)
        expect_line(book, "user", re.compile("capital of france", re.IGNORECASE))
        book.page.click(".wb-mute")  # one question is enough
        expect(book.page.locator(".wb-agent .wb-ms").first).to_be_visible()
        expect(book.page.locator(".wb-activity")).to_have_text("muted")
        # A turn that the next question cut at once was not heard.
        turns = until(lambda: played_turns(book))
        answer = " ".join(text for text, *_ in turns)
        _, latency, parts = turns[0]
        assert latency > 0
        assert min(parts[part] for part in ("playback_buffer", "network_in", "network_out")) > 0
        assert abs(sum(parts.values()) - latency) < 0.01
        book.page.wait_for_function(QUIET_AGAIN)  # the end of the answer is on its way for a while
        blocks = [np.asarray(block, np.float32) for block in book.page.evaluate("window.played")]
    words = set(re.findall(r"\w+", answer.lower()))
    understood = set(re.findall(r"\w+", transcribe(np.concatenate(blocks), tmp_path / "page.wav").lower()))
    assert len(words & understood) >= 0.6 * len(words), (answer, understood)


def played_turns(book: Book) -> Any:
    """Return answer, latency and parts of the turns that were heard so far."""
    book.run(3)
    return book.printed(3)


def transcribe(samples: Any, path: Path) -> str:
    """Return what Whisper understands of what the page played at 24 kHz."""
    from workbench import Agent, load_settings, open_session

    loud = np.flatnonzero(np.abs(samples) > 0.01)
    spoken = np.concatenate([np.zeros(12_000), samples[loud[0] : loud[-1]], np.zeros(24_000)])
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes((np.clip(spoken, -1, 1) * 32767).astype("<i2").tobytes())
    settings = load_settings(
        {
            "audio.source": str(path),
            "audio.sink": "none",
            "llm.provider": "scripted",
            "tts.provider": "none",
            "turn.silence_ms": 900,
            "record.enabled": False,
        }
    )
    with open_session(settings, agent=Agent(instructions="")) as session:
        session.wait(PATIENCE_S)
        return " ".join(turn.user_text for turn in session.turns)
