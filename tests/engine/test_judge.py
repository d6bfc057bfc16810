"""What it was that the user said into a reply."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.barge_in import BACKCHANNELS, Evidence, content_words, judge, words
from workbench.engine.settings import BargeInSettings
from workbench.model.conversation import Transcript

KNOBS = BargeInSettings()
NOTHING = Evidence(
    since_onset_ms=100,
    next_ms=20,
    voiced_ms=100,
    silent=False,
    transcript=None,
    covered=False,
    partials=True,
    echo=0.0,
)


def said(text: str, confidence: float | None = 0.9) -> Transcript:
    return Transcript(text, 1000, confidence=confidence)


@pytest.mark.parametrize(
    ("signs", "verdict"),
    [
        ({}, None),
        ({"transcript": said("stop")}, ("interruption", "words")),
        ({"transcript": said("mhm, wait")}, ("interruption", "words")),
        ({"transcript": said("stop", None)}, ("interruption", "words")),
        ({"transcript": said("stop", 0.1)}, None),
        ({"transcript": said("stop", float("nan"))}, None),
        ({"transcript": said("Mhm. Uh-huh!")}, None),
        ({"transcript": said("mhm"), "silent": True, "covered": True}, ("false", "backchannel")),
        ({"transcript": said("mhm"), "silent": True}, None),
        ({"transcript": said(""), "silent": True, "covered": True}, ("false", "no words")),
        ({"silent": True, "covered": True}, ("false", "no words")),
        ({"voiced_ms": 590.0}, None),
        ({"voiced_ms": 400.0, "partials": False}, ("interruption", "speech of 400 ms")),
        ({"voiced_ms": 399.0, "partials": False}, None),
        ({"voiced_ms": 200.0, "partials": False, "silent": True}, ("false", "too short (200 ms)")),
        ({"since_onset_ms": 580.0}, None),
        ({"since_onset_ms": 581.0}, ("false", "no words within 600 ms")),
        (
            {"transcript": said("fine thank you"), "echo": 0.7},
            ("false", "echo of ourselves (correlation 0.70)"),
        ),
        ({"transcript": said("fine thank you"), "echo": float("nan")}, ("interruption", "words")),
    ],
)
def test_the_sign_that_decides(signs: dict[str, object], verdict: tuple[str, str] | None) -> None:
    found = judge(replace(NOTHING, **signs), KNOBS)  # type: ignore[arg-type]
    assert (None if found is None else (found.kind, found.reason)) == verdict


@pytest.mark.parametrize("word", sorted(BACKCHANNELS))
def test_no_backchannel_takes_the_floor(word: str) -> None:
    assert content_words(said(f"{word.capitalize()}."), KNOBS) == 0


def test_as_many_words_as_the_setting_says() -> None:
    settings = BargeInSettings(min_words=3)
    two = replace(NOTHING, transcript=said("oh wait please"))
    assert judge(two, settings) is None
    assert judge(replace(NOTHING, transcript=said("oh wait please, no")), settings) is not None


def test_words_have_no_punctuation() -> None:
    assert words("Don't, mm-hmm… “Zürich” 3.5!") == ["dont", "mmhmm", "zürich", "3", "5"]


@settings(deadline=None, derandomize=True)
@given(
    st.builds(
        Evidence,
        since_onset_ms=st.floats(0, 2000),
        next_ms=st.floats(0, 40),
        voiced_ms=st.floats(0, 2000),
        silent=st.booleans(),
        transcript=st.one_of(st.none(), st.builds(said, st.text(max_size=20), st.floats(0, 1))),
        covered=st.booleans(),
        partials=st.booleans(),
        echo=st.floats(0, 1),
    )
)
def test_there_is_a_verdict_before_it_is_too_late(signs: Evidence) -> None:
    if signs.since_onset_ms + signs.next_ms > KNOBS.verdict_ms:
        assert judge(signs, KNOBS) is not None
