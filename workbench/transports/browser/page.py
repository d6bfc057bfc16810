"""The link between a session and a browser's page: the state that the transport and a front end share.

A front end (a notebook's widget) carries the messages. Sound comes in by `take_audio` and goes out by `post`; times are
of the monotonic clock, s: the page asks for it, and gives its own times in it. One page at a time has the sound: the
owner. Everything here may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from workbench.model.audio import Samples

PRESENT_S = 15.0
"""A page that was silent for so long is gone, s: a connection may be lost for ten."""
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


LeaveReason = tuple[str, str]
"""Why a page no longer has the sound, and what to do."""
GONE: LeaveReason = (
    "the page was closed or is gone",
    "open the notebook again and press Talk; the recording is kept",
)
AWAY: LeaveReason = "its widget was taken away", "press Talk; the recording is kept"


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
class PlaybackDelay:
    """How long sound takes to the ear behind a page, s: on the network, in the browser's output, and in all, the page's
    jitter buffer with them; and how often that buffer was empty."""

    network: float = 0.0
    output: float = 0.0
    total: float = FIRST_DELAY_S
    underruns: int = 0


class PageLink:
    """One page's microphone and speaker, as the session's source and sink and the front end see them."""

    def __init__(self) -> None:
        self.owner: str | None = None
        """The page that has the sound."""
        self.leave_reason: LeaveReason | None = None
        """Why the last one no longer has it, and what to do; None where its user wanted that."""
        self.playing = False
        """Whether its speaker runs."""
        self.capture: str | None = None
        """Its microphone's name, while it captures."""
        self.echo_cancelled: bool | None = None
        """Whether the browser says that it takes our echo out of what it captures."""
        self.playback = PlaybackDelay()
        """As the page measured it."""
        self.post: Callable[[PlaybackChunk], None] = lambda sound: None
        """Carries sound to the page; set by the front end."""
        self.on_chunk: Callable[[CapturedChunk], None] = lambda chunk: None
        """Called with what the microphone captured; set by the source."""
        self.on_capture: Callable[[], None] = lambda: None
        """Called when the capture begins or ends; set by the source."""
        self.on_played: Callable[[int, float], None] = lambda sample, at: None
        """Called when a sample of `agent` leaves the speaker, s; set by the sink."""
        self.on_playing: Callable[[], None] = lambda: None
        """Called when the page's speaker runs; set by the sink."""
        self._lock = threading.Lock()
        self._page_capture = 0
        """Number of the capture, as the page counts."""
        self._captures = 0
        self._touched = 0.0

    @property
    def present(self) -> bool:
        """Whether there is an owner that sent something lately."""
        return self.owner is not None and time.monotonic() - self._touched < PRESENT_S

    # --- called by the front end -------------------------------------------------------------------------------------

    def touch(self, page: str) -> None:
        """Note that the page is there."""
        if page == self.owner:
            self._touched = time.monotonic()

    def check_presence(self) -> None:
        """Take the sound from an owner that is no longer there."""
        if not self.present and self.owner is not None:
            self.leave(self.owner)

    def claim(self, page: str) -> None:
        """Give the page the sound, from whichever had it."""
        with self._lock:
            if page != self.owner:
                self.owner, self.playing = page, False
                self._set_capture(None, None)
            self._touched = time.monotonic()

    def leave(self, page: str, reason: LeaveReason | None = GONE) -> None:
        """Let the page give the sound up."""
        with self._lock:
            if page == self.owner:
                self.owner, self.playing, self.leave_reason = None, False, reason
                self._set_capture(None, None)

    def set_capture(
        self, page: str, device: str | None, echo_cancelled: bool | None = None, n: int = 0
    ) -> None:
        """Note that the page's microphone was opened (`device`) or closed (None); the page counts it as capture `n`."""
        with self._lock:
            if page == self.owner:
                self._set_capture(device, echo_cancelled, n)

    def set_playing(self, page: str, on: bool) -> None:
        """Note whether the page's speaker runs."""
        if page == self.owner:
            self.playing = on
            if on:
                self.on_playing()

    def set_playback_delay(
        self, page: str, network_s: float, output_s: float, total_s: float, underruns: int = 0
    ) -> None:
        """Take what the page measured of the transit to its ear; sound is due `total_s` after it was sent."""
        if page == self.owner:
            least, most = DELAY_S
            total = min(most, max(least, total_s))
            self.playback = PlaybackDelay(max(0.0, network_s), max(0.0, output_s), total, underruns)

    def take_audio(self, page: str, chunk: CapturedChunk) -> None:
        """Take what the page's microphone captured; what belongs to no capture that was announced is left out.

        Each page counts its captures from 1. They are numbered anew here, or a page that was reloaded would seem to
        repeat what the one before it said.
        """
        with self._lock:
            mine = page == self.owner and self.capture is not None
            announced = mine and chunk.capture == self._page_capture
            chunk = replace(chunk, capture=self._captures)
        if announced:
            self.on_chunk(chunk)

    def take_played(self, page: str, sample: int, at: float) -> None:
        """Note that sample `sample` of `agent` left the page's speaker at `at`."""
        if page == self.owner:
            self.on_played(sample, at)

    def _set_capture(self, device: str | None, echo_cancelled: bool | None, n: int = 0) -> None:
        self.capture, self.echo_cancelled, self._page_capture = device, echo_cancelled, n
        self._captures += device is not None
        self.on_capture()
