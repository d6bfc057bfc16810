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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    path = write_wav(tmp_path / "a.wav", np.column_stack([left, 0.5 * left]), RATE)
    assert np.abs(whole(path) / 32768 - 0.75 * left).max() < 0.001


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


def chunk(name: bytes, content: bytes, *, size: int | None = None, pad: bool = True) -> bytes:
    size = len(content) if size is None else size
    return name + struct.pack("<I", size) + content + (b"\0" if pad and len(content) % 2 else b"")


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"".join(chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body) if size is None else size) + b"WAVE" + body


def soundless_id3(size: int = 301) -> bytes:
    return b"ID3\x04\0\0" + bytes([0, 0, size >> 7, size & 0x7F]) + bytes(range(1, 200)) + b"x" * (size - 199)


FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
PCM = (tone(1, RATE) * 32767).astype("<i2").tobytes()
DATA = chunk(b"data", PCM)
ODD = b"INFOISFT\x05\0\0\0Lavf\0"
DS64 = chunk(b"ds64", struct.pack("<QQQI", 0, len(PCM), RATE, 0))
WAVES = {
    "id3 v1 behind": riff(FMT, DATA) + b"TAG" + b"title".ljust(125, b"\0"),
    "id3 v2 behind": riff(FMT, DATA) + soundless_id3(),
    "id3 chunk behind": riff(FMT, DATA, chunk(b"id3 ", soundless_id3())),
    "id3 chunk outside": riff(FMT, DATA) + chunk(b"id3 ", soundless_id3()),
    "id3 in front": soundless_id3() + riff(FMT, DATA),
    "id3 chunk before": riff(chunk(b"ID3 ", soundless_id3()), FMT, DATA),
    "chunks behind a whole of 0": riff(FMT, DATA, chunk(b"LIST", b"INFO" * 90), size=0),
    "unpadded before": riff(FMT, chunk(b"LIST", ODD, pad=False), DATA),
    "unpadded first": riff(chunk(b"LIST", ODD, pad=False), FMT, DATA),
    "unpadded twice": riff(FMT, chunk(b"LIST", ODD, pad=False), chunk(b"bext", b"x" * 603, pad=False), DATA),
    "unpadded behind": riff(FMT, DATA, chunk(b"LIST", ODD, pad=False)),
    "a wrong size before": riff(FMT, chunk(b"LIST", ODD, size=90_000_000), DATA),
    "size 0 and a tag": riff(FMT, chunk(b"data", PCM, size=0), size=0) + soundless_id3(),
    "size 0 and chunks": riff(FMT, chunk(b"data", PCM, size=0), chunk(b"LIST", b"INFO" * 90), size=0),
    "no size and both tags": riff(FMT, chunk(b"data", PCM, size=0xFFFFFFFF))
    + soundless_id3()
    + b"TAG".ljust(128, b"\1"),
    "two chunks of data": riff(FMT, chunk(b"data", PCM[:9_000]), chunk(b"data", PCM[9_000:])),
    "bytes in front": b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n\r\n" + riff(FMT, DATA),
    "RF64": b"RF64\xff\xff\xff\xffWAVE" + DS64 + FMT + chunk(b"data", PCM, size=0xFFFFFFFF) + soundless_id3(),
    "BW64": b"BW64\xff\xff\xff\xffWAVE" + DS64 + FMT + chunk(b"data", PCM, size=0xFFFFFFFF),
}


@pytest.mark.parametrize("kind", WAVES)
def test_only_what_is_sound_is_played_of_a_wav(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.wav").write_bytes(WAVES[kind])
    assert whole(tmp_path / "a.wav").tobytes() == PCM


@given(
    before=st.lists(
        st.tuples(st.sampled_from([b"LIST", b"JUNK", b"bext"]), st.binary(max_size=99), st.booleans()),
        max_size=3,
    ),
    behind=st.lists(st.sampled_from([soundless_id3(), chunk(b"LIST", b"INFO" * 9)]), max_size=2),
    size=st.sampled_from([len(PCM), 0, 0xFFFFFFFF, 0x7FFFFFFF]),
    whole_size=st.integers(0, 0xFFFFFFFF),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_the_sound_is_in_a_wav(
    tmp_path: Path, before: list[tuple[bytes, bytes, bool]], behind: list[bytes], size: int, whole_size: int
) -> None:
    ahead = [chunk(name, content.replace(b"data", b"dato"), pad=pad) for name, content, pad in before]
    data = riff(FMT, *ahead, chunk(b"data", PCM, size=size), size=whole_size) + b"".join(behind)
    (tmp_path / "a.wav").write_bytes(data)
    assert whole(tmp_path / "a.wav").tobytes() == PCM


@pytest.mark.parametrize(("left", "right", "loudest"), [(1.0, -1.0, 1), (0.9, -1.0, 2), (1.0, -0.8, 1)])
def test_of_channels_that_cancel_each_other_the_loudest_is_taken(
    tmp_path: Path, left: float, right: float, loudest: int
) -> None:
    wave = tone(1, RATE)
    path = write_wav(tmp_path / "a.wav", np.column_stack([left * wave, right * wave]), RATE)
    with WavFile(path) as file:
        assert f"channel {loudest}, the loudest" in file.format.note
    assert abs(int(np.abs(whole(path)).max()) - int(32767 * np.abs(wave).max())) < 20


@pytest.mark.parametrize("right", [1.0, 0.0, -0.1])
def test_other_channels_are_mixed_without_a_word(tmp_path: Path, right: float) -> None:
    wave = tone(1, RATE)
    with WavFile(write_wav(tmp_path / "a.wav", np.column_stack([wave, right * wave]), RATE)) as file:
        assert not file.format.note


# those without a header, without a rate in it, and that libsndfile cannot write in one piece
ELSE = {"RAW", "SD2", "XI"}


@pytest.mark.parametrize("form", sorted(soundfile.available_formats().keys() - ELSE))
def test_every_format_of_libsndfile_is_read_as_often_as_wanted(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form.lower()}"
    kinds = [kind for kind in soundfile.available_subtypes(form) if not kind.startswith("DWVW")]
    for kind in kinds:
        try:
            soundfile.write(path, tone(1, 8_000), 8_000, format=form, subtype=kind)
        except soundfile.LibsndfileError:
            continue  # it reads some that it does not write
        with WavFile(path) as file:
            first = np.concatenate(list(file.blocks(RATE)))
            again = np.concatenate(list(file.blocks(RATE)))
        assert len(first) > 0.8 * RATE, kind
        assert 0.3 < np.abs(first[2000:12_000]).max() / 32768 < 1.01, kind
        assert np.array_equal(first, again), kind


def test_what_is_called_raw_and_is_not_is_played_and_what_has_no_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(riff(FMT, DATA))
    assert whole(tmp_path / "a.raw").tobytes() == PCM
    (tmp_path / "b.raw").write_bytes(PCM)
    with pytest.raises(UsageError) as failed:
        WavFile(tmp_path / "b.raw")
    assert "ffmpeg -f s16le" in failed.value.hint


def test_a_file_that_is_broken_in_its_middle_is_played_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 5 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with WavFile(path) as file:
        assert RATE < sum(map(len, file.blocks(RATE))) < 3 * RATE
        assert "broken" in file.broken


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


def test_twenty_minutes_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav_bytes(np.zeros(0), 48_000, claim=1200 * 96_000))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 1200 * 96_000)  # a hole: takes no room on disk
    tracemalloc.start()
    count = sum(len(block) for block in read_wav(path, RATE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1200 * RATE
    assert peak < 4_000_000  # it has 115 MB


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
