"""PluginPanels of plugins, and calls of tools, as the live widget gets them; in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from ipywidgets import Label

from tests.waiting import until
from workbench import Agent, RunContext, open_session, tool
from workbench.config import load_settings
from workbench.model.events import Entry
from workbench.notebook import live, plugin_panels
from workbench.notebook.plugin_panels import PluginPanels
from workbench.plugin.values import Panel
from workbench.session import Session

HOSTILE = "<img src=x onerror=owned=1>"


@pytest.fixture
def quiet() -> Iterator[Session]:
    settings = load_settings(
        {"profile": "scripted", "audio.source": "none", "audio.sink": "none", "record.enabled": False}
    )
    with open_session(settings) as session:
        yield session


class Counter:
    """Text by default."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def feed(self, entries: Sequence[Entry]) -> None:
        self.seen += [entry.i for entry in entries]

    def __str__(self) -> str:
        return f"{len(self.seen)} events {HOSTILE}\x1b[2J"


class Markup(Counter):
    def _repr_html_(self) -> str:
        return f"<b>{len(self.seen)}</b>"


class Broken(Counter):
    def feed(self, entries: Sequence[Entry]) -> None:
        raise ValueError("not this one")


def contents(panels: PluginPanels) -> dict[str, tuple[str, str]]:
    return {panel["title"]: (panel["kind"], panel["body"]) for panel in panels.contents}


def test_each_shows_its_own_and_one_that_raises_says_so_in_its_place(quiet: Session) -> None:
    label, counter = Label("ready"), Counter()

    def fail() -> Any:
        raise RuntimeError("no such thing")

    def leave() -> Any:
        raise SystemExit("I am done")

    panels = PluginPanels(
        quiet,
        lambda: [
            ("one", Panel("broken", "Broken", Broken)),
            ("one", Panel("unmade", "Unmade", fail)),
            ("one", Panel("leaving", "Leaving", leave)),
            ("two", Panel("text", "Text\x1b[2J", lambda: counter)),
            ("two", Panel("html", "HTML", Markup)),
            ("two", Panel("odd", "Odd", lambda: type("Odd", (), {"_repr_html_": lambda self: 7})())),
            ("two", Panel("label", "Label", lambda: label)),
        ],
    )
    panels.start()
    quiet.stop()
    quiet.wait(20)
    panels.join(20)
    assert counter.seen == list(range(quiet.trace.end))  # all of them, in order, once
    shown = contents(panels)
    assert shown["Text"] == ("text", f"{len(counter.seen)} events {HOSTILE}")
    assert shown["HTML"] == ("html", f"<b>{len(counter.seen)}</b>")
    assert shown["Label"] == ("model", label.model_id)
    for title, reason in (
        ("Broken", "not this one"),
        ("Unmade", "no such thing"),
        ("Leaving", "done"),
        ("Odd", "no text"),
    ):
        kind, body = shown[title]
        assert kind == "error"
        assert reason in body
        assert f"panel {title.lower()} of" in body


def test_a_slow_one_is_dropped_and_a_stuck_one_is_told(
    quiet: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_panels, "SLOW_S", 0.05)
    monkeypatch.setattr(plugin_panels, "STUCK_S", 0.1)
    go_on = threading.Event()

    class Stuck(Counter):
        def feed(self, entries: Sequence[Entry]) -> None:
            super().feed(entries)
            go_on.wait(20)

    stuck = Stuck()
    panels = PluginPanels(quiet, lambda: [("one", Panel("stuck", "Stuck", lambda: stuck))])
    panels.start()
    until(lambda: "does not come back" in contents(panels).get("Stuck", ("", ""))[1])
    go_on.set()
    until(lambda: "gets no more of them" in contents(panels)["Stuck"][1])
    count = len(stuck.seen)
    quiet.bookmark()
    quiet.stop()
    panels.join(20)
    assert len(stuck.seen) == count


def test_where_there_is_no_panel_nothing_runs(quiet: Session) -> None:
    panels = PluginPanels(quiet, list)
    panels.start()
    assert panels.contents == []
    assert "notebook-panels" not in [thread.name for thread in threading.enumerate()]


def test_a_call_is_shown_from_its_beginning_to_its_end() -> None:
    @tool
    def look_up(ctx: RunContext[Any], city: str) -> str:
        """Look a city up."""
        ctx.progress(f"half {HOSTILE}", 0.5)
        done.wait(20)
        return HOSTILE

    done = threading.Event()
    script = {"choose": [{"when": "Oslo", "tool": "look_up", "arguments": {"city": "Oslo"}}]}
    agent = Agent(instructions="x", tools=[look_up])
    widget = live(
        agent, source="none", sink="none", profile="scripted", script=script, tts_provider="none", record_enabled=False
    )  # fmt: skip
    try:
        widget.session.type("What about Oslo?")
        (running,) = until(lambda: [one for one in widget.tools if one["progress"]])
        assert running["state"] == "running"
        assert running["call"] == 'look_up(city="Oslo")'
        assert (running["fraction"], running["result"]) == (0.5, "")
        assert running["outcome"].startswith("50 %")
        assert running["progress"] == f"half {HOSTILE}"
        done.set()
        (ended,) = until(lambda: [one for one in widget.tools if one["state"] == "done"])
        assert (ended["fraction"], ended["progress"]) == (None, "")
        assert HOSTILE in ended["result"]
        assert (running["mark"], ended["mark"]) == ("◐", "✓")
    finally:
        widget.end()
