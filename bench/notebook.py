"""The live widget in a real JupyterLab before a real Chromium whose microphone speaks: what its way costs.

Both directions at once for a minute, a minute of turns, beside a cell that sleeps and one that computes; what drawing
costs, also of ten widgets.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from bench._figures import Promise, percentile, run, spread, tell
from tests.notebook.lab import Book, Lab, chromium, jupyter
from workbench.model.errors import MissingError

QUESTION = Path(__file__).parents[1] / "tests" / "data" / "question.wav"
TALK_S = 60
PHASES = ("talk", "turns", "sleep", "compute")
IDLE_S = 10
"""How long CPU time is counted, s."""
BEGIN = """
import json, time
from workbench import Agent, open_session
from workbench.config import load_settings
from workbench.model.events import Glitch, HostLag, SpeechPaused
from workbench.notebook import live

chunks = []
def watched(w):
    inner = w._link.on_chunk
    def take(chunk):
        chunks.append((chunk.position, len(chunk.samples), (time.monotonic() - chunk.ended_at) * 1000))
        inner(chunk)
    w._link.on_chunk = take

def events(kind, since=0.0):
    return [e.event for e in w.session.trace.since(0) if isinstance(e.event, kind) and e.t_ms >= since]

def report(since, first):
    lost = sum(b[0] != a[0] + a[1] for a, b in zip(chunks[first:], chunks[first + 1:]))
    print(json.dumps({
        "chunks": len(chunks) - first, "lost": lost, "delays": [round(c[2], 2) for c in chunks[first:]],
        "glitches": len([g for g in events(Glitch, since) if g.track == "user"]),
        "speech": [p.end_sample for p in events(SpeechPaused, since)],
        "lag_p50": max((h.p50_ms for h in events(HostLag, since)), default=None),
        "turns": len(w.session.turns), "network_ms": w._link.playback.network * 1000,
    }))
"""
LIVE = """
w = live(Agent(instructions="", name="bench"), profile="scripted", bargein_mode="half", record_enabled=False)
w
"""
MINUTE = f"""
def minute():
    # playback for a minute: underruns of the page, its longest buffer and the longest delay to the ear, ms
    underruns, delays = w._link.playback.underruns, []
    for _ in range({TALK_S}):
        time.sleep(1)
        delays.append(w._link.playback)
    buffer = max(delay.total - delay.network - delay.output for delay in delays)
    longest = max(delay.total for delay in delays)
    print(json.dumps([delays[-1].underruns - underruns, buffer * 1000, longest * 1000]))
"""
TALK = """
watched(w)
turns = len(w.session.turns)
while len(w.session.turns) == turns:  # in half duplex nobody cuts in then
    time.sleep(0.005)
w.session.say("This is a long story, and it goes on for a minute and more without a pause. " * 40)
time.sleep(1)
since, first = w.session.trace.now(), len(chunks)
minute()
report(since, first)
"""
TURNS = """
w.session.interrupt(); time.sleep(1)
since, first = w.session.trace.now(), len(chunks)
minute()
report(since, first)
"""
SLEEP = """
since, first = w.session.trace.now(), len(chunks)
time.sleep(10)
report(since, first)
"""
COMPUTE = """
since, first, until, n = w.session.trace.now(), len(chunks), time.monotonic() + 10, 1
while time.monotonic() < until:
    n = n * 31 % 1_000_003
report(since, first)
"""
CPU = f"""
def share():
    began, at = time.process_time(), time.monotonic()
    time.sleep({IDLE_S})
    return (time.process_time() - began) / (time.monotonic() - at) * 100
settings = load_settings(
    {{"profile": "scripted", "audio.source": "none", "audio.sink": "none", "record.enabled": False}}
)
session = open_session(settings)
session.__enter__()
time.sleep(2)
bare = share()
"""
SHOW = "live(session)"
ONE = "one = share()"
NINE = "for _ in range(9): display(live(session))"
TEN = "print(json.dumps([bare, one, share()]))"


def book_of(browser: Browser, lab: Lab, name: str, *cells: str) -> Book:
    """A notebook with these cells, opened."""
    book = Book(browser.new_context(viewport={"width": 1200, "height": 900}).new_page())
    book.page.set_default_timeout(120_000)
    book.open(lab.url(lab.write(name, cells)))
    return book


def drawn_s(book: Book, n: int) -> float:
    """From running a cell by hand to its widget being there, s."""
    book.cell(n).locator(".cm-content").first.click()
    began = time.monotonic()
    book.page.keyboard.press("Shift+Enter")
    book.page.wait_for_selector(".wb-live")
    return time.monotonic() - began


class Work:
    """How much of the time the page's main thread is at work."""

    def __init__(self, book: Book) -> None:
        self._devtools = book.page.context.new_cdp_session(book.page)
        self._devtools.send("Performance.enable")
        self._began = self._now()

    def begin(self) -> None:
        """From now on."""
        self._began = self._now()

    def percent(self) -> float:
        """Until now."""
        (worked, at), (before, began) = self._now(), self._began
        return round((worked - before) / (at - began) * 100, 1)

    def _now(self) -> tuple[float, float]:
        metrics = self._devtools.send("Performance.getMetrics")["metrics"]
        values = {metric["name"]: metric["value"] for metric in metrics}
        return values["TaskDuration"], values["Timestamp"]


