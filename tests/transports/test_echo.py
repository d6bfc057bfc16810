"""Echo cancellation, on simulated devices whose clocks are their own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE, Frame, Samples
from workbench.model.events import EchoState
from workbench.trace.trace import Trace
from workbench.transports.clockfit import TrackClock
from workbench.transports.echo import echo_share
from workbench.transports.local.echo_canceller import FRAME, EchoCanceller, module_delay
from workbench.transports.local.echo_meter import echo_lag

Wave = NDArray[np.float64]


def speech(seconds: float, seed: int, rate: int = OUTPUT_RATE) -> Wave:
    """Something as loud, as coloured and as broken up as speech, band-limited to 4 kHz."""
    rng = np.random.default_rng(seed)
    count = int(seconds * rate)
    hz = np.fft.rfftfreq(count, 1 / rate)
    colour = np.where((hz > 150) & (hz < 4000), 1 / np.sqrt(np.maximum(hz, 150)), 0)
    wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * colour, count)
    syllables = np.repeat(rng.random(int(seconds / 0.12) + 2) > 0.35, int(0.12 * rate))[:count]
    envelope = np.convolve(syllables, np.hanning(rate // 50) / (rate // 100), "same")
    return np.asarray(3000 * wave / wave.std() * envelope, dtype=np.float64)


class Room:
    """A speaker, a microphone, and the way between them: `delay_s`, quieter, with a little reverberation.

    The microphone's own clock is off by `drift`. `tell_s` is an error of the time that the speaker gives.
    """

    def __init__(
        self, played: Wave, user: Wave, *, delay_s: float, drift: float = 0.0, tell_s: float = 0.0
    ) -> None:
        self.trace = Trace(lambda: 0.0)
        self.spoken, self.heard = TrackClock(INPUT_RATE), TrackClock(OUTPUT_RATE)
        self.played = played.astype(np.int16)
        rng = np.random.default_rng(9)
        tail = rng.standard_normal(1200) * np.exp(-np.arange(1200) / 200) * 0.05
        tail[0] = 0.3
        echo = np.convolve(played, tail)[: len(played)]
        at = np.arange(int(len(user) * (1 - abs(drift)))) * (1 + drift) / INPUT_RATE
        self.mic: Samples = (
            np.interp((at - delay_s) * OUTPUT_RATE, np.arange(len(echo)), echo, left=0)
            + user[: len(at)]
            + rng.standard_normal(len(at)) * 10
        ).astype(np.int16)
        self._drift, self._tell = drift, tell_s

    def run(self, **chosen: bool) -> tuple[list[Frame], EchoCanceller]:
        """All frames through a canceller, as two devices would: what is played is known 50 ms before."""
        canceller = EchoCanceller(self.trace, self.spoken, self.heard, **chosen)
        out, told = [], 0
        for position in range(0, len(self.mic) - FRAME, FRAME):
            now = (position + FRAME) * (1 + self._drift) / INPUT_RATE
            while told < min((now + 0.05) * OUTPUT_RATE, len(self.played) - 240):
                canceller.played(self.played[told : told + 240], told)
                told += 240
                self.heard.observe(told, told / OUTPUT_RATE + self._tell)
            self.spoken.observe(position + FRAME, now)
            cleaned = canceller.clean(Frame(self.mic[position : position + FRAME], INPUT_RATE, position))
            if cleaned is not None:
                out.append(cleaned)
        return out, canceller


def joined(frames: list[Frame]) -> Samples:
    return np.concatenate([frame.samples for frame in frames])


def silent(seconds: float) -> Wave:
    return np.zeros(int(seconds * INPUT_RATE))


@pytest.mark.parametrize(
    ("delay_s", "drift", "tell_s"),
    [(0.005, 0, 0), (0.08, 0, 0), (0.2, 0, 0), (0.05, 200e-6, 0), (0.03, -200e-6, 0.015)],
)
def test_echo_is_removed_and_measured(delay_s: float, drift: float, tell_s: float) -> None:
    room = Room(speech(12, 1), silent(12), delay_s=delay_s, drift=drift, tell_s=tell_s)
    frames, canceller = room.run(noise=False, gain=False)
    late = slice(6 * INPUT_RATE, None)
    clean, raw = joined(frames)[late].astype(float), room.mic[late].astype(float)
    removed = 10 * np.log10(np.mean(raw**2) / np.mean(clean**2))
    assert removed > 15
    assert canceller.meter.erle_db is not None
    assert canceller.meter.erle_db > removed - 10  # a median: the few frames that leak do not count
    assert canceller.meter.delay_ms == pytest.approx((delay_s - tell_s) * 1000, abs=2)
    states = [entry.event for entry in room.trace.since(0)]
    assert len(states) >= 10
    assert all(isinstance(state, EchoState) and state.active for state in states)


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("gain", [False, True])
@pytest.mark.parametrize("echo", [False, True])
def test_positions_stay_true(noise: bool, gain: bool, echo: bool) -> None:
    user = speech(6, 2, INPUT_RATE)
    room = Room(np.zeros(6 * OUTPUT_RATE), user, delay_s=0.05)
    frames, _ = room.run(noise=noise, gain=gain, echo=echo)
    assert frames[0].position == 0
    assert all(before.end == after.position for before, after in pairwise(frames))
    assert np.array_equal(
        np.concatenate([frame.raw for frame in frames if frame.raw is not None]),
        room.mic[: len(joined(frames))],
    )
    clean = joined(frames)[INPUT_RATE:].astype(float)
    given = room.mic[INPUT_RATE : INPUT_RATE + len(clean)].astype(float)
    products = np.fft.irfft(np.fft.rfft(clean, 1 << 18) * np.conj(np.fft.rfft(given, 1 << 18)))
    lag = int(np.argmax(products))
    assert min(lag, len(products) - lag) <= 4


def test_the_user_is_heard_over_us() -> None:
    user = np.concatenate((silent(5), speech(3, 2, INPUT_RATE)))
    room = Room(speech(8, 1), user, delay_s=0.06)
    frames, _ = room.run(noise=False, gain=False)
    clean = joined(frames)[6 * INPUT_RATE :].astype(float)
    wanted = user[6 * INPUT_RATE :][: len(clean)]
    assert np.corrcoef(clean, wanted)[0, 1] > 0.4
    assert np.mean(clean**2) > np.mean(wanted**2) / 4


def test_a_gap_stays_a_gap() -> None:
    canceller = EchoCanceller(Trace(lambda: 0.0), TrackClock(INPUT_RATE), TrackClock(OUTPUT_RATE))
    positions = [*range(0, 1600, FRAME), *range(4800, 6400, FRAME)]
    wave = np.arange(FRAME, dtype=np.int16)
    got = [canceller.clean(Frame(wave + at // FRAME, INPUT_RATE, at)) for at in positions]
    frames = [frame for frame in got if frame is not None]
    assert [frame.position for frame in frames] == positions[: len(frames)]
    assert len(frames) >= len(positions) - 2
    for frame in frames:
        assert frame.raw is not None
        assert frame.raw[0] == frame.position // FRAME


def test_twenty_milliseconds_at_a_time() -> None:
    canceller = EchoCanceller(Trace(lambda: 0.0), TrackClock(INPUT_RATE), TrackClock(OUTPUT_RATE))
    got = [canceller.clean(Frame(np.zeros(320, np.int16), INPUT_RATE, at)) for at in range(0, 3200, 320)]
    frames = [frame for frame in got if frame is not None]
    assert [(frame.position, len(frame.samples)) for frame in frames] == [
        (at, 320) for at in range(0, 320 * len(frames), 320)
    ]
    assert len(frames) >= 9


def test_without_echo_there_is_nothing_to_say() -> None:
    room = Room(speech(5, 1), speech(5, 2, INPUT_RATE), delay_s=0.05)
    rng = np.random.default_rng(3)
    room.mic = (rng.standard_normal(len(room.mic)) * 30).astype(np.int16)  # headphones: only noise
    _, canceller = room.run(noise=False, gain=False)
    assert canceller.meter.delay_ms is None


def test_what_the_module_costs_in_time() -> None:
    assert module_delay(False, False, False) == 0
    assert 0 < module_delay(True, True, True) < 20 * INPUT_RATE // 1000


def at_16k(wave: Wave) -> Wave:
    count = len(wave) * INPUT_RATE // OUTPUT_RATE
    return np.interp(np.arange(count) * OUTPUT_RATE / INPUT_RATE, np.arange(len(wave)), wave)


def correlations(what: str, seconds: float) -> list[float]:
    """Of many sounds: our echo, quieter and with reverberation, after 20–280 ms; or another voice."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        played = speech(seconds + 0.3, seed)
        lag = int(rng.integers(320, 4480))
        tail = rng.standard_normal(2000) * np.exp(-np.arange(2000) / 300) * 0.1
        tail[0] = 1
        ours = np.convolve(at_16k(played), tail)[4800 - lag : 4800 - lag + int(seconds * INPUT_RATE)] * 0.2
        mic = ours if what == "echo" else speech(seconds, seed + 100, INPUT_RATE)
        mic = mic + rng.standard_normal(len(mic)) * 10
        found.append(echo_share(mic.astype(np.int16), played.astype(np.int16)))
    return found


