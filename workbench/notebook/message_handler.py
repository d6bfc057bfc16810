"""A page's messages, and what is done with each. A page is somebody else's program: it may send anything in any order.

A message is an object with its kind in `k`, the page's name of itself in `page`, and the fields that the method of that
kind takes. Times are in ms of the kernel's monotonic clock, which a page learns from the answers to its pings.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import ConfigDict, Field, ValidationError, validate_call

from workbench.model.audio import Samples
from workbench.model.errors import WorkbenchError
from workbench.model.events import Notice
from workbench.model.text import plain
from workbench.notebook.session_watcher import SLIDER_SETTINGS
from workbench.session import Session
from workbench.transports.browser.page import AWAY, GONE, CapturedChunk, PageLink, PlaybackChunk

Send = Callable[[dict[str, Any], list[bytes]], None]
"""Sends a message to all pages of a widget."""
PERIODIC = ("ping", "audio", "delays", "played")
"""Kinds that a page sends by itself; of all others it has few to send."""
MOST, MOST_S = 200, 10.0
"""So many of those are taken within so many seconds: each may leave something in the trace."""
NEAR_S = 60.0
"""A time that a page reports is no further from now, s."""
LONGEST_S = 0.5
"""Sound in one message at most, s."""
PAGE = re.compile(r"[0-9a-z]{4,40}")

Count = Annotated[int, Field(ge=0, le=2**53)]
"""A sample's position, or the number of something."""
Time = Annotated[float, Field(ge=0)]
Text = Annotated[str, Field(max_length=4_000)]
Label = Annotated[str, Field(max_length=300)]


class UnusableMessage(ValueError):
    """A message that cannot be used; the text says why."""


_Method = TypeVar("_Method", bound=Callable[..., None])
_handlers: dict[str, Callable[..., None]] = {}


def _handles(method: _Method) -> _Method:
    """The method handles messages of its name; its keyword arguments are their fields, of exactly these types."""
    check = validate_call(config=ConfigDict(strict=True, allow_inf_nan=False))
    _handlers[method.__name__.removeprefix("_")] = check(method)
    return method


