"""A page's messages, and what is done with each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.model.errors import WorkbenchError
from workbench.model.events import Notice
from workbench.model.text import plain
from workbench.notebook.messages import RATES, TEXT, BadMessage, flag, number, page_of, sound, text, whole
from workbench.notebook.session_watcher import SLIDER_SETTINGS
from workbench.session import Session
from workbench.transports.browser.page import AWAY, GONE, Chunk, Outgoing, PageLink

Send = Callable[[dict[str, Any], list[bytes]], None]
"""Sends a message to all pages of a widget."""
OFTEN = ("ping", "sound", "way", "heard")
"""Messages that come by themselves; of all the others no page has many to say."""
MOST, MOST_S = 200, 10.0
"""So many of the others are taken within so many seconds."""
NEAR_S = 60.0
"""A time that a page tells is no further from now, s."""


class MessageHandler:
    """Takes the messages of a widget's pages; `send` answers them. Called by whichever thread the kernel chose."""

    def __init__(self, session: Session, link: PageLink, send: Send) -> None:
        self._session = session
        self._link = link
        self._send = send
        self._refused = False
        self._taken: deque[float] = deque(maxlen=MOST)
        self._handlers: Mapping[str, Callable[[str, dict[str, Any], Sequence[Any]], None]] = {
            "hello": lambda page, content, buffers: None,
            "ping": self._ping,
            "claim": self._claim,
            "release": self._release,
            "bye": self._bye,
            "capture": self._capture,
            "sound": self._sound,
            "play": self._play,
            "heard": self._heard,
            "way": self._way,
            "trouble": self._trouble,
            "verb": self._verb,
        }

    def take(self, content: Any, buffers: Sequence[Any]) -> None:
        """A message; the first one that cannot be used is told in the trace."""
        try:
            if not isinstance(content, dict):
                raise BadMessage("it is no object")
            page, kind = page_of(content), content.get("k")
            self._link.seen(page)
            handler = self._handlers.get(kind) if isinstance(kind, str) else None
            if handler is None:
                raise BadMessage("it is of no known kind")
            if kind not in OFTEN:
                self._count()
            handler(page, content, buffers)
        except (BadMessage, WorkbenchError) as error:
            self._refuse(error)

    def _count(self) -> None:
        """Each of them may leave something in the trace."""
        now = time.monotonic()
        if len(self._taken) == MOST and now - self._taken[0] < MOST_S:
            raise BadMessage(f"there are more than {MOST} within {MOST_S:.0f} s")
        self._taken.append(now)

    def _refuse(self, error: Exception) -> None:
        if self._refused or self._session.trace.closed:  # to a session that is over a page may still speak
            return
        self._refused = True
        reason = f"a message of the page cannot be used: {plain(str(error), 200, one_line=True)}"
        self._session.trace.emit(Notice("warning", "page", reason, "reload the page"))

    def close(self) -> None:
        """The widget is taken away: if a page of it has the sound, that is free."""
        if self._link.post != self.post:
            return
        self._link.post = lambda sound: None
        if self._link.owner is not None:
            self._link.leave(self._link.owner, AWAY)

    def post(self, out: Outgoing) -> None:
        """Sound for the page that has the speaker."""
        content = {
            "k": "sound",
            "page": self._link.owner,
            "at": out.position,
            "due": out.due * 1000,
            "pulled": out.pulled * 1000,
            "first": out.first,
        }
        self._send(content, [out.samples.astype("<i2").tobytes()])

    # --- one kind each -----------------------------------------------------------------------------------------------

    def _ping(self, page: str, content: dict[str, Any], _: Sequence[Any]) -> None:
        at = time.monotonic() * 1000
        pong = {
            "k": "pong",
            "page": page,
            "t": number(content, "t"),
            "at": at,
            "owner": self._link.owner or "",
        }
        self._send(pong, [])

    def _claim(self, page: str, _content: dict[str, Any], _: Sequence[Any]) -> None:
        self._link.post = self.post
        self._link.claim(page)

    def _release(self, page: str, _content: dict[str, Any], _: Sequence[Any]) -> None:
        self._link.leave(page, None)

    def _bye(self, page: str, content: dict[str, Any], _: Sequence[Any]) -> None:
        self._link.leave(page, AWAY if content.get("stays") is True else GONE)

    def _capture(self, page: str, content: dict[str, Any], _: Sequence[Any]) -> None:
        if not flag(content, "on"):
            self._link.captures(page, None)
            return
        echo = content.get("file") is True or content.get("echo")  # a file hears nothing of us
        name = plain(text(content, "device", 300), 80, one_line=True) or "microphone"
        self._link.captures(page, name, echo if isinstance(echo, bool) else None, whole(content, "n"))

    def _sound(self, page: str, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        rate = whole(content, "rate")
        if rate not in RATES:
            raise BadMessage("rate is out of bounds")
        captured = min(time.monotonic(), number(content, "t", 0) / 1000)
        samples = sound(buffers, rate)
        self._link.heard(page, Chunk(whole(content, "n"), samples, rate, whole(content, "at"), captured))

    def _play(self, page: str, content: dict[str, Any], _: Sequence[Any]) -> None:
        self._link.plays(page, flag(content, "on"))

    def _heard(self, page: str, content: dict[str, Any], _: Sequence[Any]) -> None:
        at = number(content, "t", 0) / 1000
        if abs(at - time.monotonic()) > NEAR_S:
            raise BadMessage("t is out of bounds")
        self._link.left_speaker(page, whole(content, "at"), at)

    def _way(self, page: str, content: dict[str, Any], _: Sequence[Any]) -> None:
        network, output, want = (number(content, name) / 1000 for name in ("network", "output", "want"))
        self._link.measured(page, network, output, want, whole(content, "dry"))

    def _trouble(self, _page: str, content: dict[str, Any], _: Sequence[Any]) -> None:
        what = plain(text(content, "what", 20), 20, one_line=True)
        detail = plain(text(content, "detail", 300), 300, one_line=True)
        reason = f"the page has trouble with its sound ({what}) {detail}".strip()
        self._session.trace.emit(Notice("info", "page", reason, "the widget says what to do; typing works"))

    def _verb(self, _page: str, content: dict[str, Any], _: Sequence[Any]) -> None:
        session = self._session
        match text(content, "verb", 20):
            case "type":
                session.type(text(content, "text", TEXT))
            case "mute":
                session.mute(flag(content, "on"))
            case "interrupt":
                session.interrupt()
            case "bookmark":
                session.bookmark(text(content, "label", 200))
            case "set":
                name = text(content, "name", 60)
                if name not in SLIDER_SETTINGS:
                    raise BadMessage("it is no knob of the widget")
                session.set(name, number(content, "value"))
            case _:
                raise BadMessage("it is no verb of a page")