@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.5])
def test_an_echo_is_known_from_another_voice(seconds: float) -> None:
    ours, others = correlations("echo", seconds), correlations("other", seconds)
    assert np.quantile(ours, 0.2) > 0.5
    assert np.quantile(others, 0.9) < 0.45
    assert all(0 <= value <= 1 for value in (*ours, *others))


@pytest.mark.parametrize("seconds", [0.3, 0.6])
@pytest.mark.parametrize("hz", [(440,), (262, 330, 392, 523)])
def test_a_user_who_speaks_into_a_tone_is_not_taken_for_it(hz: tuple[int, ...], seconds: float) -> None:
    at = np.arange(int((seconds + 0.3) * OUTPUT_RATE)) / OUTPUT_RATE
    played = np.sum([2000 * np.sin(2 * np.pi * one * at) for one in hz], axis=0)
    ours = at_16k(played)[2000 : 2000 + int(seconds * INPUT_RATE)] * 0.2
    for seed in range(10):
        user = speech(1.0, seed, INPUT_RATE)[: int(seconds * INPUT_RATE)]
        if user.std() < 1000:  # it happens to be silent
            continue
        for mic in (user, user + 0.3 * ours):
            assert echo_share(mic.astype(np.int16), played.astype(np.int16)) < 0.3
    assert echo_share(ours.astype(np.int16), played.astype(np.int16)) > 0.9


