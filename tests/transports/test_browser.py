"""A page's microphone and speaker, with the test as the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from workbench.config import load_settings
from workbench.config.validation import change
from workbench.model.audio import OUTPUT_RATE, Frame, Samples, silence
from workbench.model.events import ClockMapped, DeviceLost, DeviceOpened, DuplexChanged, Glitch, Notice
from workbench.simulation.clock import run_virtual
from workbench.trace.trace import Trace
from workbench.transports.browser.audio import BrowserMicrophone, BrowserSpeaker
from workbench.transports.browser.page import AWAY, GONE, CapturedChunk, LeaveReason, PageLink, PlaybackChunk
from workbench.transports.browser.transport import EchoDuplex

RATE = 48_000
CHUNK = RATE // 50


def tone(position: int, count: int = CHUNK) -> Samples:
    """A stretch of 1 kHz, so that resampled sound can be told from silence and each place from another."""
    return (8000 * np.sin(2 * np.pi * 1000 * (position + np.arange(count)) / RATE)).astype(np.int16)


def a_trace() -> Trace:
    loop = asyncio.get_running_loop()
    start = loop.time()
    return Trace(lambda: (loop.time() - start) * 1000)


def chunk(n: int, ended_at: float, capture: int = 1) -> CapturedChunk:
    return CapturedChunk(capture, tone(n * CHUNK), RATE, n * CHUNK, ended_at)


async def some(frames: AsyncIterator[Frame], count: int) -> list[Frame]:
    return [await anext(frames) for _ in range(count)]


def talking(link: PageLink, page: str = "page", n: int = 1) -> None:
    link.claim(page)
    link.set_capture(page, "a microphone", True, n)


def kinds(trace: Trace, kind: type) -> int:
    return len([entry for entry in trace.since(0) if isinstance(entry.event, kind)])


def test_nobody_speaks_while_no_page_captures() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with BrowserMicrophone(PageLink(), a_trace()) as source:
            frames = source.frames()
            heard = await some(frames, 5)
            assert loop.time() == pytest.approx(0.1)
            assert [frame.position for frame in heard] == [0, 320, 640, 960, 1280]
            assert not any(frame.samples.any() for frame in heard)
            assert source.time_of(1600) == pytest.approx(0.1)

    run_virtual(main())


def test_what_comes_late_is_heard_and_dated_by_when_it_was_said() -> None:
    """As beside a busy kernel: two seconds of sound arrive at once, three seconds late."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        trace, link = a_trace(), PageLink()
        async with BrowserMicrophone(link, trace) as source:
            frames = source.frames()
            await some(frames, 5)
            talking(link)
            begin = loop.time()
            asking = asyncio.ensure_future(some(frames, 98))
            await asyncio.sleep(5)
            assert not asking.done()  # no silence was put in the place of what is on its way
            for n in range(100):
                link.take_audio("page", chunk(n, begin + (n + 1) * 0.02))
            heard = await asking
        assert loop.time() - begin == pytest.approx(5)
        positions = [frame.position for frame in heard]
        assert positions == list(range(1600, 1600 + 98 * 320, 320))
        assert all(frame.samples.any() for frame in heard[1:])
        assert source.time_of(1600 + 16_000) == pytest.approx(begin + 1, abs=0.002)
        ((part, until),) = source.transit(1600 + 16_000)
        assert part == "network_in"
        assert until == pytest.approx(begin + 5)
        opened = [entry.event for entry in trace.since(0) if isinstance(entry.event, DeviceOpened)]
        assert (opened[0].name, opened[0].rate) == ("browser: a microphone", RATE)
        assert not [entry for entry in trace.since(0) if isinstance(entry.event, Glitch)]

    run_virtual(main())


def test_a_lost_chunk_is_a_gap_and_one_that_comes_twice_is_dropped() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        trace, link = a_trace(), PageLink()
        async with BrowserMicrophone(link, trace) as source:
            talking(link)
            for n in (0, 1, 2, 2, 1, 4, 5, 6, 7):
                link.take_audio("page", chunk(n, loop.time() + n * 0.02))
            heard = await some(source.frames(), 6)
        lost = [entry.event for entry in trace.since(0) if isinstance(entry.event, Glitch)]
        assert [glitch.lost_samples for glitch in lost] == [320]
        steps = np.diff([frame.position for frame in heard])
        assert sorted(steps) == [320] * 4 + [640]

    run_virtual(main())


@pytest.mark.parametrize("why", [GONE, AWAY, None])
def test_why_the_microphone_is_lost_is_told_unless_that_was_wanted(why: LeaveReason | None) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        trace, link = a_trace(), PageLink()
        async with BrowserMicrophone(link, trace) as source:
            talking(link)
            link.take_audio("page", chunk(0, loop.time()))
            loop.call_later(1, link.leave, "page", why)
            await some(source.frames(), 5)
        told = [e.event for e in trace.since(0) if isinstance(e.event, DeviceLost)]
        assert [(lost.reason, lost.hint) for lost in told] == ([why] if why else [])

    run_virtual(main())


