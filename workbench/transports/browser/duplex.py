"""Half duplex for as long as a page hears what we say, unless somebody chose how it is to be."""

from __future__ import annotations

from workbench.config import Settings
from workbench.model.events import DuplexChanged, Notice
from workbench.trace.trace import Trace

MODE = "bargein.mode"
HEADPHONES = "use headphones, or another browser"


class PageDuplex:
    """Is told at each capture of a page whether our echo is taken out of it, as far as the browser says."""

    def __init__(self, settings: Settings, trace: Trace) -> None:
        self._settings = settings
        self._trace = trace
        self._ours = False

    def heard(self, echo_cancelled: bool | None) -> None:
        """A capture begins. None: the browser does not say."""
        bargein, chosen = self._settings.bargein, self._settings.origin(MODE) != "default"
        if echo_cancelled:
            if self._ours and not chosen and bargein.mode == "half":
                bargein.mode = "full"
                self._trace.emit(DuplexChanged("full", "the browser takes what we say out of its microphone"))
            self._ours = False
            return
        what = "does not say whether it takes" if echo_cancelled is None else "does not take"
        reason = f"the browser {what} what we say out of its microphone, and nobody else does"
        if bargein.mode == "full" and not chosen:
            self._ours = True
            bargein.mode = "half"
            self._trace.emit(DuplexChanged("half", reason))
        elif bargein.mode == "full":
            self._trace.emit(Notice("warning", "echo", reason, HEADPHONES))
