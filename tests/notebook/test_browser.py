"""The live widget in a real JupyterLab, in a real Chromium with a microphone that speaks."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.notebook.lab import Book, Lab, chromium, jupyter
from tests.notebook.proxy import Proxy
from tests.notebook.waiting import until
from workbench.notebook.widget import page_program, page_style
from workbench.readers.timeline import Turn
from workbench.views.html import turn_html, turns_html

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

expect.set_options(timeout=60_000)

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
"""The agent answers by text, so that all is heard that the microphone hears."""
TOLD = """
def told(*kinds):
    return [str(e.event) for e in w.session.trace.since(0) if type(e.event).__name__ in kinds]
print(json.dumps([
    told("SpeechStarted", "SpeechPaused", "SpeechResumed"), told("Glitch"), told("DeviceOpened", "DeviceLost"),
    [m.text for m in w.session.conversation.messages], w.muted, w.session.settings.turn.silence_ms, w.session.over,
]))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyter(tmp_path_factory.mktemp("jupyter")) as lab:
        yield lab


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Its microphone asks the question again and again, with 0.7 s of silence between."""
    with chromium(playwright, DATA / "question.wav") as browser:
        yield browser


@contextlib.contextmanager
def opened(
    browser: Browser, lab: Lab, *cells: str, url: Callable[[str], str] | None = None, begin: str = BEGIN
) -> Iterator[Book]:
    """A notebook of its own in a page of its own; its kernel is ended afterwards."""
    name = lab.write(f"book{time.monotonic_ns()}.ipynb", [begin, TOLD, *cells])
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    try:
        book = Book(context.new_page())
        book.open(url(name) if url else lab.url(name))
        yield book
        assert not book.page.evaluate("window.owned === 1")
    finally:
        context.close()
        for kernel in lab.kernels():
            lab.ask(f"api/kernels/{kernel['id']}", "DELETE")


def told(book: Book) -> list[Any]:
    book.run(1)
    found: list[Any] = book.said(1)
    return found


def talk(book: Book) -> None:
    book.page.click(".wb-talk")
    expect(book.page.locator(".wb-talk")).to_have_text("Stop")


def said(book: Book, who: str, text: str | re.Pattern[str]) -> None:
    """Wait until a line of the conversation says that."""
    expect(book.page.locator(f".wb-{who} .wb-text").filter(has_text=text).first).to_be_visible()


def notice(book: Book, text: str | re.Pattern[str], seconds: float = 60) -> None:
    expect(book.page.locator(".wb-notice")).to_contain_text(text, timeout=seconds * 1000)


LOUD = """(() => {
  window.loudAt = window.cutAt = 0;
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...more) {
    if (to instanceof AudioDestinationNode && !(this instanceof ScriptProcessorNode)) {
      const tap = this.context.createScriptProcessor(512, 1, 1);
      tap.onaudioprocess = ({ inputBuffer }) => {
        if (inputBuffer.getChannelData(0).some((value) => Math.abs(value) > 0.01)) window.loudAt = performance.now();
      };
      connect.call(this, tap);
      connect.call(tap, to);
    }
    return connect.call(this, to, ...more);
  };
})()"""
"""When the page last played something, ms."""


def test_interrupt_is_heard_at_once(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab) as book:
        book.page.evaluate(LOUD)
        book.run(0)
        interrupted(book)


def interrupted(book: Book) -> None:
    """The page, which tells when it is `LOUD`, plays an answer until it is interrupted."""
    page = book.page
    page.evaluate(
        "document.querySelector('.wb-interrupt').onpointerdown = () => (window.cutAt = performance.now())"
    )
    page.fill(".wb-type", "This takes a minute to say. " * 20)
    page.press(".wb-type", "Enter")
    page.wait_for_function("window.loudAt > 0")
    page.wait_for_timeout(500)
    page.click(".wb-interrupt")
    expect(page.locator(".wb-agent.wb-is-cut")).to_be_visible()
    page.wait_for_function("performance.now() - window.loudAt > 1000")
    loud_at, cut_at = page.evaluate("[window.loudAt, window.cutAt]")
    assert cut_at > 0
    assert loud_at - cut_at < 1000
    expect(page.locator(".wb-agent s")).to_contain_text("a minute")  # most of it was not heard


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


def test_tools_and_panels_of_plugins_are_shown_and_nothing_hostile_runs(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab, "go_on.set()", begin=WITH_TOOLS) as book:
        page = book.page
        book.run(0)
        for city in ("Rome", "Oslo"):
            page.fill(".wb-type", f"What about {city}?")
            page.press(".wb-type", "Enter")
            expect(
                page.locator(".wb-tool code").filter(has_text="Rome" if city == "Rome" else "look_up")
            ).to_be_visible()
        expect(page.locator(".wb-tool.wb-is-failed code")).to_contain_text(HOSTILE)
        running = page.locator(".wb-tool.wb-is-running")
        expect(running).to_contain_text(f"half {HOSTILE}")
        expect(running).to_contain_text("50 %")
        expect(running.locator("progress")).to_have_js_property("value", 0.5)
        book.run(2)
        expect(page.locator(".wb-tool.wb-is-done")).to_contain_text(f"→ {HOSTILE}{HOSTILE}")
        panels = page.locator(".wb-panel")
        expect(panels).to_have_count(4)
        expect(panels.nth(0)).to_contain_text(f"Panel count {HOSTILE}")
        expect(panels.nth(0).locator(".wb-panel-text")).to_contain_text(f"{HOSTILE} {HOSTILE}")
        expect(panels.nth(1).locator("b.marked")).to_contain_text(f"{HOSTILE} {HOSTILE}")
        assert page.evaluate("window.ran") == 1  # a plugin's HTML is its code
        expect(panels.nth(2).locator(".wb-panel-error")).to_contain_text("not this one")
        expect(panels.nth(3).locator(".widget-slider")).to_contain_text("seven")
        assert not book.errors


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
        said(book, "note", "half duplex: the browser does not take what we say out of its microphone")
        expect(page.locator(".wb-about")).to_contain_text("half duplex")
        expect(page.locator(".wb-way")).to_contain_text("echo not cancelled")
        book.run(2)
        expect(page.locator(".wb-about")).not_to_contain_text("half duplex")
        page.click(".wb-talk")
        talk(book)
        said(book, "note", "use headphones")
        expect(page.locator(".wb-about")).not_to_contain_text("half duplex")


FLIPS = """() => {
    window.flips = 0;
    const toolbar = document.querySelector(".jp-NotebookPanel-toolbar");
    const told = { attributes: true, childList: true, subtree: true };
    new MutationObserver((found) => (flips += found.length)).observe(toolbar, told);
}"""


def test_everything_on_the_page_does_what_it_says(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab, "w.muted = True; w.session.set(turn_silence_ms=700)") as book:
        page = book.page
        book.run(0)
        page.fill(".wb-type", HOSTILE)
        page.press(".wb-type", "Enter")
        said(book, "user", HOSTILE)  # as a text
        said(book, "agent", f"You said: {HOSTILE}")
        expect(page.locator(".wb-fall")).not_to_have_count(0)
        talk(book)
        said(book, "user", "One.")
        said(book, "agent", "You said: One.")
        page.evaluate(FLIPS)
        said(book, "user", "Two.")
        assert page.evaluate("flips") < 30  # fifty chunks a second are no work of the kernel's that it tells
        expect(page.locator(".wb-plot canvas")).to_be_visible()
        expect(page.locator(".wb-part-playback_buffer, .wb-part-network").first).to_be_visible()
        expect(page.locator(".wb-way")).to_contain_text("echo cancelled by the browser")
        page.click(".wb-mute")
        expect(page.locator(".wb-mute")).to_have_text("Unmute")
        assert told(book)[4] is True
        page.click(".wb-mute")
        expect(page.locator(".wb-mute")).to_have_text("Mute")
        page.hover(".wb-push")
        page.mouse.down()
        page.mouse.up()  # let go: not listening
        expect(page.locator(".wb-mute")).to_have_text("Unmute")
        page.click(".wb-bookmark")
        said(book, "note", "bookmark")
        page.click(".wb-interrupt")
        page.click(".wb-more summary")
        page.locator(".wb-knobs input[aria-label='turn.silence_ms']").fill("900")
        expect(page.locator(".wb-devices select[aria-label='microphone'] option")).not_to_have_count(0)
        let_speak(book, str(DATA / "question.wav"), where=".wb-more")
        expect(page.locator(".wb-way")).to_contain_text("question.wav 0:0")
        until(lambda: told(book)[5] == 900)
        expect(page.locator(".wb-way")).to_contain_text("echo cancelled by the browser")  # its turn again
        book.run(2)  # from Python
        expect(page.locator(".wb-knobs input[aria-label='turn.silence_ms']")).to_have_value("700")
        page.click(".wb-talk")
        expect(page.locator(".wb-talk")).to_have_text("Talk")
        devices = [device for device in told(book)[2] if "'mic'" in device]
        kinds = ["file" if "browser: file question.wav" in device else "fake" for device in devices]
        assert kinds == ["fake", "file", "fake"], devices
        assert not book.errors


def test_a_blocking_cell_loses_no_word_and_what_is_said_is_answered_meanwhile(
    browser: Browser, lab: Lab
) -> None:
    sleep = "import time\ntime.sleep(10)\nprint(json.dumps(w.lines))"
    compute = """
