"""Speech and transcription servers as they are: formats that they choose themselves, and answers in many shapes."""

from __future__ import annotations

import io
import json
import struct
import wave
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.answering import options, run, server
from workbench.model.audio import OUTPUT_RATE, Samples
from workbench.model.errors import GarbageError
from workbench.providers.openai.errors import Endpoint
from workbench.providers.openai.sound import SoundDecoder
from workbench.providers.openai.stt import transcript_text
from workbench.providers.openai.tts import OpenAiTts

ENDPOINT = Endpoint("tts", "model", "http://127.0.0.1:1/v1", None, 5.0)


def tone(rate: int, seconds: float = 0.5) -> Samples:
    return (8000 * np.sin(np.arange(round(rate * seconds)) * 2 * np.pi * 440 / rate)).astype(np.int16)


def wav(rate: int, channels: int = 1, seconds: float = 0.5) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(np.repeat(tone(rate, seconds)[:, None], channels, axis=1).tobytes())
    return file.getvalue()


def streamed_wav(rate: int, seconds: float = 0.5) -> bytes:
    """A wav whose length was not known when it began."""
    whole = bytearray(wav(rate, 1, seconds))
    whole[4:8] = whole[40:44] = struct.pack("<I", 0xFFFFFFFF)
    return bytes(whole)


def encoded(kind: str, subtype: str | None = None, seconds: float = 0.5) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(24_000, seconds) / 32_768, 24_000, format=kind, subtype=subtype)
    return file.getvalue()


def frames() -> bytes:
    """Half a second in MPEG frames without a header."""
    data = encoded("MP3")
    start = next(at for at in range(len(data)) if data[at] == 0xFF and data[at + 1] & 0xE0 == 0xE0)
    return data[start:]


def ulaw(rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(rate), rate, format="RAW", subtype="ULAW")
    return file.getvalue()


SOUNDS: dict[str, tuple[bytes, str]] = {
    "pcm": (tone(OUTPUT_RATE).tobytes(), "audio/pcm"),
    "pcm of a declared rate": (tone(16_000).tobytes(), "audio/L16;rate=16000;channels=1"),
    "an odd byte at the end": (tone(OUTPUT_RATE).tobytes() + b"\x01", "audio/pcm"),
    "wav": (wav(24_000), "audio/wav"),
    "wav of another rate": (wav(22_050), "application/octet-stream"),
    "stereo": (wav(48_000, 2), "audio/x-wav"),
    "wav without a length": (streamed_wav(16_000), "audio/wav"),
    "wav of floats": (encoded("WAV", "FLOAT"), "audio/wav"),
    "wav with a chunk behind": (
        wav(24_000) + b"LIST\x1a\x00\x00\x00INFOISFT\x0e\x00\x00\x00Lavf59.27.100\x00",
        "",
    ),
    "flac": (encoded("FLAC"), "audio/flac"),
    "ogg": (encoded("OGG", "VORBIS"), "audio/ogg"),
    "mp3": (encoded("MP3"), "audio/mpeg"),
    "mp3 without a header": (frames(), "application/octet-stream"),
    "mp3 that is called pcm": (frames(), "audio/pcm"),
    "wav that is called mp3": (wav(24_000), "audio/mpeg"),
    "stereo pcm": (np.repeat(tone(16_000), 2).tobytes(), 'audio/L16; rate="16000"; channels=2'),
    "pcm in network order": (tone(24_000).astype(">i2").tobytes(), "audio/L16;rate=24000"),
    "two wavs": (wav(24_000, 1, 0.25) + wav(16_000, 2, 0.25), "audio/wav"),
    "two wavs without a length": (streamed_wav(24_000, 0.25) * 2, "audio/wav"),
    "two wavs with a chunk between": (
        wav(24_000, 1, 0.25) + b"LIST\x04\x00\x00\x00INFO" + wav(24_000, 1, 0.25),
        "audio/wav",
    ),
    "two oggs": (encoded("OGG", "VORBIS", 0.25) * 2, "audio/ogg"),
    "two flacs": (encoded("FLAC", None, 0.25) * 2, ""),
    "telephone": (ulaw(8_000), "audio/basic"),
}


