"""Which evidence decides whether the user interrupts a reply."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.barge_in import Evidence, Verdict, judge, takes_floor
from workbench.engine.settings import BargeInSettings
from workbench.model.conversation import Transcript
from workbench.text.turn_words import backchannels, entries, languages

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
            {"transcript": said("fine thank you"), "echo": 0.7, "own_words": True},
            (Verdict.ECHO, "echo of ourselves (0.70 of the sound)"),
        ),
        ({"transcript": said("fine thank you"), "echo": 0.7}, (Verdict.CUT, "words")),
        (
            {"transcript": said("fine", 0.1), "echo": 0.7},
            (Verdict.ECHO, "echo of ourselves (0.70 of the sound)"),
        ),
        (
            {"since_onset_ms": 581.0, "voiced_ms": 500.0, "certainty": 0.95},
            (Verdict.WAIT, "speech goes on, no words yet"),
        ),
        (
            {"since_onset_ms": 581.0, "voiced_ms": 500.0, "certainty": 0.7},
            (Verdict.RESUME, "no words within 600 ms"),
        ),
        (
            {"since_onset_ms": 581.0, "voiced_ms": 300.0, "certainty": 0.95},
            (Verdict.RESUME, "no words within 600 ms"),
        ),
        (
            {"since_onset_ms": 3990.0, "voiced_ms": 3500.0, "certainty": 0.95},
            (Verdict.RESUME, "no words within 4000 ms"),
        ),
        ({"transcript": said("fine thank you"), "echo": float("nan")}, (Verdict.CUT, "words")),
    ],
)
def test_the_first_sign_decides(evidence: dict[str, object], verdict: tuple[Verdict, str]) -> None:
    judgement = judge(replace(NOTHING, **evidence), SETTINGS)  # type: ignore[arg-type]
    assert (judgement.verdict, judgement.reason) == verdict


@pytest.mark.parametrize("language", [*languages(), "de-AT", "zh_TW", "sw"])
def test_no_backchannel_takes_the_floor(language: str) -> None:
    for word in backchannels(language):
        for spoken in (word, f"{word.capitalize()}.", f"{word}, {word}!", word.replace("-", " ").upper()):
            assert not takes_floor(said(spoken), SETTINGS, language), spoken


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "stop"),
        ("en", "yes but wait"),
        ("en", "no"),
        ("es", "espera"),
        ("es", "sí, pero no"),
        ("fr", "non, arrêtez"),
        ("de", "nein"),
        ("de", "ja aber"),
        ("it", "no, aspetti"),
        ("pt", "espera um pouco"),
        ("nl", "nee wacht"),
        ("ja", "待って"),
        ("ja", "はい、でも違います"),
        ("zh", "停"),
        ("zh", "对不起，等一下"),
        ("ru", "нет"),
        ("ru", "да, но подождите"),
        ("ko", "잠깐만요"),
    ],
)
def test_other_words_take_it(language: str, text: str) -> None:
    assert takes_floor(said(text), SETTINGS, language)


def test_stretched_sounds_are_backchannels_too() -> None:
    for text in ("Mmmhm.", "Yeahhh", "mm-hmm", "MM-HM", "Oooh!", "Uh-huh, uh-huh."):
        assert not takes_floor(said(text), SETTINGS)
    assert not takes_floor(said("うーーん、そうですねー"), SETTINGS, "ja")


ANSWERS = {
    "en": ("Yes.", "Okay.", "Sure.", "mhm", "Seven."),
    "es": ("Sí.", "Vale", "Claro", "Siete"),
    "fr": ("Oui.", "D'accord.", "Bien sûr"),
    "de": ("Ja.", "Genau", "Gut"),
    "it": ("Sì.", "Va bene", "Certo"),
    "pt": ("Sim.", "Claro", "Tá bom"),
    "nl": ("Ja.", "Prima", "Goed"),
    "ja": ("はい", "うん", "そうです"),
    "zh": ("是的", "好", "对"),
    "ru": ("Да.", "Хорошо", "Угу"),
}


@pytest.mark.parametrize("language", ANSWERS)
def test_after_a_question_a_backchannel_is_an_answer_and_a_hesitation_is_not(language: str) -> None:
    for text in ANSWERS[language]:
        assert takes_floor(said(text), BargeInSettings(min_words=3), language, "?"), text
        assert not takes_floor(said(text), BargeInSettings(min_words=3), language), text
    for text in entries(language, "fillers"):
        assert not takes_floor(said(text), SETTINGS, language, "?"), text


def test_the_settings_replace_the_list() -> None:
    settings = BargeInSettings(backchannels="go on, of course")
    assert settings.backchannels == ("go on", "of course")
    assert not takes_floor(said("Of course, go on."), settings)
    assert takes_floor(said("mhm"), settings)


def test_min_words_must_be_reached_to_interrupt() -> None:
    settings = BargeInSettings(min_words=3)
    two = replace(NOTHING, transcript=said("oh wait please"))
    assert judge(two, settings).verdict is Verdict.KEEP_PAUSED
    assert judge(replace(NOTHING, transcript=said("oh wait please, no")), settings).verdict is Verdict.CUT


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
        certainty=st.floats(0, 1),
    )
)
def test_there_is_a_verdict_before_it_is_too_late(evidence: Evidence) -> None:
    if evidence.since_onset_ms + evidence.next_ms > SETTINGS.verdict_ms:
        assert judge(evidence, SETTINGS).verdict is not Verdict.KEEP_PAUSED