until, n = time.monotonic() + 5, 1
while time.monotonic() < until:
    n = n * 31 % 1_000_003
"""
    with opened(browser, lab, sleep, compute, begin=SILENT) as book:
        book.run(0)
        talk(book)
        said(book, "user", "One.")
        book.run(2)
        during = [line["text"] for line in book.said(2) if line["who"] == "user"]
        assert "Two." in during  # it was heard and shown while the cell slept
        book.run(3)
        until(lambda: whole(told(book)[0]) >= 6)
        assert told(book)[1] == []
        assert not book.errors


def test_the_same_in_notebook_7(browser: Browser, lab: Lab) -> None:
    sleep = "import time\ntime.sleep(6)\nprint(json.dumps(w.lines))"
    with opened(browser, lab, sleep, url=lambda name: lab.url(name, classic=True)) as book:
        assert book.page.evaluate("window.jupyterapp.name") == "Jupyter Notebook"
        book.run(0)
        talk(book)
        said(book, "agent", "You said: One.")
        book.run(2)
        during = [line["text"] for line in book.said(2) if line["who"] == "agent" and line["state"] == "done"]
        assert len(during) >= 2  # an answer came while the cell slept
        assert told(book)[1] == []


def whole(speech: list[str]) -> int:
    """How often the question was heard from its beginning to its end; an assertion if one was cut or merged.

    It is 1.6 s long, and begins every 2.3 s of the microphone's own time.
    """
    starts = [
        int(found[1])
        for text in speech
        if (found := re.search(r"(?:Started|Resumed).*at_sample=(\d+)", text))
    ]
    ends = [int(found[1]) for text in speech if (found := re.search(r"Paused.*end_sample=(\d+)", text))]
    assert all(1.2 < (end - start) / 16_000 < 2.0 for start, end in zip(starts, ends, strict=False)), speech
    between = np.diff(ends) / 16_000  # one that was not heard would leave twice the time
    assert len(ends) < 2 or np.allclose(between, np.median(between), atol=0.1), speech
    return len(ends)


def test_a_reload_a_second_page_a_closed_page_and_one_more_widget(browser: Browser, lab: Lab) -> None:
    more = "w2 = live(w.session); w2"
    with opened(browser, lab, more, "print(json.dumps(len(w._watcher._subscribers)))") as book:
        book.run(0)
        book.page.fill(".wb-type", "Remember me.")
        book.page.press(".wb-type", "Enter")
        said(book, "agent", "You said: Remember me.")
        talk(book)
        said(book, "user", "One.")
        book.page.keyboard.press("Control+s")
        other = Book(book.page.context.new_page())
        other.open(book.page.url)
        said(other, "agent", "You said: Remember me.")  # both show it
        expect(other.page.locator(".wb-talk")).to_have_text("Take over")
        other.page.click(".wb-talk")
        expect(other.page.locator(".wb-way")).to_contain_text("echo")  # it captures
        expect(book.page.locator(".wb-talk")).to_have_text("Take over")
        other.page.goto("about:blank")
        expect(book.page.locator(".wb-talk")).to_have_text("Talk")  # the sound is free again
        book.page.reload()
        said(book, "agent", "You said: Remember me.")
        found = told(book)
        kinds = [device.partition("(")[0] for device in found[2] if "'mic'" in device]
        assert kinds == ["DeviceOpened", "DeviceOpened", "DeviceLost"]  # each page was heard
        assert found[6] is False  # it goes on: typing works
        book.run(2)
        book.cell(2).locator(".wb-talk").click()
        expect(book.cell(2).locator(".wb-way")).to_contain_text("echo")
        book.run(2)
        expect(book.cell(2).locator(".wb-talk")).to_have_text("Talk")  # the one that had the sound is gone
        lost = until(lambda: [device for device in told(book)[2] if "DeviceLost" in device][1:])
        assert "its widget was taken away" in lost[0]
        book.run(3)
        assert book.said(3) == 2
        said(book, "agent", "You said: Remember me.")
        assert not book.errors


SLOW_TIMERS = """() => {
    const every = window.setInterval;
    window.setInterval = (call, ms, ...more) => every(call, Math.max(1000, ms), ...more);
}"""
"""As the browser does with a page that nobody sees."""


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
        said(book, "agent", "You said: One.")
        asleep(browser, 6)
        notice(book, "this page was asleep for")
        said(book, "note", "the page was closed or is gone")
        said(book, "agent", "You said: Two.")
        assert len(told(book)[2]) == 4  # both, the microphone lost, and the microphone
        assert not book.errors


def asleep(browser: Browser, seconds: float) -> None:
    """Stop what draws the pages, as a laptop that is closed does."""
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    pages = [one["id"] for one in told["processInfo"] if one["type"] == "renderer"]
    try:
        for page in pages:
            os.kill(page, signal.SIGSTOP)
        time.sleep(seconds)
    finally:
        for page in pages:
            os.kill(page, signal.SIGCONT)


def test_the_connection_is_lost_for_ten_seconds(browser: Browser, lab: Lab) -> None:
    with Proxy(lab.port) as proxy:
        away = lambda name: lab.url(name).replace(str(lab.port), str(proxy.port))  # noqa: E731
        with opened(browser, lab, url=away, begin=SILENT) as book:
            book.run(0)
            talk(book)
            said(book, "user", "One.")
            proxy.hold()
            notice(book, "the kernel does not answer")
            expect(book.page.locator(".wb-talk")).to_be_enabled()
            time.sleep(6)
            proxy.release()
            expect(book.page.locator(".wb-notice")).to_be_hidden()
            heard = until(lambda: told(book)[0], 30)
            until(lambda: whole(told(book)[0]) >= whole(heard) + 6, 40)  # more than was kept
            assert told(book)[1] == []  # what was said meanwhile came late, and is whole


def test_the_kernel_is_restarted_and_the_conversation_taken_up(browser: Browser, lab: Lab) -> None:
    again = (
        BEGIN.replace("profile=", "resume=True, profile=")
        + "\nprint(json.dumps(len(w.session.conversation.messages)))"
    )
    with opened(browser, lab, again) as book:
        book.run(0)
        book.page.fill(".wb-type", "Remember me.")
        book.page.press(".wb-type", "Enter")
        said(book, "agent", "You said: Remember me.")
        expect(book.page.locator(".wb-agent.wb-is-done")).to_have_count(1)
        expect(book.page.locator(".wb-activity")).to_have_text("listening")
        talk(book)
        book.page.wait_for_function(LOUD_METERS)
        book.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        notice(book, "resume=True")
        expect(book.page.locator(".wb-activity")).to_have_text("ended")
        expect(book.page.locator(".wb-live")).to_have_attribute("data-activity", "ended")
        assert not book.page.evaluate(LOUD_METERS)
        expect(book.page.locator(".wb-live :is(button, input):enabled:not([type=file])")).to_have_count(0)
        book.page.wait_for_function(
            "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
        )
        book.run(2)
        assert json.loads(re.findall(r"^\d+$", book.output(2), re.MULTILINE)[0]) == 2


LOUD_METERS = (
    """() => [...document.querySelectorAll('.wb-bar i')].some((bar) => bar.style.transform !== 'scaleX(0)')"""
)


def test_a_kernel_that_was_killed_is_told(browser: Browser, lab: Lab) -> None:
    with opened(browser, lab, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)") as book:
        book.run(0)
        talk(book)
        book.run(2, wait=False)
        notice(book, re.compile("kernel (was restarted|has ended|does not answer)"))


# --- the page's own program, without a notebook around it ------------------------------------------------------------

CAPTURE = """async () => {
    window.sent = [];
    window.answering = true;
    const model = {
        on: (_, take) => (model.take = take),
        off: () => {},
        send: (content, _, buffers) => {
            if (content.k === "audio") sent.push([content.at, buffers[0].byteLength / 2, content.rate]);
            if (content.k !== "ping" || !answering) return;
            setTimeout(() => model.take({ k: "pong", page: content.page, t: content.t, at: content.t, owner: "" }, []));
        },
    };
    await new Microphone(new Connection(model, "page"), (trouble) => { throw trouble; }).open({ echo: true });
}"""


@pytest.fixture
def alone(browser: Browser) -> Iterator[Page]:
    """A page with the program in it, and nothing else."""
    context = browser.new_context()
    context.route("http://localhost/", lambda route: route.fulfill(body="", content_type="text/html"))
    page = context.new_page()
    try:
        page.goto("http://localhost/")
        program = page_program().replace("export default", "window.program =")
        page.add_script_tag(content=program)
        yield page
    finally:
        context.close()


def test_chunks_go_together_while_messages_pile_up(alone: Page) -> None:
    """Else one each 20 ms; none is lost when it changes."""
    alone.evaluate(CAPTURE)
    alone.wait_for_function("sent.length > 20")
    alone.evaluate("answering = false")
    alone.wait_for_function("sent.filter(([at, count, rate]) => count === rate / 10).length > 5")
    alone.evaluate("answering = true")
    alone.wait_for_function("sent.slice(-5).every(([at, count, rate]) => count === rate / 50)")
    sent = alone.evaluate("sent")
    rate = sent[0][2]
    counts = [count for _, count, _ in sent]
    assert set(counts) <= {rate // 50 * n for n in range(1, 6)}
    assert counts[:5] == [rate // 50] * 5
    assert [at for at, *_ in sent] == [sum(counts[:n]) for n in range(len(counts))]


PLAYED = """async (withWorklet) => {
    const recorder = `registerProcessor("recorder", class extends AudioWorkletProcessor {
        process([input]) {
            if (input.length) this.port.postMessage([currentFrame, Array.from(input[0])]);
            return true;
        }
    })`;
    const worklet = Object.getOwnPropertyDescriptor(BaseAudioContext.prototype, "audioWorklet").get;
    if (!withWorklet) Object.defineProperty(BaseAudioContext.prototype, "audioWorklet", { value: undefined });
    const clock = { kernelTime: (ms = performance.now()) => ms, pageTime: (ms) => ms };
    const speaker = new Speaker({ ...clock, send: () => {} });
    await speaker.open();
    const url = URL.createObjectURL(new Blob([recorder], { type: "text/javascript" }));
    await worklet.call(speaker.context).addModule(url);
    const tap = new AudioWorkletNode(speaker.context, "recorder", { numberOfOutputs: 0 });
    const played = []; // [frame, sample] of what is no silence
    tap.port.onmessage = ({ data: [frame, samples] }) =>
        samples.forEach((sample, n) => sample && played.push([frame + n, sample * 32768]));
    const told = [];
    speaker.told = (data) => told.push(data);
    speaker.node.connect(tap);
    const play = (at, first, afterMs) => {
        const samples = Int16Array.from({ length: 480 }, (_, n) => at + n + 1);
        const now = performance.now();
        speaker.play({ at, first, due: now + afterMs, pulled: now }, samples);
    };
    const until = async (what) => { while (!what()) await pause(5); };
    play(0, true, 200);
    play(480, false, 0);
    play(960, false, 0);
    await until(() => played.length === 1440);
    play(1440, false, 0); // late
    await until(() => played.length === 1920);
    play(9600, true, 100);
    play(20000, false, 150); // what was before it is lost
    play(20480, true, 0); // while something plays
    await until(() => played.length === 3360 && told.length === 6);
    speaker.close();
    return [played, told];
}"""


@pytest.mark.parametrize("worklet", [True, False], ids=["worklet", "scheduled"])
def test_what_comes_is_played_when_it_is_due_and_told(alone: Page, worklet: bool) -> None:
    """The same where there is no AudioWorklet."""
    alone.mouse.click(5, 5)  # or the browser would hold sound back
    played, told = alone.evaluate(PLAYED, worklet)
    blocks = [0, 480, 960, 1440, 9600, 20000, 20480]
    assert [sample for _, sample in played] == [at + n + 1 for at in blocks for n in range(480)]
    frame_of = {int(sample) - 1: frame for frame, sample in played}
    assert all(frame_of[at + 479] == frame_of[at] + 479 for at in blocks)
    assert frame_of[960] == frame_of[0] + 960
    assert frame_of[1440] >= frame_of[1439] + 960  # 40 ms
    assert frame_of[20000] >= frame_of[9600] + 1100  # not before it is due
    assert frame_of[20480] == frame_of[20479] + 1
    underruns, started = (
        [message for message in told if "at" not in message],
        [message for message in told if "at" in message],
    )
    assert underruns == [{"underrun": True}]
    assert [(message["at"], message["frame"]) for message in started] == [
        (at, frame_of[at]) for at in (0, 1440, 9600, 20000, 20480)
    ]


FORBID = """async () => {
    const policy = document.createElement("meta");
    policy.httpEquiv = "Content-Security-Policy";
    policy.content = "script-src 'none'";
    document.head.append(policy);
    const speaker = new Speaker({ kernelTime: (ms) => ms, pageTime: (ms) => ms, send: () => {} });
    const trouble = await withWorklet(new AudioContext()).catch((error) => error.code);
    const runs = await speaker.open();
    const told = new Promise((done) => (speaker.told = done));
    speaker.play({ at: 7, first: true, due: performance.now(), pulled: 0 }, new Int16Array(480));
    return [trouble, runs, (await told).at];
}"""


def test_a_page_that_may_not_run_audio_code_plays(alone: Page) -> None:
    alone.mouse.click(5, 5)
    assert alone.evaluate(FORBID) == ["worklet", True, 7]


SHOWN = """() => {
    window.sent = [];
    window.tracks = [];
    window.pending = [];
    window.watching = 0;
    const state = {
        ident: "one", owner: "", fresh: false, activity: "listening", muted: true, lines: [], tools: [], panels: [],
        levels: [-70, -70, -70, -70], waterfall: { title: "", total_ms: null, bars: [] }, knobs: {}, slider_bounds: {},
        latency: { points: [], p50: null, p95: null, n: 0 },
        status: { browser: true, hears: true, speaks: true, echo_wanted: true },
    };
    const statusChanged = { connect: () => (watching += 1), disconnect: () => (watching -= 1) };
    window.model = {
        get: (name) => state[name], on: () => {}, off: () => {},
        send: ({ k, on, code }) => sent.push([k, on, code]),
        widget_manager: { kernel: { statusChanged } },
    };
    window.told = (kind) => sent.filter(([k]) => k === kind);
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => { // the browser asks, and the user takes his time
        await new Promise((answer) => pending.push(answer));
        const stream = await ask(wanted);
        tracks.push(...stream.getTracks());
        return stream;
    };
    window.el = document.body.appendChild(document.createElement("div"));
    window.leave = program.render({ model, el });
    window.press = () => el.querySelector(".wb-talk").click();
    window.live = () => tracks.filter((track) => track.readyState === "live").length;
    window.page = pages.get("one");
}"""


def test_a_microphone_that_opens_too_late_is_closed_again(alone: Page) -> None:
    """Stop, Talk and Stop again, and a closed view, each while the browser still asks; one that is wanted stays."""
    alone.evaluate(SHOWN)
    for pressed in (1, 2):  # the first is stopped
        alone.evaluate("press()")
        alone.wait_for_function(f"pending.length === {pressed}")
        if pressed == 1:
            alone.evaluate("press()")
    alone.evaluate("pending.forEach((answer) => answer())")
    alone.wait_for_function("tracks.length === 2 && live() === 1 && told('audio').length > 2")
    assert alone.evaluate("told('capture')") == [["capture", True, None]]
    alone.evaluate("press()")
    assert alone.evaluate("live()") == 0
    alone.evaluate("press()")
    alone.wait_for_function("pending.length === 3")
    assert alone.evaluate("watching") == 1
    alone.evaluate("leave()")
    alone.evaluate("pending[2]()")
    alone.wait_for_function("tracks.length === 3 && live() === 0")
    assert alone.evaluate("[told('capture').length, told('trouble').length, watching]") == [2, 0, 0]


def test_a_bad_speaker_does_not_touch_the_microphone_and_stop_is_no_trouble(alone: Page) -> None:
    alone.evaluate(SHOWN)
    alone.evaluate("(press(), press())")  # while the speaker's worklet loads
    alone.evaluate("press()")
    alone.wait_for_function("pending.length === 1")  # the one that was stopped asks for nothing
    alone.evaluate("pending[0]()")
    alone.wait_for_function("told('audio').length > 2")
    assert alone.evaluate("told('trouble')") == []
    alone.evaluate("page.useSpeaker('there is no such speaker')")
    expect(alone.locator(".wb-notice")).to_contain_text("this speaker cannot be used")
    assert alone.evaluate("[live(), page.talking]") == [1, True]
    alone.evaluate("page.useSpeaker('')")
    expect(alone.locator(".wb-notice")).to_be_hidden()


WIDTHS = """(direction) => {
    const button = document.createElement("button");
    button.style.cssText = "width: 148px; flex-shrink: 1";
    const box = document.createElement("div");
    box.style.cssText = `display: flex; width: 700px; flex-direction: ${direction}`;
    document.body.append(box);
    box.append(button, el);
    return [el.offsetWidth, el.querySelector(".wb-live").offsetWidth, box.scrollWidth];
}"""


def test_in_a_row_of_widgets_it_has_the_rest_and_in_a_column_all(alone: Page) -> None:
    alone.evaluate(SHOWN)
    alone.add_style_tag(content=page_style())
    assert alone.evaluate(WIDTHS, "row") == [552, 552, 700]
    assert alone.evaluate(WIDTHS, "column") == [700, 700, 700]


HEAD = """(facts) => {
    Object.assign(model.get("status"), facts);
    page.draw();
    return [...el.querySelectorAll(".wb-head > *")].map((one) => [one.offsetLeft, one.offsetTop]);
}"""


def test_what_the_head_says_moves_nothing(alone: Page) -> None:
    alone.set_viewport_size({"width": 768, "height": 800})
    alone.evaluate(SHOWN)
    alone.add_style_tag(content=page_style())
    before = alone.evaluate(HEAD, {"agent": "tour", "profile": "scripted"})
    assert alone.evaluate(HEAD, {"duplex": "half", "lag": 21}) == before
    assert alone.evaluate(HEAD, {"agent": "a name of many words that nobody would give"}) == before
    assert len({top for _, top in before[3:]}) == 1  # the buttons stand in one line


BROKEN = """() => {
    const found = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        for (const { 0: word, index } of texts.currentNode.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(texts.currentNode, index);
            range.setEnd(texts.currentNode, index + word.length);
            if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) found.push(word);
        }
    }
    return [found, document.documentElement.scrollWidth];
}"""
"""What is written in more than one line, and how wide the page is."""


@pytest.mark.parametrize(
    "text", ["y" * 280, "https://example.org/" + "ab12/" * 50, "天気がいい" * 50], ids=["y", "url", "chinese"]
)
def test_text_without_spaces_pushes_nothing_out_of_sight(alone: Page, text: str) -> None:
    alone.set_viewport_size({"width": 768, "height": 800})
    plain = Turn(1, "done", "Unaccommodating counterrevolutionaries?", "It is.", heard_latency_ms=900.0)
    turns = [replace(plain, parts_ms={"endpointing": 900.0}), replace(plain, user_text=text, agent_text=text)]
    alone.set_content(turns_html(turns) + turn_html(turns[1]))
    broken, width = alone.evaluate(BROKEN)
    assert width <= 768
    assert set(broken) == {text}


def test_hold_to_talk_lets_go_when_its_end_is_not_told(alone: Page) -> None:
    alone.evaluate(SHOWN)
    for away in (
        "el.querySelector('.wb-push').blur()",
        "el.querySelector('.wb-push').dispatchEvent(new PointerEvent('pointercancel'))",
        "window.dispatchEvent(new Event('blur'))",
        "leave()",
    ):
        alone.evaluate("sent.length = 0")
        alone.focus(".wb-push")
        alone.keyboard.down(" ")
        alone.evaluate(away)
        if away != "leave()":
            alone.keyboard.up(" ")
        held = alone.evaluate("told('mute')")
        assert held == [["mute", False, None], ["mute", True, None]], away


# --- where there is no microphone ------------------------------------------------------------------------------------


def let_speak(book: Book, file: str, where: str = ".wb-notice") -> None:
    """Choose a file that speaks; the picker is there."""
    expect(book.page.locator(f"{where} .wb-instead button")).to_be_visible()
    book.page.set_input_files(f"{where} .wb-file", file)


HEARD = "print(json.dumps([told('Heard'), w.session.turns[-1].turn, w.session.turns[-1].parts_ms]))"


def test_without_a_microphone_a_file_speaks_or_one_types(
    playwright: Playwright, lab: Lab, tmp_path: Path
) -> None:
    """Denied, and on a page that is not secure: each says why, and the agent answers text and a file, and is heard."""
    resolve = f"--host-resolver-rules=MAP elsewhere.test 127.0.0.1:{lab.port}"
    flags = [resolve, "--deny-permission-prompts"]

    def insecure(name: str) -> str:
        return lab.url(name).replace("127.0.0.1", "elsewhere.test")

    with chromium(playwright, DATA / "question.wav", allow=False, flags=flags) as browser:
        for url, words, begin in (
            (lab.url, "was told to give this page no microphone", SILENT),
            (insecure, "not secure, so the browser gives it no microphone", BEGIN),
        ):
            with opened(browser, lab, HEARD, url=url, begin=begin) as book:
                book.page.evaluate(LOUD)
                book.run(0)
                book.page.click(".wb-talk")
                notice(book, words)
                if begin == BEGIN:
                    expect(book.page.locator(".wb-activity")).to_have_text("listening")
                    interrupted(book)
                else:
                    book.page.fill(".wb-type", "Hello?")
                    book.page.press(".wb-type", "Enter")
                    said(book, "agent", "You said: Hello?")
                for name, content, word in (
                    ("a.wav", b"", "there is no sound in this file"),
                    ("<b>a.wav", b"no sound at all", "no audio that the browser can decode"),
                    ("hours.wav", silent_wav(601), "longer than 10 minutes"),
                ):
                    (tmp_path / name).write_bytes(content)
                    let_speak(book, str(tmp_path / name))
                    notice(book, word)
                book.page.evaluate("window.loudAt = 0")
                let_speak(book, str(DATA / "question.wav"))
                expect(book.page.locator(".wb-way")).to_contain_text("question.wav 0:0")
                expect(book.page.locator(".wb-way")).to_contain_text("playback buffer")
                expect(book.page.locator(".wb-talk")).to_have_text("Stop")
                said(book, "agent", "You said: One.")
                expect(book.page.locator(".wb-talk")).to_have_text("Talk")  # it has said all
                speech, glitches, devices, *_ = told(book)
                assert glitches == []
                assert whole(speech) == 1
                assert any("browser: file question.wav" in device for device in devices)
                if begin == BEGIN:
                    book.page.wait_for_function("window.loudAt > 0")
                    expect(book.page.locator(".wb-agent .wb-ms")).to_be_visible()  # of what was spoken
                    expect(book.page.locator(".wb-part-playback_buffer")).to_be_visible()
                    book.run(2)
                    heard, turn, parts = book.said(2)
                    assert heard[-1].startswith(f"Heard(turn={turn}, ")
                    assert parts["playback_buffer"] > 0
                    assert parts["output_buffer"] > 0
                assert not book.errors


def test_in_a_frame_that_may_not_use_the_microphone(browser: Browser, lab: Lab) -> None:
    """It says so; text and a file work, with the timers of a page that nobody sees."""
    name = lab.write("framed.ipynb", [SILENT, TOLD])
    context = browser.new_context()
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
            timeout=60_000,
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
        for kernel in lab.kernels():
            lab.ask(f"api/kernels/{kernel['id']}", "DELETE")


def silent_wav(seconds: int) -> bytes:
    """Silence at 8 kHz."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, 8_000, 0, "NONE", ""))
        written.writeframes(bytes(16_000 * seconds))
    return file.getvalue()


