"""A browser's page as a transport: its microphone and its speaker, over the link that a front end keeps."""

from __future__ import annotations

from workbench.config import Settings
from workbench.model.errors import UsageError
from workbench.model.events import DuplexChanged, Notice
from workbench.trace.trace import Trace
from workbench.transports.base import Transport, TransportOptions
from workbench.transports.browser.audio import BrowserMicrophone, BrowserSpeaker
from workbench.transports.browser.page import PageLink

BROWSER = "browser"
"""The name of the transport in `audio.source` and `audio.sink`."""
AUDIBLE = (BROWSER, "speaker")
"""Sinks that a page's microphone hears."""
MODE = "bargein.mode"
HEADPHONES = "use headphones, or another browser"


class BrowserTransport(Transport):
    """Gives those sides that the settings name `browser`. UsageError where there is no page."""

    def __init__(self, options: TransportOptions, link: PageLink | None = None) -> None:
        audio, trace = options.settings.audio, options.trace
        if link is None:
            raise UsageError(
                "a browser's microphone and speaker are there in a notebook only",
                "write live(agent) in a cell; elsewhere use mic, speaker, a wav file or none",
            )
        if options.source and audio.source == BROWSER:
            echo = audio.echo_cancellation and audio.sink in AUDIBLE
            on_echo = EchoDuplex(options.settings, trace).begin_capture if echo else lambda cancelled: None
            self.source = BrowserMicrophone(link, trace, on_echo)
        if options.sink and audio.sink == BROWSER:
            self.sink = BrowserSpeaker(link, trace)


class EchoDuplex:
    """Goes half duplex for as long as a page hears what we say, unless the user chose the mode."""

    def __init__(self, settings: Settings, trace: Trace) -> None:
        self._settings = settings
        self._trace = trace
        self._set_by_us = False

    def begin_capture(self, echo_cancelled: bool | None) -> None:
        """Set the mode for a capture, by whether our echo is taken out of it; None: the browser does not say."""
        bargein, chosen = self._settings.bargein, self._settings.origin(MODE) != "default"
        if echo_cancelled:
            if self._set_by_us and not chosen and bargein.mode == "half":
                bargein.mode = "full"
                self._trace.emit(DuplexChanged("full", "the browser takes what we say out of its microphone"))
            self._set_by_us = False
            return
        verb = "does not say whether it takes" if echo_cancelled is None else "does not take"
        reason = f"the browser {verb} what we say out of its microphone, and nobody else does"
        if bargein.mode == "full" and not chosen:
            self._set_by_us = True
            bargein.mode = "half"
            self._trace.emit(DuplexChanged("half", reason))
        elif bargein.mode == "full":
            self._trace.emit(Notice("warning", "echo", reason, HEADPHONES))
