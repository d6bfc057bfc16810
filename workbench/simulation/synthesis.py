"""Synthetic speech and noise by seed: voices that a VAD takes for speech, and sounds that it must not.

A voice is additive: the harmonics of a wandering pitch under formants that glide from vowel to vowel, with a puff of
noise before each syllable. It says nothing, but it starts and ends at known samples.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from workbench.engine.interfaces import Source
from workbench.model.audio import INPUT_RATE, Frame, Samples, silence

Wave = NDArray[np.float32]
Formants = tuple[float, float, float]

VOWELS_HZ: tuple[Formants, ...] = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (530, 1840, 2480),
    (570, 840, 2410),
    (300, 870, 2240),
    (660, 1720, 2410),
)
"""First three formants of a, i, e, o, u, æ, Hz."""
FORMANT_WIDTH_HZ = (90.0, 120.0, 170.0)
FORMANT_GAIN = (1.0, 0.6, 0.35)
NASAL_HZ = (250.0, 1100.0, 2200.0)
NASAL_GAIN = (1.0, 0.08, 0.03)
TILT = 1.0
"""How fast the harmonics of a voice grow weaker, an exponent. With syllables of this length, Silero is the surest."""
SYLLABLE_S = 0.17
HIGHEST_HZ = 3800.0
EDGE_S = 0.004
"""How fast a voice sets in and ends, s: below one block of `audible_blocks`."""
SECONDS_PER_CHARACTER = 0.06
USER_HZ, AGENT_HZ = 118.0, 196.0
"""Pitch of the user's voice and of the agent's, Hz."""


# --- sounds ----------------------------------------------------------------------------------------------------------


def speech(
    seconds: float, *, seed: int = 0, pitch_hz: float = USER_HZ, db: float = -26.0, rate: int = INPUT_RATE
) -> Samples:
    """Return a voice from the first sample to the last; RMS `db` dBFS, shape (seconds × rate,), no pause in it."""
    chance = np.random.default_rng(seed)
    count = round(seconds * rate)
    syllables = max(1, round(seconds / SYLLABLE_S))
    bounds = np.linspace(0, count, syllables + 1).astype(int)
    pitch = _pitch(chance, count, syllables, pitch_hz)
    sound = np.concatenate([_syllable(chance, pitch[start:stop], rate) for start, stop in pairwise(bounds)])
    return _pcm(_fade(sound, rate), db)


def noise(seconds: float, *, seed: int = 0, db: float = -60.0, rate: int = INPUT_RATE) -> Samples:
    """Return white noise, RMS `db` dBFS."""
    return _pcm(np.random.default_rng(seed).standard_normal(round(seconds * rate), dtype=np.float32), db)


def tone(seconds: float, *, hz: float = 440.0, db: float = -20.0, rate: int = INPUT_RATE) -> Samples:
    """Return a sine, RMS `db` dBFS."""
    angle = np.arange(round(seconds * rate), dtype=np.float32) * np.float32(2 * np.pi * hz / rate)
    return _pcm(_fade(np.sin(angle), rate), db)


def cough(*, seed: int = 0, db: float = -20.0, rate: int = INPUT_RATE) -> Samples:
    """Return two bursts of noise that die away, 0.32 s."""
    chance = np.random.default_rng(seed)

    def burst(seconds: float) -> Wave:
        sound = chance.standard_normal(round(seconds * rate), dtype=np.float32)
        return np.asarray(sound * np.exp(-np.linspace(0, 5, len(sound), dtype=np.float32)))

    return _pcm(np.concatenate([burst(0.18), 0.6 * burst(0.14)]).astype(np.float32), db)


def mhm(*, seed: int = 0, pitch_hz: float = USER_HZ, db: float = -24.0, rate: int = INPUT_RATE) -> Samples:
    """Return a hum of two humps, the second one higher, 0.34 s: a backchannel."""
    chance = np.random.default_rng(seed)

    def hum(seconds: float, hz: float) -> Wave:
        count = round(seconds * rate)
        pitch = np.full(count, hz * (1 + 0.02 * chance.standard_normal()), dtype=np.float32)
        voiced = _voiced(pitch, NASAL_HZ, NASAL_HZ, NASAL_GAIN, rate)
        return np.asarray(voiced * np.sin(np.linspace(0.15, np.pi - 0.15, count, dtype=np.float32)))

    return _pcm(_fade(np.concatenate([hum(0.14, pitch_hz), hum(0.20, pitch_hz * 1.25)]), rate), db)


def babble(
    seconds: float, *, voices: int = 6, seed: int = 0, db: float = -36.0, rate: int = INPUT_RATE
) -> Samples:
    """Return many voices at once, as of a room full of people."""
    chance = np.random.default_rng(seed)
    crowd = np.zeros(round(seconds * rate), dtype=np.float32)
    for number in range(voices):
        voice = speech(seconds, seed=seed * 100 + number, pitch_hz=chance.uniform(95, 230), rate=rate)
        crowd += voice * np.float32(chance.uniform(0.5, 1.0))
    return _pcm(crowd, db)


def click(*, db: float = -12.0, rate: int = INPUT_RATE) -> Samples:
    """Return a knock on the microphone, 4 ms."""
    count = round(0.004 * rate)
    decay = np.exp(-np.linspace(0, 6, count, dtype=np.float32))
    return _pcm(np.asarray(decay * np.cos(np.arange(count, dtype=np.float32))), db)


# --- scores ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spoken:
    """Words of a score, spoken from `start` up to `end`, sample positions at the score's rate."""

    text: str
    start: int
    end: int

    def words(self) -> list[Spoken]:
        """Return the words, with the time divided over the characters."""
        words = self.text.split()
        marks = np.cumsum([0, *(len(word) for word in words)]) / max(1, sum(map(len, words)))
        at = (self.start + marks * (self.end - self.start)).astype(int).tolist()
        return [Spoken(word, *span) for word, span in zip(words, pairwise(at), strict=True)]