def test_sound_in_no_order_is_bounded_and_told() -> None:
    """A page may say that its sound is anywhere, or send hours of it at once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        trace, link = a_trace(), PageLink()
        async with BrowserMicrophone(link, trace) as source:
            frames = source.frames()
            talking(link)
            for n in (3, 4, 5):
                link.take_audio("page", chunk(n, loop.time()))
            await some(frames, 2)
            for n in (2**40, 10, 7, 2**40, 3, 11, 9, 0, 12, 13, 2**40, 61 * 50):
                link.take_audio("page", chunk(n, loop.time()))
            heard = await some(frames, 3)
            for n in range(14, 40_000):
                link.take_audio("page", chunk(n, loop.time()))
            assert len(source._chunks) == 30_000
            half_a_second = np.zeros(RATE // 2, np.int16)
            for n in range(3_000):
                link.take_audio("page", CapturedChunk(1, half_a_second, RATE, n * RATE // 2, loop.time()))
            assert len(source._chunks) == 1_200
            for n in range(40_000):
                link.take_audio("page", CapturedChunk(1, half_a_second[:1], RATE, n, loop.time()))
            assert len(source._chunks) == 30_000
        assert heard[-1].position < 16_000
        assert np.diff([frame.position for frame in heard]).min() > 0
        told = [entry.event for entry in trace.since(0) if isinstance(entry.event, Notice)]
        assert [notice.owner for notice in told] == ["page"]
        assert kinds(trace, Glitch)

    run_virtual(main())


def test_a_flood_of_captures_rates_and_gaps_leaves_little_in_the_trace() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        trace, link = a_trace(), PageLink()
        async with BrowserMicrophone(link, trace) as source:
            frames = source.frames()
            talking(link)
            for n in range(1_000):
                link.take_audio("page", chunk(n, loop.time(), capture=n + 1))
                link.take_audio("page", CapturedChunk(1, tone(0), 8_000 + n, n * CHUNK, loop.time()))
                link.take_audio("page", chunk(2 * n, loop.time()))  # every second one is missing
            heard = await some(frames, 900)
            await asyncio.sleep(2)
            heard += await some(frames, 90)
        assert kinds(trace, DeviceOpened) == 1
        lost = [entry.event.lost_samples for entry in trace.since(0) if isinstance(entry.event, Glitch)]
        assert len(lost) == 2
        steps = np.diff([frame.position for frame in heard]) - 320
        assert lost[0] == 320
        assert sum(lost) >= 890 * 320
        assert sum(steps) >= 980 * 320  # each is where it was

    run_virtual(main())


def test_another_page_is_heard_from_its_first_word_on() -> None:
    """A reload, or a take-over: it counts its captures and its samples from the beginning."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        trace, link = a_trace(), PageLink()
        async with BrowserMicrophone(link, trace) as source:
            frames = source.frames()
            talking(link)
            for n in range(100):
                link.take_audio("page", chunk(n, loop.time() + n * 0.02))
            before = await some(frames, 98)
            talking(link, "other")
            link.take_audio("page", chunk(100, loop.time()))  # it was on its way
            for n in range(100):
                link.take_audio("other", chunk(n, loop.time() + n * 0.02))
            after = await some(frames, 98)
            talking(link, "other")  # the same page, reloaded
            for n in range(100):
                link.take_audio("other", chunk(n, loop.time() + n * 0.02))
            again = await some(frames, 98)
        assert all(frame.samples.any() for frame in before[1:] + after[1:] + again[1:])
        assert np.all(np.diff([frame.position for frame in before + after + again]) == 320)
        assert (kinds(trace, DeviceOpened), kinds(trace, Glitch)) == (3, 0)

    run_virtual(main())


def test_a_page_that_hears_us_makes_it_half_duplex_until_one_does_not() -> None:
    async def main() -> None:
        trace, settings = a_trace(), load_settings({})
        duplex = EchoDuplex(settings, trace)
        modes = list[str]()
        for cancelled in (True, False, None, True, True, None, True):
            duplex.begin_capture(cancelled)
            modes.append(settings.bargein.mode)
        assert modes == ["full", "half", "half", "full", "full", "half", "full"]
        changes = [entry.event for entry in trace.since(0)]
        assert [change.mode for change in changes if isinstance(change, DuplexChanged)] == [
            "half",
            "full",
        ] * 2

    run_virtual(main())


def test_how_it_was_chosen_to_be_stays() -> None:
    async def main() -> None:
        trace = a_trace()
        for chosen in ("full", "half"):
            settings = load_settings({"bargein.mode": chosen})
            EchoDuplex(settings, trace).begin_capture(False)
            assert settings.bargein.mode == chosen
        changed = load_settings({})
        duplex = EchoDuplex(changed, trace)
        duplex.begin_capture(False)
        change(changed, "bargein.mode", "full")
        duplex.begin_capture(False)
        assert changed.bargein.mode == "full"
        kinds = [type(entry.event) for entry in trace.since(0)]
        assert kinds == [Notice, DuplexChanged, Notice]  # where it hears itself it is told

    run_virtual(main())


