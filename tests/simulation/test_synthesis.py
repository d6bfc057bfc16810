from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest

from workbench.model.audio import Samples, first_audible, last_audible, level_db, silence
from workbench.simulation import synthesis
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import ArraySource, Score, Spoken

SOUNDS = {
    "speech": lambda db: synthesis.speech(1.0, db=db),
    "noise": lambda db: synthesis.noise(1.0, db=db),
    "tone": lambda db: synthesis.tone(1.0, db=db),
    "cough": lambda db: synthesis.cough(db=db),
    "mhm": lambda db: synthesis.mhm(db=db),
    "babble": lambda db: synthesis.babble(1.0, db=db),
}


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.parametrize("db", [-20.0, -40.0])
def test_every_sound_has_its_level_and_is_the_same_twice(kind: str, db: float) -> None:
    made = SOUNDS[kind](db)
    assert made.dtype == np.int16
    assert level_db(made) == pytest.approx(db, abs=1.0)  # rounding, and a few clipped peaks
    assert np.array_equal(made, SOUNDS[kind](db))


def test_seeds_make_different_voices() -> None:
    one, other = synthesis.speech(1.0, seed=1), synthesis.speech(1.0, seed=2)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.3


@pytest.mark.parametrize("rate", [16_000, 24_000])
@pytest.mark.parametrize("seconds", [0.2, 1.0, 3.3])
def test_speech_is_audible_from_its_first_block_to_its_last(seconds: float, rate: int) -> None:
    voice = synthesis.speech(seconds, rate=rate, db=-30)
    block = rate * 5 // 1000
    assert len(voice) == round(seconds * rate)
    assert first_audible(voice, rate) in (0, block)
    assert (last_audible(voice, rate) or 0) >= len(voice) - 2 * block


def test_speech_has_no_pause() -> None:
    levels = [level_db(part) for part in np.split(synthesis.speech(2.0, seed=3), 100)]
    assert min(levels) > -45


def test_a_click_is_short() -> None:
    assert len(synthesis.click()) == 64


def test_a_score_knows_what_is_said_when() -> None:
    score = (
        Score()
        .silence(0.5)
        .say("hello there", seconds=1.0)
        .silence(2.0)
        .cough()
        .say("again", at=1.0, seconds=0.5)
    )
    assert score.spoken == [Spoken("hello there", 8_000, 24_000), Spoken("again", 16_000, 24_000)]
    samples = score.samples()
    assert len(samples) == round(score.seconds * 16_000)
    assert first_audible(samples, 16_000) == 8_000
    words = score.spoken[0].words()
    assert [word.text for word in words] == ["hello", "there"]
    assert (words[0].start, words[0].end, words[1].end) == (8_000, 16_000, 24_000)


def test_a_score_is_the_same_twice_and_has_noise_if_asked() -> None:
    def made(noise_db: float | None) -> Samples:
        return Score(noise_db=noise_db, seed=7).say("one").silence(1).mhm().babble(0.5).click().samples()

    assert np.array_equal(made(None), made(None))
    assert level_db(made(-50)[10_000:12_000]) == pytest.approx(-50, abs=1)


def test_write_wav(tmp_path: Path) -> None:
    score = Score().say("hello")
    with wave.open(str(score.write_wav(tmp_path / "hello.wav"))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        assert np.array_equal(np.frombuffer(file.readframes(file.getnframes()), "<i2"), score.samples())


def test_a_source_gives_each_frame_when_it_is_due() -> None:
    sounds = synthesis.speech(1.01)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(5)
        parts, late = list[Samples](), list[float]()
        async with ArraySource(sounds) as source:
            async for frame in source.frames():
                assert (frame.rate, len(frame.samples)) == (16_000, 320)
                assert frame.position == 320 * len(parts)
                late.append(loop.time() - source.time_of(frame.end))
                parts.append(frame.samples)
                await asyncio.sleep(0.001)
            assert source.time_of(16_000) == pytest.approx(6.0)
        assert np.array_equal(np.concatenate(parts), np.concatenate([sounds, silence(160)]))
        assert max(map(abs, late)) < 1e-6

    run_virtual(main())


def test_a_score_of_another_rate_is_refused_by_a_source() -> None:
    with pytest.raises(ValueError, match="16000"):
        ArraySource(Score(rate=24_000).say("hello"))
