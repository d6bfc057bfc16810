"""The way between a session and a browser's page: what a front end feeds, and what the session's ends take from it.

A front end (a notebook's widget) carries messages; this is the state that both sides share. Sound comes in by `heard`
and goes out by `post`; times are of the monotonic clock, s: the page knows it by asking, and tells its own times in it.
One page at a time has the sound: the owner. Everything here may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from workbench.model.audio import Samples

PRESENT_S = 15.0
"""A page of which nothing was heard for so long is gone, s: a connection may be lost for ten."""
FIRST_DELAY_S = 0.12
"""How long after it was sent sound is due at the ear, s, until something was measured."""
DELAY_S = 0.03, 0.4
"""The least and the most of it, s."""


@dataclass(frozen=True, slots=True)
class CapturedChunk:
    """Sound of the page's microphone: mono PCM16 at `rate` Hz, its first sample's position since capture number
    `capture` began (the page's number until the link gives it its own), and when its last sample was captured, s."""

    capture: int
    samples: Samples
    rate: int
    position: int
    ended_at: float

    @property
    def end(self) -> int:
        """The position after its last sample."""
        return self.position + len(self.samples)


Left = tuple[str, str]
"""Why a page no longer has the sound, and what to do."""
GONE: Left = "the page was closed or is gone", "open the notebook again and press Talk; the recording is kept"
AWAY: Left = "its widget was taken away", "press Talk; the recording is kept"


@dataclass(frozen=True, slots=True)
class PlaybackChunk:
    """Sound for the page's speaker: 24 kHz, its first sample's position on `agent`, when it was to be pulled and when
    that sample is due at the ear, s. `first`: it does not follow on what came before."""

    samples: Samples
    position: int
    pulled: float
    due: float
    first: bool


@dataclass(frozen=True, slots=True)
class Way:
    """How sound goes from here to the ear behind a page, s: on the network, in the page's jitter buffer (`buffer`:
    all of it but the network and the device), and in the browser's output; and how often that buffer ran dry."""

    network: float = 0.0
    output: float = 0.0
    delay: float = FIRST_DELAY_S
    dry: int = 0


class PageLink:
    """What a page and a session tell each other."""

    def __init__(self) -> None:
        self.owner: str | None = None
        """The page that has the sound."""
        self.left: Left | None = None
        """Why the last one no longer has it, and what to do; None where its user wanted that."""
        self.playing = False
        """Whether its speaker runs."""
        self.capture: str | None = None
        """Its microphone's name, while it captures."""
        self.echo_cancelled: bool | None = None
        """Whether the browser says that it takes our echo out of what it captures."""
        self.way = Way()
        """What was measured of the way to its ear."""
        self.post: Callable[[PlaybackChunk], None] = lambda sound: None
        """Carries sound to the page; set by the front end."""
        self.on_chunk: Callable[[CapturedChunk], None] = lambda chunk: None
        """Takes what the microphone heard; set by the session's source."""
        self.on_heard: Callable[[int, float], None] = lambda sample, at: None
        """Is told when a sample of `agent` leaves the speaker, s; set by the session's sink."""
        self.on_plays: Callable[[], None] = lambda: None
        """Is called when the page's speaker runs; set by the session's sink."""
        self.changed: Callable[[], None] = lambda: None
        """Is called when the capture began or ended; set by the session's source."""
        self._lock = threading.Lock()
        self._announced = 0
        self._captured = 0
        self._seen = 0.0

    # --- called by the front end -------------------------------------------------------------------------------------

    def seen(self, page: str) -> None:
        """The page has said something."""
        if page == self.owner:
            self._seen = time.monotonic()

    def claim(self, page: str) -> None:
        """The page takes the sound, from whichever had it."""
        with self._lock:
            if page != self.owner:
                self.owner, self.playing = page, False
                self._captures(None, None)
            self._seen = time.monotonic()

    def leave(self, page: str, why: Left | None = GONE) -> None:
        """The page gives the sound up."""
        with self._lock:
            if page == self.owner:
                self.owner, self.playing, self.left = None, False, why
                self._captures(None, None)

    def captures(self, page: str, device: str | None, echo_cancelled: bool | None = None, n: int = 0) -> None:
        """The page's microphone was opened (`device`) or closed (None); the page counts it as capture `n`."""
        with self._lock:
            if page == self.owner:
                self._captures(device, echo_cancelled, n)

    def plays(self, page: str, on: bool) -> None:
        """The page's speaker runs, or does not."""
        if page == self.owner:
            self.playing = on
            if on:
                self.on_plays()

    def heard(self, page: str, chunk: CapturedChunk) -> None:
        """The page's microphone heard this; what is of no capture that it has told of is left out.

        Each page counts its captures from 1. They are numbered anew here, or a page that was reloaded would seem to
        repeat what the one before it said.
        """
        with self._lock:
            known = page == self.owner and self.capture is not None and chunk.capture == self._announced
            mine = replace(chunk, capture=self._captured)
        if known:
            self.on_chunk(mine)

    def measured(self, page: str, network_s: float, output_s: float, delay_s: float, dry: int = 0) -> None:
        """The page has measured the way to its ear, and wants sound to be due so long after it was sent. `dry`: how
        often it had nothing to play."""
        if page == self.owner:
            least, most = DELAY_S
            delay = min(most, max(least, delay_s))
            self.way = Way(max(0.0, network_s), max(0.0, output_s), delay, dry)

    def left_speaker(self, page: str, sample: int, at: float) -> None:
        """Sample `sample` of `agent` leaves the page's speaker at `at`."""
        if page == self.owner:
            self.on_heard(sample, at)

    def look(self) -> None:
        """Whoever waits for the owner looks whether it is still there; one that is gone gives the sound up."""
        if not self.present and self.owner is not None:
            self.leave(self.owner)

    def _captures(self, device: str | None, echo_cancelled: bool | None, n: int = 0) -> None:
        self.capture, self.echo_cancelled, self._announced = device, echo_cancelled, n
        self._captured += device is not None
        self.changed()

    # --- asked by both -----------------------------------------------------------------------------------------------

    @property
    def present(self) -> bool:
        """Whether the owner has been heard of lately."""
        return self.owner is not None and time.monotonic() - self._seen < PRESENT_S
