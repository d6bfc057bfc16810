"""Cutting a growing text into what is spoken at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text.sentences import LONGEST_FIRST, Chunker


def chunks(text: str, step: int = 1, first: int = 12, most: int = 200) -> list[str]:
    chunker = Chunker(first, most)
    cut = [chunk for at in range(0, len(text), step) for chunk in chunker.feed(text[at : at + step])]
    return [*cut, *chunker.flush()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Well, yes, of course. That is fine.", ["Well, yes, of course. ", "That is fine."]),
        ("Good morning, how are you? I am well.", ["Good morning, ", "how are you? ", "I am well."]),
        ("Yes. It is. Indeed it is so.", ["Yes. It is. ", "Indeed it is so."]),
        ("It costs 3.5 million, or 1,000,000 euros.", ["It costs 3.5 million, ", "or 1,000,000 euros."]),
        (
            "Ask Dr. Smith at 5 p.m. in St. Louis. Then go.",
            ["Ask Dr. Smith at 5 p.m. in St. Louis. ", "Then go."],
        ),
        ("The U.S. army, e.g. its J. R. Smith. Yes.", ["The U.S. army, ", "e.g. its J. R. Smith. ", "Yes."]),
        ('He said "Stop it now!" Then he left.', ['He said "Stop it now!" ', "Then he left."]),
        ("One two three\nfour five six\n\nseven", ["One two three\n", "four five six\n", "\nseven"]),
        ("No end in sight", ["No end in sight"]),
        ("", []),
        ("  \n ", []),
    ],
)
def test_the_first_clause_is_spoken_alone_then_sentences(text: str, expected: list[str]) -> None:
    assert chunks(text) == expected


def test_a_chunk_is_there_as_soon_as_it_is_complete() -> None:
    chunker = Chunker(12, 200)
    assert chunker.feed("Good morning,") == []
    assert chunker.feed(" ") == ["Good morning, "]
    assert chunker.feed("I am") == []
    assert chunker.feed(" well. And") == ["I am well. "]
    assert chunker.flush() == ["And"]


def test_a_long_first_clause_ends_at_a_word() -> None:
    first, *_ = chunks("word " * 40)
    assert len(first) == LONGEST_FIRST
    assert first.endswith("word ")


def test_a_long_sentence_is_cut_at_a_clause_but_not_at_an_abbreviation() -> None:
    text = "To begin with, " + "some words, e.g. these and those and those " * 3 + "end"
    cut = chunks(text, most=60)
    assert all(len(chunk) <= 60 for chunk in cut[1:])
    assert not any(chunk.rstrip().endswith("e.g.") for chunk in cut)


WORDS = st.sampled_from(
    [
        "well,",
        "3.5",
        "1,000",
        "Dr.",
        "Smith",
        "e.g.",
        "U.S.",
        "yes.",
        "no!",
        "what?",
        "a–b",
        "so:",
        "…",
        "\n",
        " ",
    ]
)
TEXTS = st.one_of(st.text(max_size=400), st.lists(WORDS, max_size=80).map(" ".join))


@settings(deadline=None, derandomize=True)
@given(TEXTS, st.integers(1, 50), st.integers(1, 60), st.integers(20, 200))
def test_chunks_joined_are_the_text(text: str, step: int, first: int, most: int) -> None:
    joined = "".join(chunks(text, step, first, most))
    assert text.startswith(joined)
    assert not text[len(joined) :].strip()


@settings(deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=80).map(" ".join), st.integers(1, 50))
def test_no_number_and_no_abbreviation_is_cut(text: str, step: int) -> None:
    cut = chunks(text, step)
    assert [word for chunk in cut for word in chunk.split()] == text.split()
    for chunk in cut[:-1]:
        ends_at_limit = len(chunk) >= LONGEST_FIRST - 10
        assert ends_at_limit or chunk.split()[-1] not in ("Dr.", "e.g.", "U.S.")


@settings(deadline=None, derandomize=True)
@given(TEXTS, st.integers(1, 50), st.integers(1, 60), st.integers(20, 200))
def test_no_chunk_is_longer_than_allowed(text: str, step: int, first: int, most: int) -> None:
    _, *rest = chunks(text, 1, first, most) or [""]
    assert all(len(chunk.strip()) <= max(most, LONGEST_FIRST) + step for chunk in rest)
