"""Which part of a reply's text was heard."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.played_text import PlayedText, ReplyChunk, split_played
from workbench.model.audio import OUTPUT_RATE
from workbench.model.conversation import Word

MS = OUTPUT_RATE // 1000


def chunk(
    text: str, start_ms: int, end_ms: int | None, *, words: bool = False, voice_ms: int = 0
) -> ReplyChunk:
    """A chunk whose words are spread evenly over its time."""
    made = ((end_ms if end_ms is not None else start_ms + 1000) - start_ms) * MS
    spoken = text.split()
    each = made / MS / max(1, len(spoken))
    return ReplyChunk(
        text,
        start_ms * MS,
        None if end_ms is None else end_ms * MS,
        made,
        start_ms * MS + voice_ms * MS,
        [Word(word, each * at, each * (at + 1)) for at, word in enumerate(spoken)] if words else [],
        len(spoken),
    )


def test_words_whose_end_was_played_count_as_played() -> None:
    text = [chunk("One two, ", 0, 1000, words=True), chunk("three four five.", 1000, 2500, words=True)]
    assert split_played(text, 0) == PlayedText("", "One two, three four five.", False)
    assert split_played(text, 999 * MS) == PlayedText("One", "two, three four five.", False)
    assert split_played(text, 1000 * MS) == PlayedText("One two,", "three four five.", False)
    assert split_played(text, 1999 * MS) == PlayedText("One two, three", "four five.", False)
    assert split_played(text, 2000 * MS) == PlayedText("One two, three four", "five.", False)
    assert split_played(text, 2500 * MS) == PlayedText("One two, three four five.", "", False)


def test_without_word_times_syllables_share_the_voiced_part_and_it_is_a_guess() -> None:
    text = [chunk("an immediate end", 0, 1100, voice_ms=100)]  # 1 + 3 or 4 + 1 syllables in 1 s
    assert split_played(text, 150 * MS) == PlayedText("", "an immediate end", True)
    assert split_played(text, 400 * MS) == PlayedText("an", "immediate end", True)
    assert split_played(text, 1000 * MS) == PlayedText("an immediate", "end", True)


def test_a_reply_played_to_its_end_is_not_estimated() -> None:
    assert split_played([chunk("One two.", 0, 500)], 500 * MS) == PlayedText("One two.", "", False)


def test_an_unfinished_chunk_counts_the_samples_it_has() -> None:
    assert split_played([chunk("one two", 0, None)], 999 * MS) == PlayedText("one", "two", True)


def test_words_of_the_spoken_form_are_mapped_to_those_written() -> None:
    """`$5` is written in one word and spoken in two."""
    one = chunk("that costs $5 today", 0, 1000)
    one.words = [
        Word(word, 200 * at, 200 * (at + 1))
        for at, word in enumerate(["that", "costs", "five", "dollars", "today"])
    ]
    one.spoken_words = 5
    assert split_played([one], 450 * MS).played == "that"
    assert split_played([one], 800 * MS).played == "that costs $5"
    assert split_played([one], 1000 * MS).played == "that costs $5 today"


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -1.0])
def test_strange_word_times_lose_no_text(garbage: float) -> None:
    one = chunk("one two three", 0, 1000)
    one.words = [Word("one", 0, garbage)] * 9
    result = split_played([one], 500 * MS)
    assert f"{result.played} {result.unplayed}".split() == ["one", "two", "three"]


Chunks = st.lists(
    st.tuples(
        st.text(st.sampled_from("aeb cd.,\n1"), max_size=30),
        st.integers(0, 900),
        st.booleans(),
        st.integers(0, 300),
    ),
    max_size=6,
)


@settings(deadline=None, derandomize=True)
@given(Chunks, st.integers(0, 4000), st.booleans())
def test_played_and_unplayed_add_up_to_the_text(
    parts: list[tuple[str, int, bool, int]], played_ms: int, unfinished: bool
) -> None:
    made, at = [], 0
    for text, length, words, voice in parts:
        made.append(chunk(text, at, at + length, words=words, voice_ms=min(voice, length)))
        at += length
    if made and unfinished:
        made[-1].end = None
    result = split_played(made, min(played_ms, at) * MS)
    whole = "".join(text for text, *_ in parts)
    assert "".join((result.played + result.unplayed).split()) == "".join(whole.split())
    if played_ms == 0:
        assert not result.played.strip()


@settings(deadline=None, derandomize=True)
@given(Chunks, st.lists(st.integers(0, 4000), min_size=2, max_size=2).map(sorted))
def test_more_samples_played_are_more_words_played(
    parts: list[tuple[str, int, bool, int]], played_ms: list[int]
) -> None:
    made, at = [], 0
    for text, length, words, voice in parts:
        made.append(chunk(text, at, at + length, words=words, voice_ms=min(voice, length)))
        at += length
    less, more = (split_played(made, min(ms, at) * MS).played for ms in played_ms)
    assert more.startswith(less)


def test_scripts_without_spaces_are_cut_at_a_sign() -> None:
    text = "今天天气很好，我们去公园吧。"  # 12 signs in 1.2 s
    assert split_played([chunk(text, 0, 1200)], 350 * MS).played == "今天天"
    assert split_played([chunk(text, 0, 1200)], 650 * MS).played == "今天天气很好，"
    assert split_played([chunk(text, 0, 1200)], 1150 * MS) == PlayedText(text[:-2], text[-2:], True)


def test_mixed_scripts_share_the_time_by_syllables() -> None:
    text = "请用 OpenAI 的接口。"  # 2 + 3 + 3 syllables
    assert split_played([chunk(text, 0, 800)], 210 * MS).played == "请用"
    assert split_played([chunk(text, 0, 800)], 510 * MS).played == "请用 OpenAI"
    assert split_played([chunk(text, 0, 800)], 610 * MS).played == "请用 OpenAI 的"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_word_times_of_scripts_without_spaces_count_by_their_letters(size: int) -> None:
    text = "今天，天气很好。"
    one = chunk(text, 0, 600)
    signs = text.replace("，", "").replace("。", "")
    one.words = [
        Word(signs[at : at + size], 100 * at, 100 * min(6, at + size)) for at in range(0, len(signs), size)
    ]
    one.spoken_words = 1
    assert split_played([one], 300 * MS).played == text[: {1: 4, 2: 3, 3: 4}[size]]
    assert split_played([one], 600 * MS).played == text


SIGNS = [
    "เก้า",
    "ก็",
    "กำ",
    "👩\u200d👧",
    "🇩🇪",
    "e\u0301",
    "क्ष",
    "天",
    "「",
    "」",
    "。",
    "word ",
    " ",
    "カー",
    "각",
    "，",
]


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(SIGNS), max_size=20), st.floats(0, 1))
def test_no_estimated_cut_lies_within_a_sign(signs: list[str], share: float) -> None:
    text = "".join(signs)
    played = split_played([chunk(text, 0, 1000)], int(share * 1000) * MS).played
    rest = text.lstrip()[len(played) :]
    cuts = {len("".join(signs[:count])) for count in range(len(signs) + 1)}
    assert len(text) - len(rest) in cuts | {at - 1 for at in cuts if text[at - 1 : at] == " "}
