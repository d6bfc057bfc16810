"""LiveKit's SDK, imported when a room is joined, and kept from logging what it must not."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import re
import warnings
from types import ModuleType

from workbench.model.errors import MissingError
from workbench.model.text import plain
from workbench.transports.livekit.ffi_events import FfiEventRouter

TOKEN = re.compile(r"\bey[\w-]{8,}\.[\w-]+\.[\w-]*")
"""A signed token: the server repeats the one that it refuses, and the SDK logs it."""


FITS = ">=1.2.1,<1.3"
"""The SDK's versions whose insides the event router knows."""


@functools.cache
def rtc() -> ModuleType:
    """Return the module `livekit.rtc`, with its native part. MissingError where that can't be loaded."""
    _silence_log()
    try:
        from livekit import rtc  # 0.25 s
        from livekit.rtc._ffi_client import FfiClient

        _ = FfiClient.instance  # loads the native part: 20 ms
    except (ImportError, OSError) as error:
        raise MissingError(
            f"LiveKit's SDK cannot be loaded: {error_text(error)}",
            "install it for this machine: `pip install --force-reinstall livekit` (Linux needs glibc 2.28 or newer)",
        ) from error
    return rtc


@functools.cache
def event_router() -> FfiEventRouter:
    """Return the router of the SDK's events in this process. MissingError where the SDK is another inside."""
    rtc()
    from livekit.rtc._ffi_client import FfiClient

    try:
        return FfiEventRouter(FfiClient.instance)
    except (AttributeError, ImportError) as error:
        raise MissingError(
            f"LiveKit's SDK {importlib.metadata.version('livekit')} is another inside than rooms need: "
            f"{error_text(error)}",
            f"install one that fits: `pip install 'livekit{FITS}'`",
        ) from error


@functools.cache
def api() -> ModuleType:
    """Return the module `livekit.api`. MissingError if the extra is not installed."""
    try:
        from jwt.warnings import InsecureKeyLengthWarning
        from livekit import api  # 0.3 s
    except ImportError as error:
        raise MissingError(
            "livekit-api, which signs tokens and asks the server, is not installed",
            "install it: `pip install 'voice-workbench[room]'`; a ready token (LIVEKIT_TOKEN) needs none of it",
        ) from error
    # a server for development has the secret `secret`; how long it is, is the server's matter
    warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)
    return api


def error_text(error: BaseException | str, limit: int = 300) -> str:
    """Return what an error says, in one plain line and without tokens."""
    if not isinstance(error, str):
        error = str(getattr(error, "message", "") or error) or type(error).__name__
    return plain(TOKEN.sub("…", error), limit=limit, one_line=True)


def _silence_log() -> None:
    """Keep the SDK's log off the screen: it repeats tokens, and what matters comes as errors and events."""
    log = logging.getLogger("livekit")
    log.addHandler(logging.NullHandler())
    log.propagate = False