@given(name=st.sampled_from(sorted(SOUNDS)), data=st.data())
def test_any_sound_in_any_pieces_is_half_a_second_of_440_hz(name: str, data: st.DataObject) -> None:
    body, kind = SOUNDS[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    decoder = SoundDecoder(kind, ENDPOINT)
    pieces = [decoder.feed(body[a:b]) for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    sound = np.concatenate([*pieces, decoder.flush()])
    assert len(sound) / OUTPUT_RATE == pytest.approx(0.5, abs=0.06)
    middle = sound[OUTPUT_RATE // 10 : OUTPUT_RATE * 3 // 10].astype(float)
    assert np.argmax(np.abs(np.fft.rfft(middle))) * 5 == pytest.approx(440, abs=5)
    assert np.abs(middle).max() == pytest.approx(8000, rel=0.1)


@pytest.mark.parametrize("body", [b"ID3\x04", b"OggS" + bytes(20), b"RIFF\x24\x00\x00\x00WAVE"])
def test_half_a_file_is_no_sound(body: bytes) -> None:
    decoder = SoundDecoder("", ENDPOINT)
    decoder.feed(body)
    with pytest.raises(GarbageError, match="where sound was asked for"):
        decoder.flush()


@pytest.mark.parametrize("kind", ["audio/mpeg", "application/json", "", "audio/wav"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no such voice"}}', "no such voice"),
        (b"<html><body>no such voice</body></html>", "no such voice"),
        (b"no such voice, I am afraid", "no such voice"),
    ],
)
def test_words_in_the_place_of_sound_are_told(kind: str, body: bytes, words: str) -> None:
    decoder = SoundDecoder(kind, ENDPOINT)
    assert not len(decoder.feed(body[:20]))
    decoder.feed(body[20:])
    with pytest.raises(GarbageError, match=words):
        decoder.flush()


@pytest.mark.parametrize("kind", ["audio/pcm", "", "application/octet-stream"])
def test_what_is_no_pcm_is_not_played_as_noise(kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, 20_000, np.uint8).tobytes()
    floats = np.sin(np.arange(5_000) / 9).astype("<f4").tobytes()
    for body in (noise, floats, noise[:4] + b"ftypM4A " + noise, b"\xff\xf1\x50\x80\x02\x1f\xfc" + noise):
        decoder = SoundDecoder(kind, ENDPOINT)
        with pytest.raises(GarbageError):  # noqa: PT012
            decoder.feed(body)
            decoder.flush()


def test_a_refused_format_is_not_asked_for_again() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        kind = (await request.json())["response_format"]
        asked.append(kind)
        if kind == "pcm":
            error = {"error": {"message": "response_format must be one of [flac mp3 wav]"}}
            return web.json_response(error, status=400)
        return web.Response(body=wav(22_050), content_type="audio/wav")

    async def main() -> None:
        async with server(answer) as base_url, OpenAiTts(options(base_url)) as tts:
            for _ in range(2):
                async with tts.speak("Hello to you.") as pieces:
                    assert sum([len(piece.samples) async for piece in pieces]) > 11_000

    run(main())
    assert asked == ["pcm", "wav", "wav"]


def as_json(value: object) -> tuple[str, str]:
    return json.dumps(value), "application/json"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        as_json({"text": " Good morning."}),
        as_json("Good morning."),
        as_json({"segments": [{"text": " Good"}, {"text": " morning."}]}),
        as_json([{"text": "Good morning."}]),
        as_json({"text": "x", "segments": [{"text": "Good morning."}, {"text": "Bye.", "no_speech_prob": 0.9,
                                                                       "avg_logprob": -1.4}]}),
        as_json({"text": "[BLANK_AUDIO] Good morning. ♪"}),
        as_json({"text": "Good morning.", "segments": [{"id": 0, "transcript": "x"}, {"no_speech_prob": "n/a"}]}),
        ("Good morning.\n", "text/plain"),
        ("Good morning.", ""),
    ],
)  # fmt: skip
def test_the_words_of_a_transcription_are_taken_in_any_shape(body: str, kind: str) -> None:
    assert transcript_text(body, kind) == "Good morning."


def test_a_number_is_a_word_too() -> None:
    assert transcript_text("42", "text/plain") == "42"


@pytest.mark.parametrize("rate", [1, 4_000_000_000])
def test_a_rate_that_cannot_be_is_refused(rate: int) -> None:
    header = bytearray(wav(24_000))
    header[24:28] = struct.pack("<I", rate)
    with pytest.raises(GarbageError, match=f"sound at {rate} Hz"):
        SoundDecoder("audio/wav", ENDPOINT).feed(bytes(header))


NOTHING = [
    "[BLANK_AUDIO]",
    "(silence)",
    "♪♪",
    "...",
    "[Music]",
    "*coughs*",
    "<|nospeech|>",
    "  ",
    "(wind) [NOISE]",
]


@pytest.mark.parametrize("text", NOTHING)
@pytest.mark.parametrize("shape", [lambda text: {"text": f" {text}\n"}, lambda text: text])
def test_marks_of_nothing_are_no_words(text: str, shape: Callable[[str], object]) -> None:
    assert transcript_text(*as_json(shape(text))) == ""


@pytest.mark.parametrize("text", ["Press (or hold) it.", "I *really* do.", "Wait... what?", "[laughs] Hi."])
def test_brackets_beside_words_are_no_marks(text: str) -> None:
    assert transcript_text(*as_json({"text": text})) == text


@pytest.mark.parametrize("body", ["<html>", '{"words": []}', "{oops", "5", "null"])
def test_what_is_no_transcription_is_none(body: str) -> None:
    assert transcript_text(body, "application/json") is None
