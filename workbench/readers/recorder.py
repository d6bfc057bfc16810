"""Writes a session to its folder while it runs. The recording suffers before the conversation does.

Every 50 ms one job takes what is new, by index from the trace and by position from the tracks, and writes it on a
thread of the executor. Nothing is queued in between: what the disk is too slow for waits in the trace and on the
tracks, which are bounded, and what falls off them is silence in the recording, at its right place. A process that is
killed loses what came since the last job: whatever was handed to the system by then is in the files.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

from workbench.model.events import Notice, TrackName
from workbench.trace.archive import EventFile
from workbench.trace.cassette import CassetteFile, CassetteLog
from workbench.trace.codec import encode
from workbench.trace.files import hold, open_new
from workbench.trace.store import SessionFolder
from workbench.trace.trace import Trace
from workbench.trace.track import Track
from workbench.trace.wav import HEADER_BYTES, wav_header

EVERY_S = 0.05
"""Time between two jobs. With the time of a job itself it is what a killed process loses."""
SLOW_S = 1.0
"""A job that takes longer than this is worth a notice."""
FASTER = "record to a faster disk, or do not record"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Recorder:
    """Records `trace` and its tracks into `folder` while `run` runs; from then on the folder is the trace's archive.

    The folder must be new: existing files are never written to.
    """

    def __init__(self, trace: Trace, folder: SessionFolder, log: CassetteLog | None = None) -> None:
        """`log` has what came from outside, for the cassette."""
        self._trace = trace
        self._folder = folder
        self._log = log
        self._cassette: CassetteFile | None = None
        self._events: _EventWriter | None = None
        self._sounds: dict[TrackName, _SoundWriter] = {}
        self._lock = threading.Lock()
        self._next = 0
        self._failure: OSError | None = None

    async def run(self) -> None:
        """Record until the trace is closed or the task is cancelled, and in either case write what is there to the end.

        Does not raise when the disk does: that ends the recording with a notice, not the session.
        """
        loop = asyncio.get_running_loop()
        self._trace.archive = EventFile(self._folder.events)
        try:
            closed = False
            while not closed and self._failure is None:
                closed = self._trace.closed
                began = loop.time()
                lost = await asyncio.shield(loop.run_in_executor(None, self._write))
                self._report(loop.time() - began, lost)
                if not closed and self._failure is None:
                    await asyncio.sleep(EVERY_S)
        finally:
            failed = self._failure is not None
            # shielded, so that a second cancellation does not keep the end from the disk
            await asyncio.shield(loop.run_in_executor(None, self._finish))
            if self._failure is not None and not failed:
                self._trace.emit(_failed(self._failure, self._folder.path))

    def _report(self, took_s: float, lost: dict[TrackName, int]) -> None:
        """Put what went wrong in a job into the trace."""
        if self._failure is not None:
            self._trace.emit(_failed(self._failure, self._folder.path))
            return
        reasons = [f"writing the recording took {took_s:.1f} s"] if took_s > SLOW_S else []
        for track, samples in lost.items():
            lost_s = samples / self._trace.tracks[track].rate
            reasons.append(f"{lost_s:.1f} s of {track} are silence in the recording")
        for reason in reasons:
            self._trace.emit(Notice("warning", "recorder", f"the disk lags: {reason}", FASTER))

    def _write(self) -> dict[TrackName, int]:
        """Write what is new, as one job; return the samples that were lost by track.

        Sound and pictures come first, so that no event in the file speaks of what is not there yet.
        """
        lost: dict[TrackName, int] = {}
        with self._lock:
            try:
                for name, track in list(self._trace.tracks.items()):
                    if name not in self._sounds:
                        self._sounds[name] = _SoundWriter(self._folder.sound(name), track)
                    if missed := self._sounds[name].write():
                        lost[name] = missed
                self._write_pictures()
                self._write_cassette()
                self._write_events()
            except OSError as error:
                self._failure = error
        return lost

    def _write_pictures(self) -> None:
        while self._trace.pictures:
            name, data = self._trace.pictures.popleft()
            path = self._folder.path / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(open_new(path), "wb") as file:
                file.write(data)

    def _write_cassette(self) -> None:
        if self._log is None:
            return
        if self._cassette is None:
            self._cassette = CassetteFile(self._folder.path)
        self._cassette.write(self._log)

    def _write_events(self) -> None:
        if self._events is None:
            self._events = _EventWriter(self._folder.events)
        while entries := self._trace.since(self._next):
            self._events.write("".join(f"{encode(entry)}\n" for entry in entries).encode("ascii"))
            self._next = entries[-1].i + 1

    def _finish(self) -> None:
        """Do the last job; waits for the one before it where that was left behind by a cancellation."""
        if self._failure is None:
            self._write()
        with self._lock:
            if self._log is not None:
                self._log.close()
            for writer in (self._events, self._cassette, *self._sounds.values()):
                if writer is not None:
                    writer.close()
            self._events, self._cassette, self._sounds = None, None, {}


def _failed(error: OSError, path: Path) -> Notice:
    hint = "the conversation goes on without a recording"
    hint = f"make room; {hint}" if error.errno in FULL else hint
    return Notice("error", "recorder", f"recording to {path} stopped: {error.strerror}", hint)


class _EventWriter:
    """Appends whole lines; meanwhile the file is held, so that nobody removes the folder."""

    def __init__(self, path: Path) -> None:
        self._file = open_new(path)
        hold(self._file)

    def write(self, lines: bytes) -> None:
        """Append, and raise OSError where not all of it could be."""
        while lines:
            lines = lines[os.write(self._file, lines) :]

    def close(self) -> None:
        os.close(self._file)


class _SoundWriter:
    """Copies a track to its file. Samples go to their position, so a gap is a hole in the file, which is silence."""

    def __init__(self, path: Path, track: Track) -> None:
        self._file = open_new(path)
        self._track = track
        self._position = 0
        self._length = 0
        """Samples by the file's header."""
        self._put(wav_header(track.rate, 0), 0)

    def write(self) -> int:
        """Write what is new; return how many samples had fallen off the track before."""
        start, stop = max(self._position, self._track.start), self._track.end
        lost = start - self._position
        if stop > start:
            self._put(self._track.read(start, stop).astype("<i2").tobytes(), HEADER_BYTES + 2 * start)
            self._position = stop
            if stop - self._length >= self._track.rate:
                self._put_length()
        return lost

    def close(self) -> None:
        """Close the file, with a header that is right."""
        try:
            self._put_length()
        except OSError:
            pass  # a full disk; readers trust the file's length
        os.close(self._file)

    def _put_length(self) -> None:
        self._put(wav_header(self._track.rate, self._position), 0)
        self._length = self._position

    def _put(self, data: bytes, offset: int) -> None:
        while data:
            written = os.pwrite(self._file, data, offset)
            data, offset = data[written:], offset + written
