"""Traces made by hand, and HTML as a reader of it sees it."""

from __future__ import annotations

import struct
from html.parser import HTMLParser
from typing import Any

from workbench.model.events import (
    Heard,
    Span,
    TurnDecided,
    TurnEnded,
)
from workbench.views.trace import OpenTrace

HOSTILE = "<script>alert(1)</script>\x1b[31m & \u202e $x$ \\(y\\) " + "long " * 2000


def spoken(turn: int, text: str = "Hello?", answer: str = "Hello.", **more: Any) -> list[Any]:
    """The events of a turn that was heard after 600 ms, at 10 s a turn."""
    at = turn * 10_000.0
    return [
        TurnDecided(turn, turn),
        Span("stt", at, at + 300, utterance=turn),
        Heard(turn, 0, at, 0, at + 600),
        TurnEnded(turn, "done", text, answer, **more),
    ]


def traced(*events: Any, clock: list[float] | None = None) -> OpenTrace:
    now = clock or [0.0]
    trace = OpenTrace(lambda: now[0])
    for event in events:
        trace.emit(event)
    return trace


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


class Page(HTMLParser):
    """The tags of a page, and its text with plain spaces; style sheets aside."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self._style = False
        self.feed(html)
        self.text = self.text.replace("\N{NO-BREAK SPACE}", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._style = False


HARMLESS = {"table", "thead", "tbody", "tr", "th", "td", "b", "br", "small", "span", "style"}
