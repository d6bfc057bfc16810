"""Which evidence decides whether the user interrupts a reply."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.barge_in import BACKCHANNELS, Evidence, Verdict, content_words, judge, words
from workbench.engine.settings import BargeInSettings
from workbench.model.conversation import Transcript

SETTINGS = BargeInSettings()
KEEP_PAUSED = (Verdict.KEEP_PAUSED, "")
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
    ("evidence", "verdict"),
    [
        ({}, KEEP_PAUSED),
        ({"transcript": said("stop")}, (Verdict.CUT, "words")),
        ({"transcript": said("mhm, wait")}, (Verdict.CUT, "words")),
        ({"transcript": said("stop", None)}, (Verdict.CUT, "words")),
        ({"transcript": said("stop", 0.1)}, KEEP_PAUSED),
        ({"transcript": said("stop", float("nan"))}, KEEP_PAUSED),
        ({"transcript": said("Mhm. Uh-huh!")}, KEEP_PAUSED),
        ({"transcript": said("mhm"), "silent": True, "covered": True}, (Verdict.RESUME, "backchannel")),
        ({"transcript": said("mhm"), "silent": True}, KEEP_PAUSED),
        ({"transcript": said(""), "silent": True, "covered": True}, (Verdict.RESUME, "no words")),
        ({"silent": True, "covered": True}, (Verdict.RESUME, "no words")),
        ({"voiced_ms": 590.0}, KEEP_PAUSED),
        ({"voiced_ms": 400.0, "partials": False}, (Verdict.CUT, "speech of 400 ms")),
        ({"voiced_ms": 399.0, "partials": False}, KEEP_PAUSED),
        ({"voiced_ms": 200.0, "partials": False, "silent": True}, (Verdict.RESUME, "too short (200 ms)")),
        ({"since_onset_ms": 580.0}, KEEP_PAUSED),
        ({"since_onset_ms": 581.0}, (Verdict.RESUME, "no words within 600 ms")),
        (
            {"transcript": said("fine thank you"), "echo": 0.7},
            (Verdict.ECHO, "echo of ourselves (correlation 0.70)"),
        ),
        ({"transcript": said("fine thank you"), "echo": float("nan")}, (Verdict.CUT, "words")),
    ],
)
def test_the_first_sign_decides(evidence: dict[str, object], verdict: tuple[Verdict, str]) -> None:
    judgement = judge(replace(NOTHING, **evidence), SETTINGS)  # type: ignore[arg-type]
    assert (judgement.verdict, judgement.reason) == verdict


@pytest.mark.parametrize("word", sorted(BACKCHANNELS))
def test_no_backchannel_takes_the_floor(word: str) -> None:
    assert content_words(said(f"{word.capitalize()}."), SETTINGS) == 0


def test_min_words_must_be_reached_to_interrupt() -> None:
    settings = BargeInSettings(min_words=3)
    two = replace(NOTHING, transcript=said("oh wait please"))
    assert judge(two, settings).verdict is Verdict.KEEP_PAUSED
    assert judge(replace(NOTHING, transcript=said("oh wait please, no")), settings).verdict is Verdict.CUT


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
def test_there_is_a_verdict_before_it_is_too_late(evidence: Evidence) -> None:
    if evidence.since_onset_ms + evidence.next_ms > SETTINGS.verdict_ms:
        assert judge(evidence, SETTINGS).verdict is not Verdict.KEEP_PAUSED
