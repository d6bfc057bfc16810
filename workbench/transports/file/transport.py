"""Sound files as a transport: one is played to the agent, the other one written."""

from __future__ import annotations

from pathlib import Path

from workbench.model.errors import UsageError
from workbench.transports.base import Transport, TransportOptions
from workbench.transports.paced import WavSink, WavSource


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
