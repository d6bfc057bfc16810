"""Words of no voice are no words, and the same words spoken clearly are."""

from __future__ import annotations

import json

import pytest

from workbench.engine.utterance import Utterance
from workbench.model.audio import Frame, silence
from workbench.model.conversation import Transcript
from workbench.model.events import Notice
from workbench.providers.openai.stt import confidence_of
from workbench.text.made_up import is_made_up
from workbench.trace.trace import Trace

MADE_UP = [
    "Thank you.",
    "Thanks for watching!",
    " Thank you. Thank you. Thank you.",
    "Thank you for watching, bye bye.",
    "Don't forget to subscribe!",
    "Subtitles by the Amara.org community",
    "Untertitel der Amara.org-Community",
    "Vielen Dank fürs Zuschauen!",
    "Untertitelung des ZDF, 2020",
    "Sous-titres réalisés par la communauté d'Amara.org",
    "Merci d'avoir regardé cette vidéo !",
    "¡Suscríbete!",
    "Gracias por ver el video.",
    "Subtítulos realizados por la comunidad de Amara.org",
    "Sottotitoli creati dalla comunità Amara.org",
    "Obrigado por assistir!",
    "Продолжение следует...",
    "Субтитры сделал DimaTorzok",
    "ご視聴ありがとうございました。",
    "谢谢观看",
    "字幕由Amara.org社区提供",
    "시청해주셔서 감사합니다.",
    "شكرا للمشاهدة",
]


@pytest.mark.parametrize("text", MADE_UP)
def test_without_a_voice_they_are_made_up_and_by_a_clear_one_they_are_said(text: str) -> None:
    assert is_made_up(text, None, 96.0, 0.9)
    assert is_made_up(text, 0.2, 900.0, 0.95)
    assert is_made_up(text, None, 900.0, 0.55)
    assert not is_made_up(text, None, 1500.0, 0.93)
    assert not is_made_up(text, 0.8, 1500.0, 0.93)
    assert not is_made_up(text, None, 0.0, 0.0), "no VAD has listened, and the model says nothing"


@pytest.mark.parametrize(
    "text", ["Thank you, what does it cost?", "Stop.", "", "...", "What are subtitles?", "Ja.", "はい", "42"]
)
def test_other_words_need_no_evidence(text: str) -> None:
    assert not is_made_up(text, 0.1, 50.0, 0.4)


def spoken(voiced_ms: float, probability: float) -> tuple[Utterance, Trace]:
    trace = Trace(lambda: 0.0)
    utterance = Utterance(1, 0, trace)
    utterance.begin_segment(Frame(silence(16_000), 16_000, 0), 0)
    for _ in range(int(voiced_ms / 32)):
        utterance.voice(8000, 32.0, probability)
    utterance.become("ended")
    return utterance, trace


def test_a_segment_takes_no_made_up_words_and_says_why() -> None:
    utterance, trace = spoken(96, 0.6)
    utterance.segments[0].write(Transcript("Thank you.", 16_000))
    assert utterance.content == "", "a partial one cuts no reply"
    utterance.segments[0].write(Transcript("Thank you.", 16_000, final=True))
    assert utterance.content == ""
    notices = [entry.event for entry in trace.since(0) if isinstance(entry.event, Notice)]
    assert len(notices) == 1
    assert "'Thank you.' was heard in 96 ms of voice" in notices[0].reason


def test_a_clear_thank_you_is_a_turn_and_so_is_a_typed_one() -> None:
    utterance, _ = spoken(480, 0.95)
    utterance.segments[0].write(Transcript("Thank you.", 16_000, final=True))
    assert utterance.content == "Thank you."
    typed = Utterance(2, 0)
    typed.add_text("Thank you.")
    assert typed.content == "Thank you."


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ({"text": "Hi", "segments": [{"avg_logprob": -0.1, "no_speech_prob": 0.01}]}, 0.896),
        ({"text": "Thank you.", "segments": [{"avg_logprob": -0.4, "no_speech_prob": 0.8}]}, 0.134),
        ({"text": "Hi", "segments": [{"avg_logprob": None, "no_speech_prob": 0.01}]}, None),
        ({"text": "Hi", "segments": []}, None),
        ({"text": "Hi"}, None),
        ("Hi", None),
        ([{"text": "Hi", "avg_logprob": 0, "no_speech_prob": 2}], 0.0),
    ],
)
def test_the_confidence_of_a_verbose_answer(answer: object, wanted: float | None) -> None:
    assert confidence_of(json.dumps(answer)) == wanted
    assert confidence_of("no JSON") is None