class Score:
    """The sounds of a user, in order of time; each comes after the last one unless `at` (s) says when.

    score = Score().silence(0.5).say("hello there").silence(2).cough(db=-30).silence(1)
    score.spoken[0].end      # the sample after the last word, exactly
    """

    def __init__(self, *, rate: int = INPUT_RATE, seed: int = 0, noise_db: float | None = None) -> None:
        self.rate = rate
        self.spoken: list[Spoken] = []
        self._seed = seed
        self._noise_db = noise_db
        self._parts: list[tuple[int, Samples]] = []
        self._end = 0

    @property
    def seconds(self) -> float:
        """Length so far, s."""
        return self._end / self.rate

    def say(
        self, text: str, *, at: float | None = None, seconds: float | None = None, db: float = -26.0
    ) -> Self:
        """Add speech: `text`, by default 60 ms a character (at least 0.4 s)."""
        length = seconds if seconds is not None else max(0.4, len(text) * SECONDS_PER_CHARACTER)
        start = self._at(at)
        self.add(speech(length, seed=self._next_seed(), db=db, rate=self.rate), at=at)
        self.spoken.append(Spoken(text, start, start + round(length * self.rate)))
        return self

    def silence(self, seconds: float) -> Self:
        """Add silence."""
        self._end += round(seconds * self.rate)
        return self

    def cough(self, *, at: float | None = None, db: float = -20.0) -> Self:
        """Add a cough."""
        return self.add(cough(seed=self._next_seed(), db=db, rate=self.rate), at=at)

    def mhm(self, *, at: float | None = None, db: float = -24.0) -> Self:
        """Add a backchannel; an STT may well write it down."""
        start, hum = self._at(at), mhm(seed=self._next_seed(), db=db, rate=self.rate)
        self.spoken.append(Spoken("mhm", start, start + len(hum)))
        return self.add(hum, at=at)

    def babble(self, seconds: float, *, at: float | None = None, db: float = -36.0) -> Self:
        """Add other people's talk."""
        return self.add(babble(seconds, seed=self._next_seed(), db=db, rate=self.rate), at=at)

    def click(self, *, at: float | None = None, db: float = -12.0) -> Self:
        """Add a knock on the microphone."""
        return self.add(click(db=db, rate=self.rate), at=at)

    def add(self, samples: Samples, *, at: float | None = None) -> Self:
        """Add any sound, mixed with the others."""
        start = self._at(at)
        self._parts.append((start, samples))
        self._end = max(self._end, start + len(samples))
        return self

    def samples(self) -> Samples:
        """Return all sounds, mixed; shape (seconds × rate,)."""
        mixed = np.zeros(self._end, dtype=np.int32)
        if self._noise_db is not None:
            mixed += noise(self._end / self.rate, seed=self._seed, db=self._noise_db, rate=self.rate)
        for start, part in self._parts:
            mixed[start : start + len(part)] += part
        return np.asarray(np.clip(mixed, -32768, 32767), dtype=np.int16)

    def write_wav(self, path: Path) -> Path:
        """Write it as a mono PCM16 file."""
        return write_wav(path, self.samples(), self.rate)

    def _at(self, at: float | None) -> int:
        return self._end if at is None else round(at * self.rate)

    def _next_seed(self) -> int:
        return self._seed * 1000 + len(self._parts)


