"""Which transport a session gets: by its settings, by a plugin, or by the caller."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from workbench import hookimpl
from workbench.config import load_settings
from workbench.model.errors import UsageError
from workbench.plugin.manager import manager, transports
from workbench.plugin.values import TransportProvider
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import ArraySource, Score
from workbench.trace.trace import Trace
from workbench.transports.base import Transport, TransportFactory, TransportOptions, make_transport
from workbench.transports.file.transport import WavSink, WavSource
from workbench.transports.null import NullSource
from workbench.transports.paced import PacedSink


class Telephone(Transport):
    """A transport of a plugin or a caller."""

    dtmf = True

    def __init__(self, options: TransportOptions) -> None:
        if options.source:
            self.source = ArraySource(Score().silence(1), name="a caller")
        if options.sink:
            self.sink = PacedSink(options.trace, name="their earpiece")


class OnlyEar(Transport):
    """A transport of a caller without a source."""

    def __init__(self, options: TransportOptions) -> None:
        self.sink = PacedSink(options.trace, name="an ear")


def entered(own: TransportFactory | None = None, **audio: str) -> Transport:
    """Enter and leave the transport of these settings."""

    async def main() -> Transport:
        trace = Trace(lambda: asyncio.get_running_loop().time() * 1000)
        settings = load_settings({f"audio.{key}": value for key, value in audio.items()}, environ={})
        async with make_transport(TransportOptions(settings, trace), own) as transport:
            return transport

    return run_virtual(main())


@pytest.fixture
def telephone() -> Any:
    class Plugin:
        @hookimpl
        def workbench_transports(self) -> list[TransportProvider]:
            return [TransportProvider("telephone", "for this test", Telephone)]

    name = manager().register(Plugin(), "telephone")
    yield
    manager().unregister(name)


@pytest.fixture
def wav(tmp_path: Path) -> str:
    return str(Score().silence(0.2).write_wav(tmp_path / "in.wav"))


def test_ours_come_by_the_hook_like_those_of_plugins(telephone: None) -> None:
    assert {"local", "file", "browser", "room", "none", "telephone"} <= set(transports())


def test_source_and_sink_of_different_transports_are_combined(wav: str, tmp_path: Path) -> None:
    transport = entered(source=wav, sink="none")
    assert isinstance(transport.source, WavSource)
    assert isinstance(transport.sink, PacedSink)
    transport = entered(source="none", sink=str(tmp_path / "out.wav"))
    assert isinstance(transport.source, NullSource)
    assert isinstance(transport.sink, WavSink)


def test_a_plugins_transport_is_chosen_by_its_name_for_one_side_or_both(telephone: None) -> None:
    both = entered(source="telephone", sink="telephone")
    assert isinstance(both, Telephone)
    half = entered(source="telephone", sink="none")
    assert half.source is not None
    assert half.sink is not None
    assert (half.source.name, half.sink.name, half.dtmf, half.video) == ("a caller", "none", True, False)


def test_a_callers_transport_takes_the_place_of_the_settings() -> None:
    assert isinstance(entered(Telephone, source="mic", sink="speaker"), Telephone)


def test_a_side_that_a_callers_transport_lacks_comes_from_the_settings() -> None:
    transport = entered(OnlyEar, source="none", sink="speaker")
    assert isinstance(transport.source, NullSource)
    assert transport.sink is not None
    assert transport.sink.name == "an ear"


def test_a_word_that_names_no_transport_is_a_path() -> None:
    with pytest.raises(UsageError, match=r"speaker: No such file"):
        entered(source="speaker", sink="none")


def test_a_file_is_not_written_over_while_it_is_read(wav: str) -> None:
    with pytest.raises(UsageError, match="would overwrite the source"):
        entered(source=wav, sink=wav)


@pytest.mark.parametrize(("source", "sink"), [("room", "none"), ("none", "room")])
def test_a_room_is_source_and_sink_at_once(source: str, sink: str) -> None:
    with pytest.raises(UsageError, match="a room is source and sink at once"):
        entered(source=source, sink=sink)
