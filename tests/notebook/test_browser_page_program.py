"""The page's own program in Chromium, without a notebook around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.waiting import PATIENCE_S
from workbench.notebook import score, show
from workbench.notebook.widget import page_program, page_style
from workbench.readers.timeline import Turn
from workbench.views.html import turn_html, turns_html

pytestmark = pytest.mark.browser

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
    context.set_default_timeout(PATIENCE_S * 1000)
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
    const reports = [];
    speaker.report = (data) => reports.push(data);
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
    await until(() => played.length === 3360 && reports.length === 6);
    speaker.close();
    return [played, reports];
}"""


@pytest.mark.parametrize("worklet", [True, False], ids=["worklet", "scheduled"])
def test_what_comes_is_played_when_it_is_due_and_reported(alone: Page, worklet: bool) -> None:
    """The same where there is no AudioWorklet."""
    alone.mouse.click(5, 5)  # or the browser would hold sound back
    played, reports = alone.evaluate(PLAYED, worklet)
    blocks = [0, 480, 960, 1440, 9600, 20000, 20480]
    assert [sample for _, sample in played] == [at + n + 1 for at in blocks for n in range(480)]
    frame_of = {int(sample) - 1: frame for frame, sample in played}
    assert all(frame_of[at + 479] == frame_of[at] + 479 for at in blocks)
    assert frame_of[960] == frame_of[0] + 960
    assert frame_of[1440] >= frame_of[1439] + 960  # 40 ms
    assert frame_of[20000] >= frame_of[9600] + 1100  # not before it is due
    assert frame_of[20480] == frame_of[20479] + 1
    underruns, started = (
        [message for message in reports if "at" not in message],
        [message for message in reports if "at" in message],
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
    const report = new Promise((done) => (speaker.report = done));
    speaker.play({ at: 7, first: true, due: performance.now(), pulled: 0 }, new Int16Array(480));
    return [trouble, runs, (await report).at];
}"""


def test_a_page_that_may_not_run_audio_code_plays(alone: Page) -> None:
    alone.mouse.click(5, 5)
    assert alone.evaluate(FORBID) == ["worklet", True, 7]


RENDER = """() => {
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
    window.messages = (kind) => sent.filter(([k]) => k === kind);
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
    alone.evaluate(RENDER)
    for pressed in (1, 2):  # the first is stopped
        alone.evaluate("press()")
        alone.wait_for_function(f"pending.length === {pressed}")
        if pressed == 1:
            alone.evaluate("press()")
    alone.evaluate("pending.forEach((answer) => answer())")
    alone.wait_for_function("tracks.length === 2 && live() === 1 && messages('audio').length > 2")
    assert alone.evaluate("messages('capture')") == [["capture", True, None]]
    alone.evaluate("press()")
    assert alone.evaluate("live()") == 0
    alone.evaluate("press()")
    alone.wait_for_function("pending.length === 3")
    assert alone.evaluate("watching") == 1
    alone.evaluate("leave()")
    alone.evaluate("pending[2]()")
    alone.wait_for_function("tracks.length === 3 && live() === 0")
    assert alone.evaluate("[messages('capture').length, messages('trouble').length, watching]") == [2, 0, 0]


def test_a_bad_speaker_does_not_touch_the_microphone_and_stop_is_no_trouble(alone: Page) -> None:
    alone.evaluate(RENDER)
    alone.evaluate("(press(), press())")  # while the speaker's worklet loads
    alone.evaluate("press()")
    alone.wait_for_function("pending.length === 1")  # the one that was stopped asks for nothing
    alone.evaluate("pending[0]()")
    alone.wait_for_function("messages('audio').length > 2")
    assert alone.evaluate("messages('trouble')") == []
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
    alone.evaluate(RENDER)
    alone.add_style_tag(content=page_style())
    assert alone.evaluate(WIDTHS, "row") == [552, 552, 700]
    assert alone.evaluate(WIDTHS, "column") == [700, 700, 700]


HEAD = """(facts) => {
    Object.assign(model.get("status"), facts);
    page.draw();
    return [...el.querySelectorAll(".wb-head > *")].map((child) => [child.offsetLeft, child.offsetTop]);
}"""


def test_what_the_head_says_moves_nothing(alone: Page) -> None:
    alone.set_viewport_size({"width": 768, "height": 800})
    alone.evaluate(RENDER)
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


@pytest.mark.parametrize("width", [640, 320])
def test_a_session_page_fits_into_a_narrow_column(alone: Page, width: int) -> None:
    """The player is not clipped, and words have room beside it."""
    alone.set_viewport_size({"width": width, "height": 800})
    alone.set_content(
        show(score("you: Good morning.\nagent: It is a fine day, and it will be fine tomorrow.")).html
    )
    assert alone.evaluate("document.documentElement.scrollWidth") <= width
    assert alone.evaluate("document.querySelectorAll('td')[1].offsetWidth") >= 100


def test_hold_to_talk_lets_go_when_its_end_is_not_reported(alone: Page) -> None:
    alone.evaluate(RENDER)
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
        held = alone.evaluate("messages('mute')")
        assert held == [["mute", False, None], ["mute", True, None]], away