def test_without_any_device_it_says_so(playwright: Playwright, lab: Lab) -> None:
    with chromium(playwright, fake=False) as browser, opened(browser, lab) as book:
        book.run(0)
        book.page.click(".wb-talk")
        notice(book, "there is no microphone")


# --- both ways, with models ------------------------------------------------------------------------------------------

LISTEN = """
(() => {
  window.heard = [];
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...more) {
    if (to instanceof AudioDestinationNode && !(this instanceof ScriptProcessorNode)) {
      const tap = this.context.createScriptProcessor(1024, 1, 1);
      tap.onaudioprocess = (event) => window.heard.push(Array.from(event.inputBuffer.getChannelData(0)));
      connect.call(this, tap);
      connect.call(tap, to);
    }
    return connect.call(this, to, ...more);
  };
})()
"""


@pytest.mark.models
def test_an_agent_with_models_answers_and_can_be_understood_from_the_page(
    browser: Browser, lab: Lab, tmp_path: Path
) -> None:
    three_lines = """
from workbench import Agent
from workbench.notebook import live
w = live(Agent(instructions="Answer in one short sentence."))
w
"""
    report = """
import json
t = w.session.turns
print(json.dumps([[x.status, x.user_text, x.agent_text, x.heard_latency_ms, x.parts_ms] for x in t]))
"""
    with opened(browser, lab, three_lines, report) as book:
        book.page.add_init_script(LISTEN)
        book.page.reload()
        book.open(book.page.url)
        book.run(2)
        expect(book.page.locator(".wb-activity")).to_have_text("listening")
        talk(book)
        said(book, "user", re.compile("capital of france", re.IGNORECASE))
        book.page.click(".wb-mute")  # one question is enough
        expect(book.page.locator(".wb-agent .wb-ms").first).to_be_visible()
        expect(book.page.locator(".wb-activity")).to_have_text("muted")
        book.page.wait_for_timeout(1000)
        book.run(3)
        # A turn that the next question cut at once was not heard.
        heard = [turn for turn in book.said(3) if turn[3] is not None]
        agent = " ".join(turn[2] for turn in heard)
        *_, latency, parts = heard[0]
        assert latency > 0
        assert parts["playback_buffer"] > 0
        assert parts["network_in"] > 0
        assert parts["network_out"] > 0
        assert abs(sum(parts.values()) - latency) < 0.01
        samples = np.concatenate(
            [np.asarray(block, np.float32) for block in book.page.evaluate("window.heard")]
        )
    said_words = set(re.findall(r"\w+", agent.lower()))
    heard_words = set(re.findall(r"\w+", transcribed(samples, tmp_path / "page.wav").lower()))
    assert len(said_words & heard_words) >= 0.6 * len(said_words), (agent, heard_words)


def transcribed(samples: Any, path: Path) -> str:
    """What Whisper hears in what the page played at 24 kHz."""
    from workbench import Agent, open_session
    from workbench.config import load_settings

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
        session.wait(60)
        return " ".join(turn.user_text for turn in session.turns)