class MessageHandler:
    """Handles the messages of a widget's pages; `send` answers them. Called by whichever thread the kernel chose."""

    def __init__(self, session: Session, link: PageLink, send: Send) -> None:
        self._session = session
        self._link = link
        self._send = send
        self._refused = False
        self._times: deque[float] = deque(maxlen=MOST)

    def handle(self, content: Any, buffers: Sequence[Any]) -> None:
        """Do what a message asks for; the first one that cannot be used is reported in the trace."""
        try:
            self._handle(content, buffers)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            self._refuse(": ".join([*map(str, first["loc"]), first["msg"]]))
        except (UnusableMessage, WorkbenchError) as error:
            self._refuse(str(error))

    def _handle(self, content: Any, buffers: Sequence[Any]) -> None:
        if not isinstance(content, dict):
            raise UnusableMessage("it is no object")
        fields = dict(content)
        page, kind = fields.pop("page", None), fields.pop("k", None)
        if not isinstance(page, str) or not PAGE.fullmatch(page):
            raise UnusableMessage("it does not say which page it is from")
        self._link.touch(page)
        handler = _handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            raise UnusableMessage("it is of no known kind")
        now = time.monotonic()
        if kind not in PERIODIC:
            if len(self._times) == MOST and now - self._times[0] < MOST_S:
                raise UnusableMessage(f"there are more than {MOST} within {MOST_S:.0f} s")
            self._times.append(now)
        handler(self, page, buffers, **fields)

    def _refuse(self, reason: str) -> None:
        if self._refused or self._session.trace.closed:  # a page may still send to a session that is over
            return
        self._refused = True
        reason = f"a message of the page cannot be used: {plain(reason, 200, one_line=True)}"
        self._session.trace.emit(Notice("warning", "page", reason, "reload the page"))

    def close(self) -> None:
        """The widget is taken away: if a page of it has the sound, that is free."""
        if self._link.post != self.post:
            return
        self._link.post = lambda sound: None
        if self._link.owner is not None:
            self._link.leave(self._link.owner, AWAY)

    def post(self, out: PlaybackChunk) -> None:
        """Send sound to the page that has the speaker."""
        content: dict[str, Any] = {"k": "audio", "at": out.position, "first": out.first}
        content |= {"page": self._link.owner, "due": out.due * 1000, "pulled": out.pulled * 1000}
        self._send(content, [out.samples.astype("<i2").tobytes()])

    # --- one kind each -----------------------------------------------------------------------------------------------

    @_handles
    def _hello(self, page: str, _: Any, /) -> None:
        """It was opened; that it was seen is all."""

    @_handles
    def _ping(self, page: str, _: Any, /, *, t: float) -> None:
        """`t` is the page's own time, and goes back as it is."""
        pong = {"k": "pong", "page": page, "t": t, "at": time.monotonic() * 1000}
        self._send({**pong, "owner": self._link.owner or ""}, [])

    @_handles
    def _claim(self, page: str, _: Any, /) -> None:
        self._link.post = self.post
        self._link.claim(page)

    @_handles
    def _release(self, page: str, _: Any, /) -> None:
        self._link.leave(page, None)

    @_handles
    def _close(self, page: str, _: Any, /, *, stays: bool) -> None:
        """The widget was taken away from a page that `stays`, or the page is gone."""
        self._link.leave(page, AWAY if stays else GONE)

    @_handles
    def _capture(
        self,
        page: str,
        _: Any,
        /,
        *,
        on: bool,
        n: Count = 0,
        device: Label = "",
        echo: bool | None = None,
        file: bool = False,
    ) -> None:
        """Capture number `n` begins; `echo`: whether the browser says that it cancels ours."""
        if not on:
            self._link.set_capture(page, None)
            return
        name = plain(device, 80, one_line=True) or "microphone"
        self._link.set_capture(page, name, True if file else echo, n)  # there is no echo in a file

    @_handles
    def _audio(
        self,
        page: str,
        buffers: Any,
        /,
        *,
        n: Count,
        at: Count,
        t: Time,
        rate: Annotated[int, Field(ge=8_000, le=192_000)],
    ) -> None:
        """Of capture `n`, from sample `at` on; the last one was captured at `t`."""
        captured = min(time.monotonic(), t / 1000)
        self._link.take_audio(page, CapturedChunk(n, samples_of(buffers, rate), rate, at, captured))

    @_handles
    def _play(self, page: str, _: Any, /, *, on: bool) -> None:
        self._link.set_playing(page, on)

    @_handles
    def _played(self, page: str, _: Any, /, *, at: Count, t: Time) -> None:
        """Sample `at` left the speaker at `t`."""
        if abs(t / 1000 - time.monotonic()) > NEAR_S:
            raise UnusableMessage("t is out of bounds")
        self._link.take_played(page, at, t / 1000)

    @_handles
    def _delays(
        self, page: str, _: Any, /, *, network: float, output: float, total: float, underruns: Count
    ) -> None:
        """Measured on the way to the speaker, ms; `total` is wanted from sending to the speaker."""
        self._link.set_playback_delay(page, network / 1000, output / 1000, total / 1000, underruns)

    @_handles
    def _trouble(self, page: str, _: Any, /, *, code: Label, detail: Label) -> None:
        code, detail = (plain(text, 300, one_line=True) for text in (code, detail))
        reason = f"the page has trouble with its sound ({code}) {detail}".strip()
        self._session.trace.emit(Notice("info", "page", reason, "the widget says what to do; typing works"))

    @_handles
    def _type(self, page: str, _: Any, /, *, text: Text) -> None:
        self._session.type(text)

    @_handles
    def _mute(self, page: str, _: Any, /, *, on: bool) -> None:
        self._session.mute(on)

    @_handles
    def _interrupt(self, page: str, _: Any, /) -> None:
        self._session.interrupt()

    @_handles
    def _bookmark(self, page: str, _: Any, /, *, label: Label = "") -> None:
        self._session.bookmark(label)

    @_handles
    def _set(self, page: str, _: Any, /, *, name: Label, value: float) -> None:
        if name not in SLIDER_SETTINGS:
            raise UnusableMessage("this setting has no slider in the widget")
        self._session.set(name, value)


def samples_of(buffers: Sequence[Any], rate: int) -> Samples:
    """Return the only buffer as mono PCM16. Raises UnusableMessage for another number of them or a wrong size."""
    if len(buffers) != 1:
        raise UnusableMessage("sound comes in one buffer")
    data = bytes(memoryview(buffers[0]).cast("B")) if buffers[0] is not None else b""
    if not data or len(data) % 2 or len(data) > 2 * LONGEST_S * rate:
        raise UnusableMessage("the sound is empty, odd or too long")
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False)