def talking(browser: Browser, lab: Lab) -> dict[str, Any]:
    """A minute both ways, one of turns, and beside two kinds of busy cells."""
    book = book_of(browser, lab, "talk.ipynb", BEGIN + MINUTE, LIVE, TALK, TURNS, SLEEP, COMPUTE)
    work = Work(book)
    book.run(0)
    drawn = drawn_s(book, 1)
    book.page.click(".wb-talk")
    book.page.wait_for_selector(".wb-talk.wb-on")
    time.sleep(2)
    found: dict[str, Any] = {"drawn_s": round(drawn, 2)}
    for n, name in enumerate(PHASES, 2):
        work.begin()
        book.run(n, wait=False)
        book.page.wait_for_function(
            "n => document.querySelectorAll('.jp-Notebook .jp-CodeCell')[n].innerText.includes('network_ms')",
            arg=n,
        )
        found[name] = book.printed(n) | {"page_percent": work.percent()}
        if name in ("talk", "turns"):
            playback = json.loads(book.output(n).strip().splitlines()[0])
            found[name] |= dict(zip(("underruns", "buffer_ms", "delay_ms"), playback, strict=True))
    book.page.context.close()
    return found


def drawing(browser: Browser, lab: Lab) -> dict[str, Any]:
    """CPU of a session without a widget, with one and with ten, and how soon all ten show what was typed into one."""
    book = book_of(browser, lab, "draw.ipynb", BEGIN, CPU, SHOW, ONE, NINE, TEN)
    for n in range(5):
        book.run(n)
    book.page.wait_for_function("document.querySelectorAll('.wb-live').length === 10")
    book.run(5)
    bare, one, ten = book.printed(5)
    book.page.locator(".wb-type").first.fill("Is anybody there?")
    began = time.monotonic()
    book.page.locator(".wb-type").first.press("Enter")
    book.page.wait_for_function(
        """() => [...document.querySelectorAll('.wb-live')].every(
            one => [...one.querySelectorAll('.wb-user')].some(line => line.innerText.includes('anybody')))"""
    )
    shown = time.monotonic() - began
    book.page.context.close()
    return {"bare": bare, "one": one, "ten": ten, "all ten show it, s": round(shown, 2)}


def import_s() -> float:
    """Importing the package, in a fresh interpreter, less a bare start of Python: the best of five, s."""

    def best(program: str) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            times.append(time.perf_counter() - began)
        return min(times)

    return best("import workbench.notebook") - best("pass")


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Without the single values."""
    return {**found, "delays": spread(found["delays"]), "speech": len(found["speech"])}


def main() -> None:
    """Measure and tell."""
    if shutil.which("chromium") is None:
        raise MissingError("there is no chromium", "run scripts/system-packages --test")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        with jupyter(Path(folder) / "jupyter") as lab, chromium(playwright, QUESTION) as browser:
            draw = drawing(browser, lab)
            talk = talking(browser, lab)
        imported = import_s()
    lost = sum(talk[name]["lost"] + talk[name]["glitches"] for name in PHASES)
    minutes = talk["talk"], talk["turns"]
    tell(
        "notebook",
        [
            Promise("chunks lost, a minute both ways and beside busy cells", lost, 0, ""),
            Promise("browser → kernel, p95", percentile(talk["talk"]["delays"], 95), 40, "ms"),
            Promise(
                "underruns of the playback buffer in two minutes",
                sum(each["underruns"] for each in minutes),
                0,
                "",
            ),
            Promise(
                "the playback buffer, the most",
                round(max(each["buffer_ms"] for each in minutes), 1),
                150,
                "ms",
            ),
            Promise(
                "kernel CPU of a widget that is drawn ten times a second",
                round(draw["one"] - draw["bare"], 2),
                3,
                "%",
            ),
            Promise("the widget is drawn after its cell was run", talk["drawn_s"], 1.5, "s"),
            Promise("import workbench.notebook", round(imported, 3), 0.5, "s"),
        ],
        {"seconds": TALK_S, "browser": "headless Chromium, loopback, JupyterLab"},
        {"drawing": draw} | {name: summary(talk[name]) for name in PHASES},
    )


if __name__ == "__main__":
    run(main)