@pytest.mark.parametrize("seconds", [0.2, 0.4])
def test_an_echo_in_a_room_with_reverberation_is_known_at_the_first_look(seconds: float) -> None:
    ours, over = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        played = speech(seconds + 0.3, seed)
        room = rng.standard_normal(6400) * 10 ** (-3 * np.arange(6400) / 6400)  # 60 dB in 0.4 s
        room[:40], room[0] = 0, np.sqrt(np.sum(room[40:] ** 2))  # as loud as the direct sound
        echo = np.convolve(at_16k(played), room)[4000:][: int(seconds * INPUT_RATE)]
        user = speech(seconds, seed + 100, INPUT_RATE)
        echo *= user.std() / echo.std()
        ours.append(echo_share((0.3 * echo).astype(np.int16), played.astype(np.int16)))
        over.append(echo_share((0.3 * echo + 0.9 * user).astype(np.int16), played.astype(np.int16)))
    assert np.quantile(ours, 0.2) > 0.5
    assert np.quantile(over, 0.8) < 0.5


def test_too_little_to_tell() -> None:
    nothing = np.zeros(0, np.int16)
    assert echo_share(nothing, nothing) == 0.0
    assert echo_share(np.ones(1600, np.int16), np.ones(9600, np.int16)) == 0.0
    assert echo_share(np.zeros(8000, np.int16), np.zeros(12000, np.int16)) == 0.0
    assert echo_lag(np.zeros(32000, np.int16), np.zeros(32000, np.int16)) is None


def test_with_headphones_the_user_is_heard_over_us_unchanged() -> None:
    """Where no echo comes back, the module takes the user for one: it left a twentieth of them."""
    user = np.concatenate((silent(5), speech(3, 2, INPUT_RATE)))
    room = Room(speech(8, 1), user, delay_s=0.06)
    room.mic = (user[: len(room.mic)] + np.random.default_rng(3).standard_normal(len(room.mic))).astype(
        np.int16
    )
    frames, canceller = room.run(noise=False, gain=False)
    assert not canceller.meter.present
    assert np.array_equal(joined(frames)[5 * INPUT_RATE :], room.mic[5 * INPUT_RATE : frames[-1].end])


def test_an_echo_that_a_user_speaks_over_is_still_one() -> None:
    room = Room(speech(12, 1), np.concatenate((silent(4), speech(6, 2, INPUT_RATE), silent(2))), delay_s=0.06)
    _, canceller = room.run(noise=False, gain=False)
    assert canceller.meter.present
