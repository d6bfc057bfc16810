"""A device in use: opened, served by a thread of its own, opened again when it is lost, closed when it is left."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from workbench.model.errors import MissingError, WorkbenchError
from workbench.model.events import DeviceLost, DeviceOpened, Notice, TrackName
from workbench.model.text import plain
from workbench.trace.trace import Trace
from workbench.transports.local.devices import (
    INSTEAD,
    LATENCY_S,
    WHAT,
    Device,
    DeviceKind,
    find_device,
    portaudio,
    usable_format,
)
from workbench.transports.local.stderr import without_portaudio_lines

REOPEN_AFTER_S = (0.2, 1.5, 3.0)
"""Waits before the tries to open a lost device again, s."""
WATCH_S = 1.0
"""How often a device from which nothing comes is looked at, s."""
STALLED_S = 2.0
"""A device that gave or took nothing for so long is reported as lost, s, …"""
GONE_S = 7.0
"""… and for so long, ends the session."""
LEAVE_S = 0.1
"""How long leaving waits for the thread, s; it needs 10–20 ms unless the device hangs."""

_opening = threading.Lock()
"""PortAudio looks at, opens and starts one stream at a time."""
_hanging: list[threading.Thread] = []
"""Those that were left in a device that did not answer."""


@functools.cache
def _exit_in_spite_of_devices() -> None:
    """End the process even while a device hangs: PortAudio would wait for it for ever.

    Called after PortAudio was loaded, so that it comes before PortAudio's own end and after that of everything later.
    """

    def leave() -> None:
        if any(thread.is_alive() for thread in _hanging):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(MissingError.exit_code)

    atexit.register(leave)


class DeviceStream:
    """One side of one device. Only its thread touches the stream while it runs: PortAudio allows no more."""

    def __init__(self, kind: DeviceKind, choice: str | int | None, trace: Trace) -> None:
        self.kind: DeviceKind = kind
        self.name = str(choice) if choice is not None else f"default {WHAT[kind]}"
        self.rate = 0
        self.channels = 1
        self.beyond_s = 0.0
        """Time between PortAudio's buffer and the air, s, as far as it is known."""
        self.stopping = threading.Event()
        self._track: TrackName = "mic" if kind == "input" else "agent"
        self._choice = choice
        self._trace = trace
        self._stream: Any = None
        self._closing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._moved: float | None = None
        self._stalled = False
        self._failure: WorkbenchError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._notified = False

    @property
    def block(self) -> int:
        """Samples in 10 ms at the device's rate."""
        return round(self.rate / 100)

    async def open(self) -> None:
        """Open the device, in a thread: takes up to a second. MissingError and UsageError as of `find_device`. A
        cancellation leaves no device open: the thread closes it again."""
        self._loop = loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._open_unless_left)
        except asyncio.CancelledError:
            self.stopping.set()
            loop.run_in_executor(None, self._close_stream)
            raise

    def start(self, serve: Callable[[Any], None]) -> None:
        """Have a thread call `serve(stream)`, which reads or writes until `stopping` is set and reports `moved`."""
        self.moved()
        self._thread = threading.Thread(target=self._run, args=(serve,), name=WHAT[self.kind], daemon=True)
        self._thread.start()

    def moved(self) -> None:
        """Note that the device gave or took something just now."""
        self._moved = time.monotonic()

    def notify(self) -> None:
        """Wake whoever waits on the loop, from the thread."""
        if not self._notified and self._loop is not None:
            self._notified = True
            with contextlib.suppress(RuntimeError):  # the loop was closed under us
                self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        """Wait for a `notify`, a second at most. MissingError for a device that is lost, or hangs for too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S):
                await self._event.wait()
        self._notified = False
        self._event.clear()
        if self._failure is not None:
            raise self._failure
        self._watch()

    async def close(self) -> None:
        """Stop and close the device. One that hangs is left to its thread, which closes it as soon as it answers."""
        self.stopping.set()
        if self._thread is None:
            self._close_stream()
            return
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, LEAVE_S)
        if self._thread.is_alive():
            self._notice("warning", "does not answer, it could not be closed")
            _hanging.append(self._thread)

    def _open(self) -> None:
        with _opening, without_portaudio_lines():
            device = find_device(self.kind, self._choice)
            _exit_in_spite_of_devices()
            self.rate, self.channels = usable_format(device)
            self.name = device.name
            self._stream = self._new_stream(device)
        # What ALSA reports is the buffer itself, and how full that is we ask it; others report what comes after it.
        self.beyond_s = 0.0 if device.api == "ALSA" else float(self._stream.latency)
        latency_ms = round(self._stream.latency * 1000, 1)
        self._trace.emit(DeviceOpened(self._track, self.name, self.rate, latency_ms))

    def _open_unless_left(self) -> None:
        self._open()
        if self.stopping.is_set():
            self._close_stream()

    def _watch(self) -> None:
        """Report when the thread begins and ceases to hang in a device that does not answer."""
        since = time.monotonic() - self._moved if self._moved is not None else 0.0
        if since < STALLED_S:
            if self._stalled:
                self._notice("info", "answers again")
            self._stalled = False
        elif since >= GONE_S:
            raise self._gone("it does not answer")
        elif not self._stalled:
            self._stalled = True
            self._lost(f"it has not answered for {STALLED_S:.0f} s")

    def _run(self, serve: Callable[[Any], None]) -> None:
        sound = portaudio()
        try:
            while not self.stopping.is_set():
                try:
                    with _opening:
                        self._stream.start()
                    serve(self._stream)
                except sound.PortAudioError as error:
                    reason = plain(str(error), limit=200, one_line=True)
                    self._lost(reason)
                    self._close_stream()
                    if not self._reopened():
                        self._failure = self._gone(reason)
                        self.notify()
                        return
        finally:
            self._close_stream()

    def _reopened(self) -> bool:
        self._moved = None
        for wait in REOPEN_AFTER_S:
            if self.stopping.wait(wait):
                return True
            with contextlib.suppress(WorkbenchError):
                self._open()
                self.moved()
                return True
        return False

    def _new_stream(self, device: Device) -> Any:
        sound = portaudio()
        make = sound.RawInputStream if self.kind == "input" else sound.RawOutputStream
        try:
            return make(
                device=device.index,
                latency=LATENCY_S,
                samplerate=self.rate,
                channels=self.channels,
                dtype="int16",
                blocksize=self.block,
            )
        except sound.PortAudioError as error:
            reason = plain(str(error), limit=200, one_line=True)
            raise MissingError(
                f"the {WHAT[self.kind]} {device.name} can't be opened: {reason}",
                f"close what else is using it, or choose another one; or {INSTEAD[self.kind]}",
            ) from error

    def _close_stream(self) -> None:
        with self._closing:
            stream, self._stream = self._stream, None
        if stream is not None:  # no errors: what is gone can't be closed
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    def _lost(self, reason: str) -> None:
        if not self.stopping.is_set():
            hint = "plug it in again: it is opened again within 5 s"
            self._trace.emit(DeviceLost(self._track, self.name, reason, hint))

    def _gone(self, reason: str) -> MissingError:
        hint = f"plug it in again and start anew, see `workbench doctor`; or {INSTEAD[self.kind]}"
        return MissingError(f"the {WHAT[self.kind]} {self.name} is gone: {reason}", hint)

    def _notice(self, level: Literal["info", "warning"], text: str) -> None:
        self._trace.emit(Notice(level, self.kind, f"{self.name} {text}"))