def test_a_page_that_is_gone_is_told_and_another_may_come() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        trace, link, cancelled = a_trace(), PageLink(), list[bool | None]()
        async with BrowserMicrophone(link, trace, cancelled.append) as source:
            frames = source.frames()
            talking(link)
            for n in range(3):
                link.take_audio("page", chunk(n, loop.time()))
            before = await some(frames, 2)
            link.leave("page")
            quiet = await some(frames, 3)
            assert not any(frame.samples.any() for frame in quiet)
            assert [entry.event for entry in trace.since(0) if isinstance(entry.event, DeviceLost)]
            link.claim("other")
            link.set_capture("other", "another one", False, 2)
            link.take_audio("page", chunk(99, loop.time()))  # it has nothing to say any more
            for n in range(8):
                link.take_audio("other", chunk(n, loop.time() + n * 0.02, capture=2))
            after = [frame for frame in await some(frames, 4) if frame.samples.any()]
        assert before[0].position < quiet[0].position < after[0].position
        assert cancelled == [True, False]

    run_virtual(main())


class ChirpTrack:
    """Speaks as many samples as it is told."""

    def __init__(self, left: int = 0) -> None:
        self.at = 0
        self.left = left

    def pull(self, count: int) -> Samples:
        out = silence(count)
        out[: self.left] = 5000
        self.left = max(0, self.left - count)
        self.at += count
        return out


def test_sound_is_sent_with_the_time_at_which_it_is_due_and_silence_is_not_sent() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        trace, link = a_trace(), PageLink()
        sent: list[tuple[float, PlaybackChunk]] = []
        link.post = lambda sound: sent.append((loop.time(), sound))
        link.claim("page")
        async with BrowserSpeaker(link, trace) as sink:
            mouth = ChirpTrack()
            playing = asyncio.ensure_future(sink.play(mouth.pull))
            await asyncio.sleep(0.1)
            assert not sent  # it waits for a page that plays
            link.set_playing("page", True)
            link.set_playback_delay("page", 0.01, 0.03, 0.1)
            await asyncio.sleep(1.234)
            sink.wake()
            mouth.left = 6_000
            await asyncio.sleep(1)
            first = sent[0][1]
            assert first.first
            assert not any(sound.first for _, sound in sent[1:])
            assert all(sound.due - at == pytest.approx(0.1, abs=0.001) for at, sound in sent)
            assert sink.time_of(first.position) == first.due
            assert all(sound.pulled == sink.due(sound.position) for _, sound in sent)
            way = dict(sink.transit(first.position))
            assert way["network_out"] == pytest.approx(sink.due(first.position) + 0.01)
            assert way["playback_buffer"] == pytest.approx(first.due - 0.03)
            link.set_playback_delay("page", 0.01, 0.03, 0.2)  # a worse network: from the next words on
            link.take_played("page", first.position + 2400, first.due + 0.1 + 0.02)
            await asyncio.sleep(0)
            assert sink.time_of(first.position + 2400) == pytest.approx(first.due + 0.12)
            await asyncio.sleep(1)
            sink.wake()
            mouth.left = 1_000
            await asyncio.sleep(1)
            again = next((at, sound) for at, sound in sent[1:] if sound.first)
            assert again[1].due - again[0] == pytest.approx(0.2, abs=0.001)
            playing.cancel()
        total = sum(len(sound.samples) for _, sound in sent)
        assert 7000 <= total <= 7000 + 2 * (OUTPUT_RATE // 5 + 960)
        mapped = [entry.event for entry in trace.since(0) if isinstance(entry.event, ClockMapped)]
        assert len([event for event in mapped if event.track == "agent"]) == 4

    run_virtual(main())


def test_a_session_that_no_page_comes_to_speaks_to_nobody() -> None:
    async def main() -> None:
        async with BrowserSpeaker(PageLink(), a_trace()) as sink:
            mouth = ChirpTrack(24_000)
            playing = asyncio.ensure_future(sink.play(mouth.pull))
            await asyncio.sleep(4.9)
            assert mouth.at == 0
            await asyncio.sleep(1.2)
            assert mouth.at >= 24_000
            playing.cancel()

    run_virtual(main())


def test_only_the_owner_is_listened_to_and_delays_are_bounded() -> None:
    link = PageLink()
    link.claim("one")
    link.set_playing("two", True)
    link.set_capture("two", "a microphone")
    link.set_playback_delay("two", 1, 1, 1)
    assert (link.playing, link.capture) == (False, None)
    link.set_playback_delay("one", -5, -5, 99)
    assert (link.playback.network, link.playback.output, link.playback.total) == (0, 0, 0.4)
    assert link.present
    link.claim("two")
    link.leave("one")
    assert link.owner == "two"
