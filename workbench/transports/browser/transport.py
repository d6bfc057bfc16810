"""A browser's page as a transport: its microphone and its speaker, over the link that a front end keeps."""

from __future__ import annotations

from workbench.model.errors import UsageError
from workbench.transports.base import Transport, TransportOptions
from workbench.transports.browser.audio import BrowserMicrophone, BrowserSpeaker
from workbench.transports.browser.duplex import PageDuplex
from workbench.transports.browser.page import PageLink

BROWSER = "browser"
"""The name of the transport in `audio.source` and `audio.sink`."""
AUDIBLE = (BROWSER, "speaker")
"""Sinks that a page's microphone hears."""


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
            on_echo = PageDuplex(options.settings, trace).heard if echo else lambda cancelled: None
            self.source = BrowserMicrophone(link, trace, on_echo)
        if options.sink and audio.sink == BROWSER:
            self.sink = BrowserSpeaker(link, trace)
