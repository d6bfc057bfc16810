"""Any wav file is read, and one that can't be says why."""

from __future__ import annotations

import os
import shlex
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.transports.waves import tone, wav_bytes, write_wav
from workbench.model.audio import Samples, silence
from workbench.model.errors import UsageError
from workbench.transports.file.wavfile import WavFile, WavWriter, read_wav

RATE = 16_000


def whole(path: Path, rate: int = RATE) -> Samples:
    return np.concatenate(list(read_wav(path, rate)))


@pytest.mark.parametrize("kind", ["u8", "s16", "s24", "s32", "f32", "f64"])
@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_every_format(tmp_path: Path, kind: str, extensible: bool, channels: int, rate: int) -> None:
    wave = tone(0.5, rate)
    path = write_wav(
        tmp_path / "a.wav", np.column_stack([wave] * channels), rate, kind, extensible=extensible
    )
    got = whole(path) / 32768
    want = tone(0.5, RATE)
    assert len(got) == len(want)
    middle = slice(1000, -1000)
    assert np.abs(got[middle] - want[middle]).max() < (0.01 if kind == "u8" else 0.001)


def test_channels_are_mixed(tmp_path: Path) -> None:
    left = tone(0.2, RATE)
    path = write_wav(tmp_path / "a.wav", np.column_stack([left, -left]), RATE)
    assert np.abs(whole(path)).max() <= 1


def test_floats_beyond_full_scale(tmp_path: Path) -> None:
    wave = np.array([3.0, -3.0, np.nan, np.inf, -np.inf, 0.5])
    got = whole(write_wav(tmp_path / "a.wav", wave, RATE, "f32"))
    assert got.tolist() == [32767, -32768, 0, 32767, -32768, 16384]


def test_chunks_around_the_sound_are_not_heard(tmp_path: Path) -> None:
    data = wav_bytes(tone(0.1, RATE), RATE)
    data += b"LIST" + struct.pack("<I", 400) + bytes(range(200)) * 2
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    (tmp_path / "a.wav").write_bytes(data)
    with WavFile(tmp_path / "a.wav") as file:
        assert (file.format.count, file.format.note) == (1600, "")


@pytest.mark.parametrize(
    ("claim", "note"), [(64_000, "promises"), (1_000, "tells of"), (0, "tells of"), (0xFFFFFFFF, "")]
)
def test_the_length_of_the_file_is_right(tmp_path: Path, claim: int, note: str) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(1, RATE), RATE, claim=claim))
    with WavFile(tmp_path / "a.wav") as file:
        assert file.format.count == RATE
        assert note in file.format.note
        assert bool(note) == bool(file.format.note)
        assert sum(map(len, file.blocks(RATE))) == RATE


def test_cut_within_a_sample(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(np.column_stack([tone(1, RATE)] * 2), RATE, "s24")[:-5])
    assert len(whole(tmp_path / "a.wav")) == RATE - 1


@pytest.mark.parametrize("form", ["RF64", "FLAC", "OGG", "AIFF"])
def test_other_formats_are_read_too(tmp_path: Path, form: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1, RATE), RATE, format=form)
    got = whole(tmp_path / "a.wav") / 32768
    assert len(got) == RATE
    assert np.abs(got - tone(1, RATE))[1000:-1000].max() < 0.05


TENTH = wav_bytes(tone(0.1, RATE), RATE)
UNREADABLE = {
    "empty": (b"", "empty"),
    "another file": (b"ID3\x03 an mp3 file that was given the wrong name", "not a sound file"),
    "no chunks": (b"RIFF\x04\0\0\0WAVE", "not a sound file"),
    "no samples": (wav_bytes(np.zeros(0), RATE), "holds no sound"),
    "unknown compression": (wav_bytes(tone(0.1, RATE), RATE, tag=0x1234), "not a sound file"),
    "3 Hz": (wav_bytes(tone(0.1, 3), 3), "3 Hz is no rate"),
    "no fmt chunk": (TENTH.replace(b"fmt ", b"fmx "), "not a sound file"),
    "cut in its header": (TENTH[:30], "not a sound file"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_is_refused_with_a_hint(tmp_path: Path, kind: str) -> None:
    content, reason = UNREADABLE[kind]
    path = tmp_path / "sound.wav"
    path.write_bytes(content)
    with pytest.raises(UsageError) as failed:
        WavFile(path)
    assert reason in failed.value.reason
    assert str(path) in failed.value.reason
    assert failed.value.hint


@pytest.mark.parametrize("name", ["mp3.wav", "of mine.mp3", "-pcm.wav"])
def test_it_is_converted_into_another_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"ID3\x03 no wav file")
    with pytest.raises(UsageError) as failed:
        WavFile(tmp_path / name)
    command = shlex.split(failed.value.hint.split("`")[1])
    assert command[2] == name
    assert command[-1] != name


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")  # nobody writes: a wait for that would never end
    with pytest.raises(UsageError, match="a pipe cannot be a source") as failed:
        WavFile(tmp_path / "pipe.wav")
    assert "to a file first" in failed.value.hint


@pytest.mark.parametrize("count", [1000, 1001])
def test_a_stale_size_of_the_whole_is_no_fault_of_the_sound(tmp_path: Path, count: int) -> None:
    data = wav_bytes(tone(1, RATE)[:count], RATE, "u8")
    (tmp_path / "a.wav").write_bytes(data[:4] + struct.pack("<I", 36) + data[8:])
    with WavFile(tmp_path / "a.wav") as file:
        assert (file.format.count, file.format.note) == (count, "")


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        WavFile(tmp_path / "none.wav")
    with pytest.raises(UsageError, match="directory"):
        WavFile(tmp_path)


def test_an_hour_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "hour.wav"
    path.write_bytes(wav_bytes(np.zeros(0), 48_000, claim=3600 * 96_000))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 3600 * 96_000)  # a hole: takes no room on disk
    tracemalloc.start()
    count = sum(len(block) for block in read_wav(path, RATE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3600 * RATE
    assert peak < 4_000_000  # the hour has 345 MB


def test_a_growing_file_can_be_read_at_any_time(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", RATE)
    for _ in range(150):
        writer.write(np.arange(160, dtype=np.int16))
    assert len(whole(tmp_path / "a.wav")) == 150 * 160  # as after kill -9
    writer.close()
    with WavFile(tmp_path / "a.wav") as file:
        assert (file.format.count, file.format.note) == (150 * 160, "")


def test_an_empty_recording(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", RATE)
    writer.write(silence(0))
    writer.close()
    with pytest.raises(UsageError, match="holds no sound"):
        WavFile(tmp_path / "a.wav")
