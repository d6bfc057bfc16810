"""Sound files as a transport: one is played to the agent, the other one written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Samples
from workbench.model.errors import UsageError
from workbench.model.events import DeviceOpened, Notice
from workbench.trace.trace import Trace
from workbench.transports.base import Transport, TransportOptions
from workbench.transports.file.wavfile import WavFile, WavWriter
from workbench.transports.paced import PacedSink, PacedSource


class FileTransport(Transport):
    """`audio.source` and `audio.sink` are paths. Raises UsageError where they are the same file."""

    def __init__(self, options: TransportOptions) -> None:
        audio = options.settings.audio
        source, sink = Path(audio.source), Path(audio.sink)
        if options.source and options.sink and _same(source, sink):
            raise UsageError(f"{sink}: the sink would overwrite the source", "give the sink another file")
        if options.source:
            self.source = WavSource(source, options.trace)
        if options.sink:
            self.sink = WavSink(sink, options.trace)


def _same(source: Path, sink: Path) -> bool:
    try:
        return source.samefile(sink)
    except OSError:  # one of them is not there
        return False


class WavSource(PacedSource):
    """A sound file as a source: spoken from its start when its frames are asked for, and then over. Entering raises
    `UsageError` as `WavFile` does."""

    def __init__(self, path: Path, trace: Trace, *, realtime: bool = True) -> None:
        super().__init__(trace, path.name, realtime=realtime)
        self._path = path
        self._file: WavFile | None = None

    async def __aenter__(self) -> Self:
        self._file = WavFile(self._path)
        form = self._file.format
        if form.note:
            self._trace.emit(
                Notice("warning", "source", f"{self.name}: {form.note}", "what is in the file is played")
            )
        self._trace.emit(DeviceOpened("mic", self.name, form.rate, 0.0))
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def blocks(self) -> Iterator[Samples]:
        """Yield the file's sound."""
        assert self._file is not None, "enter it first"
        yield from self._file.blocks(INPUT_RATE)
        if self._file.broken:
            hint = "what comes before was played"
            self._trace.emit(Notice("warning", "source", f"{self.name}: {self._file.broken}", hint))


class WavSink(PacedSink):
    """A sink that writes what it plays to a wav file (mono, 16 bit, 24 kHz), at real time."""

    def __init__(self, path: Path, trace: Trace) -> None:
        super().__init__(trace, name=path.name)
        self._path = path
        self._writer: WavWriter | None = None

    async def __aenter__(self) -> Self:
        try:
            self._writer = WavWriter(self._path, OUTPUT_RATE)
        except OSError as error:
            raise UsageError(
                f"{self._path}: {error.strerror or error}",
                "give the path of a wav file in a folder that you may write to",
            ) from error
        await super().__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as failed:
                self._report(failed)

    def deliver(self, samples: Samples) -> None:
        """Write them; when that fails, say so once and go on without: the conversation is worth more."""
        if self._writer is None:
            return
        try:
            self._writer.write(samples)
        except OSError as failed:
            self._report(failed)
            broken, self._writer = self._writer, None
            with contextlib.suppress(OSError):
                broken.close()

    def _report(self, failed: OSError) -> None:
        hint = f"what was written until now is in {self._path}; make room and start again"
        self._trace.emit(Notice("error", "sink", f"{self.name}: {failed.strerror or failed}", hint))