def write_wav(path: Path, samples: Samples, rate: int = INPUT_RATE) -> Path:
    """Write a mono PCM16 file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


class ArraySource(Source):
    """A `Source` that plays an array (mono PCM16 at 16 kHz) at real time on the loop's clock, in frames of 20 ms.

    `time_of` counts from the first call of `frames`.
    """

    def __init__(self, sound: Samples | Score, *, name: str = "array", frame_ms: int = 20) -> None:
        if isinstance(sound, Score) and sound.rate != INPUT_RATE:
            raise ValueError(f"a source is at {INPUT_RATE} Hz, the score at {sound.rate} Hz")
        self.name = name
        self._samples = sound.samples() if isinstance(sound, Score) else sound
        self._frame = INPUT_RATE * frame_ms // 1000
        self._started: float | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield each frame when its last sample has been spoken; the last one is filled up with silence."""
        loop = asyncio.get_running_loop()
        self._started = loop.time()
        for position in range(0, len(self._samples), self._frame):
            piece = self._samples[position : position + self._frame]
            if len(piece) < self._frame:
                piece = np.concatenate([piece, silence(self._frame - len(piece))])
            early = self.time_of(position + self._frame) - loop.time()
            if early > 0:
                await asyncio.sleep(early)
            yield Frame(piece, INPUT_RATE, position)

    def time_of(self, sample: int) -> float:
        """Return when that sample was spoken, s on the loop's clock."""
        started = asyncio.get_running_loop().time() if self._started is None else self._started
        return started + sample / INPUT_RATE


# --- how a voice is made ---------------------------------------------------------------------------------------------


@cache
def agent_voice(rate: int) -> Samples:
    """Return four seconds of the agent's voice, to be looped; synthesized once, in 60 ms. Read-only."""
    voice = speech(4.0, seed=4711, pitch_hz=AGENT_HZ, rate=rate)
    voice.setflags(write=False)
    return voice


def _pitch(chance: np.random.Generator, count: int, syllables: int, hz: float) -> Wave:
    """Return a pitch that falls over the sentence and wanders from syllable to syllable, Hz a sample."""
    knots = hz * (np.linspace(1.12, 0.88, syllables + 1) + chance.normal(0, 0.05, syllables + 1))
    return np.interp(np.arange(count), np.linspace(0, count, syllables + 1), knots).astype(np.float32)


def _syllable(chance: np.random.Generator, pitch: Wave, rate: int) -> Wave:
    """Return a puff of noise, then a vowel that glides into another one, rises and falls."""
    first, last = (VOWELS_HZ[number] for number in chance.choice(len(VOWELS_HZ), 2, replace=False))
    sound = _voiced(pitch, first, last, FORMANT_GAIN, rate)
    along = np.linspace(0, 1, len(pitch), dtype=np.float32)
    sound *= (0.35 + 0.65 * np.abs(np.sin(np.pi * along)) ** 0.7) * np.float32(chance.uniform(0.8, 1.2))
    puff = min(len(pitch), round(0.035 * rate))
    hiss = np.diff(chance.standard_normal(puff + 1, dtype=np.float32))  # a difference: high frequencies
    sound[:puff] += hiss * np.hanning(puff).astype(np.float32) * 0.25 * float(np.abs(sound).max())
    return sound


def _voiced(pitch: Wave, first: Formants, last: Formants, gains: Formants, rate: int) -> Wave:
    """Return harmonics of `pitch` (Hz a sample) under formants that move from `first` to `last`; shape of `pitch`."""
    phase = np.cumsum(pitch / np.float32(rate)) * np.float32(2 * np.pi)
    middle = float(pitch.mean())
    along = np.linspace(0, 1, len(pitch), dtype=np.float32)
    sound = np.zeros(len(pitch), dtype=np.float32)
    for harmonic in range(1, int(HIGHEST_HZ / middle)):
        begin, end = (
            _gain(harmonic * middle, formants, gains) / harmonic**TILT for formants in (first, last)
        )
        sound += (begin + (end - begin) * along) * np.sin(phase * np.float32(harmonic))
    return sound


def _gain(hz: float, formants: Formants, gains: Formants) -> np.float32:
    """Return the gain of a vocal tract with these formants at `hz`."""
    peaks = zip(formants, FORMANT_WIDTH_HZ, gains, strict=True)
    return np.float32(0.02 + sum(gain / (1 + ((hz - at) / width) ** 2) for at, width, gain in peaks))


def _fade(sound: NDArray[np.floating], rate: int) -> Wave:
    """Fade both ends, so that they do not click."""
    edge = min(len(sound) // 2, round(EDGE_S * rate))
    ramp = np.linspace(0.2, 1, edge, dtype=np.float32)
    sound[:edge] *= ramp
    sound[len(sound) - edge :] *= ramp[::-1]
    return sound.astype(np.float32)


def _pcm(sound: Wave, db: float) -> Samples:
    """Return PCM16 with RMS `db` dBFS; peaks are clipped."""
    rms = float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
    scaled = sound * np.float32(32768 * 10 ** (db / 20) / rms) if rms else sound
    return np.asarray(np.clip(np.rint(scaled), -32768, 32767), dtype=np.int16)
