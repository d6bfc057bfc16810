"""Routing of the events of LiveKit's native part: each room gets its own, and sound goes straight to its stream.

The SDK hands each event of each room to a queue of every other: with n rooms, n × 50 blocks of sound a second wake n
tasks, and twenty rooms fill two cores. `FfiEventRouter` takes the place of that queue. It reaches into the SDK's
private parts: docs/decisions/0040-livekit-event-router.md says what that buys and when it goes.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from workbench.model.audio import Samples
from workbench.model.errors import StageError

TakeSamples = Callable[[Samples], None]
"""Called with each block of sound of a stream, on the loop's thread."""
CROWDED, GATHER_S = 4, 0.002
"""From so many streams on, what comes within this time wakes the loop once, s."""
POLL_S = 0.002
"""Between two looks whether a block was taken that should have been long ago, s."""


class LoopInbox:
    """What native threads deliver to one loop: many deliveries wake it once.

    WebRTC delivers the sound of all rooms at the same moment. `crowded` says whether to wait for the rest of it, else
    loop and thread take turns at the interpreter for each block.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, crowded: Callable[[], bool]) -> None:
        self._loop = loop
        self._crowded = crowded
        self._waiting: deque[Callable[[], None]] = deque()
        self._woken = False

    def put(self, delivery: Callable[[], None]) -> None:
        """Deliver in order, from any thread."""
        self._waiting.append(delivery)
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._crowded():
            self._loop.call_later(GATHER_S, self._open)
        else:
            self._open()

    def _open(self) -> None:
        self._woken = False
        while self._waiting:
            self._waiting.popleft()()


class FfiEventRouter:
    """Stands where the SDK's own queue of events was. AttributeError or ImportError if the SDK is another inside."""

    def __init__(self, client: Any) -> None:
        from livekit.rtc._proto import audio_frame_pb2, ffi_pb2

        request = ffi_pb2.FfiRequest()
        _ = request.capture_audio_frame.request_async_id, request.new_audio_stream.queue_size_frames
        _ = audio_frame_pb2.AudioStreamType.AUDIO_STREAM_NATIVE
        _ = client._queue, client._ffi_lib.livekit_ffi_drop_handle
        self.client = client
        self._rest = client.queue
        self._lock = self._rest._lock
        self._rooms: dict[int, tuple[Any, LoopInbox]] = {}
        self._streams: dict[int, Callable[[Any], None]] = {}
        self._handed: dict[int, Samples | str] = {}
        """Blocks on their way into the SDK, which reads them meanwhile, by number; or what went wrong with one."""
        self._numbers = itertools.count(1 << 48)  # the SDK counts from 1
        self._threads = threading.local()
        self._inboxes: dict[asyncio.AbstractEventLoop, LoopInbox] = {}
        self.subscribe = self._rest.subscribe
        client._queue = self

    # --- what the SDK asks of its queue ------------------------------------------------------------------------------

    def put(self, event: Any) -> None:
        """Route an event; called by native threads."""
        if not hasattr(self._threads, "stays"):
            # else Python makes a state for the thread at each call and drops it after: two system calls for memory,
            # and a flush of every core's TLB
            ctypes.pythonapi.PyGILState_Ensure()
            self._threads.stays = True
        match event.WhichOneof("message"):
            case "audio_stream_event":
                take = self._streams.get(event.audio_stream_event.stream_handle)
                if take is not None:
                    take(event.audio_stream_event)
                    return
            case "capture_audio_frame":
                done = event.capture_audio_frame
                if done.async_id in self._handed:
                    if done.error:
                        self._handed[done.async_id] = done.error
                    else:
                        del self._handed[done.async_id]
                    return
            case "room_event":
                with self._lock:
                    if route := self._rooms.get(event.room_event.room_handle):
                        self._deliver(route, event)
                        return
                    self._rest.put(event)
                    return
            case (
                "publish_track" | "unpublish_track" | "rpc_method_invocation"
            ):  # they do not say whose they are
                with self._lock:
                    for route in self._rooms.values():
                        self._deliver(route, event)
        self._rest.put(event)

    def unsubscribe(self, queue: Any) -> None:
        """Send the queue nothing more."""
        with self._lock:
            for handle in [handle for handle, (subscriber, _) in self._rooms.items() if subscriber is queue]:
                del self._rooms[handle]
            self._rest.unsubscribe(queue)

    def _deliver(self, route: tuple[Any, LoopInbox], event: Any) -> None:
        queue, inbox = route
        inbox.put(lambda: queue.put_nowait(event))

    # --- what rooms ask of it ----------------------------------------------------------------------------------------

    def settle(self, room: Any) -> None:
        """Send a room that has connected its own events, and nobody else's."""
        with self._lock:
            self._rooms[room._ffi_handle.handle] = room._ffi_queue, self._inbox()
            self._rest.unsubscribe(room._ffi_queue)

    @contextmanager
    def listening(self, track: Any, rate: int, block_ms: int, take: TakeSamples) -> Iterator[asyncio.Event]:
        """Meanwhile call `take` with the track's sound at `rate`, `block_ms` at a time; the event is set at its end."""
        from livekit.rtc._proto import audio_frame_pb2, ffi_pb2

        inbox, ended = self._inbox(), asyncio.Event()
        drop = self.client._ffi_lib.livekit_ffi_drop_handle

        def deliver(event: Any) -> None:
            if event.HasField("eos"):
                inbox.put(ended.set)
            else:
                inbox.put(lambda: take(_copy_samples(event.frame_received.frame, drop)))

        request = ffi_pb2.FfiRequest()
        request.new_audio_stream.track_handle = track._ffi_handle.handle
        request.new_audio_stream.sample_rate = rate
        request.new_audio_stream.num_channels = 1
        request.new_audio_stream.frame_size_ms = block_ms
        request.new_audio_stream.queue_size_frames = 0
        request.new_audio_stream.type = audio_frame_pb2.AudioStreamType.AUDIO_STREAM_NATIVE
        handle: int = self.client.request(request).new_audio_stream.stream.handle.id
        self._streams[handle] = deliver
        try:
            yield ended
        finally:
            drop(handle)
            self._streams.pop(handle, None)

    def hand(self, source: Any, samples: Samples, rate: int) -> int:
        """Give an `rtc.AudioSource` sound to send; return the number for `taken`."""
        from livekit.rtc._proto import ffi_pb2

        request, number = ffi_pb2.FfiRequest(), next(self._numbers)
        capture = request.capture_audio_frame
        capture.source_handle = source._ffi_handle.handle
        capture.request_async_id = number
        capture.buffer.data_ptr = samples.ctypes.data
        capture.buffer.sample_rate = rate
        capture.buffer.num_channels = 1
        capture.buffer.samples_per_channel = len(samples)
        self._handed[number] = samples
        self.client.request(request)
        return number

    async def taken(self, number: int) -> None:
        """Wait until a block was taken, mostly for nothing. StageError if it was not."""
        while (block := self._handed.get(number)) is not None:
            if isinstance(block, str):
                del self._handed[number]
                raise StageError(f"LiveKit took no sound: {block}", "is the room still there?", stage="sink")
            await asyncio.sleep(POLL_S)

    def _inbox(self) -> LoopInbox:
        loop = asyncio.get_running_loop()
        for other in [other for other in self._inboxes if other.is_closed()]:
            del self._inboxes[other]
        return self._inboxes.setdefault(loop, LoopInbox(loop, lambda: len(self._streams) >= CROWDED))


def _copy_samples(frame: Any, drop: Callable[[Any], object]) -> Samples:
    """Return the samples of a native frame, which is dropped."""
    count = frame.info.num_channels * frame.info.samples_per_channel
    samples = np.frombuffer(ctypes.string_at(frame.info.data_ptr, 2 * count), dtype=np.int16)
    drop(frame.handle.id)
    return samples
