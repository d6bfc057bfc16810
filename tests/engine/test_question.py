"""What the agent has just asked, and what becomes of an answer that begins before the question has ended."""

from __future__ import annotations

import pytest

from tests.engine.support.scenario import Outcome, Scenario, run
from workbench.engine.question import question_in
from workbench.simulation.scripted import ScriptedLlm, ScriptedStt
from workbench.simulation.synthesis import SECONDS_PER_CHARACTER, Score
from workbench.text.turn_words import entries, languages

QUESTIONS = {
    "en": ("Shall I book it for seven?", "Yes."),
    "es": ("¿Lo reservo para las siete?", "Vale."),
    "fr": ("Je réserve pour sept heures ?", "D'accord."),
    "de": ("Soll ich für sieben buchen?", "Genau."),
    "it": ("Prenoto per le sette?", "Certo."),
    "pt": ("Reservo para as sete?", "Sim."),
    "nl": ("Zal ik voor zeven boeken?", "Prima."),
    "ja": ("それでは今日の夜の七時に予約しましょうか？", "はい"),
    "zh": ("我给您订今天晚上七点靠窗的桌子可以吗？", "好的"),
    "ru": ("Забронировать на семь?", "Да."),
}


@pytest.mark.parametrize(
    ("played", "unplayed", "question"),
    [
        ("Shall I book it for seven?", "", "Shall I book it for seven?"),
        ("Shall I book it for", "seven?", "Shall I book it for seven?"),
        ("Good. Shall I book it for", "seven? Then I will.", "Shall I book it for seven?"),
        ("Shall I", "book a table for the four of you at the window for seven?", ""),
        ("It is sunny. It will be", "warm too.", ""),
        ("Shall I book it?", "I have one by the window.", "Shall I book it?"),
        ("Shall I book it? We have one by the", "window, and another one in the garden.", "Shall I book it?"),
        (
            "Shall I? We open at nine, and we close at six, on Sundays too. And there is more to it than that.",
            "",
            "",
        ),
        ("What is your phone number? It is on the card.", "", "What is your phone number?"),
        ("Please tell me your name.", "", "Please tell me your name."),
        ("Your total is 3.5 euros.", "", ""),
        ("", "", ""),
        ("你好。我订七点可以", "吗？", "我订七点可以吗？"),
    ],
)
def test_which_question_is_open(played: str, unplayed: str, question: str) -> None:
    assert question_in(played, unplayed, "zh" if "订" in played else "en") == question


def test_every_language_has_every_list() -> None:
    for language in languages():
        for kind in (
            "backchannels",
            "fillers",
            "stalls",
            "open",
            "closed",
            "whole",
            "digits",
            "joints",
            "dictated",
            "asks",
        ):
            assert entries(language, kind), (language, kind)
            assert len(entries(language, "backchannels")) >= 40, language


def answered(language: str, overlap_s: float, *, partials: bool = True) -> Outcome:
    question, answer = QUESTIONS[language]
    score = Score(noise_db=-65.0).silence(0.5).say("please")
    end = score.seconds + 0.37 + len(question) * SECONDS_PER_CHARACTER
    score.say(answer, at=end - overlap_s, seconds=0.4).silence(3.0)
    stt, llm = ScriptedStt(score, partials=partials), ScriptedLlm([question, "Very well."])
    return run(Scenario(score, stt=stt, llm=llm, language=language))


@pytest.mark.parametrize("language", QUESTIONS)
@pytest.mark.parametrize("overlap_s", [0.6, 0.1, -0.5])
def test_an_answer_over_the_end_of_a_question_is_a_turn(language: str, overlap_s: float) -> None:
    texts = [text for _, text, _ in answered(language, overlap_s).turns]
    assert texts == ["please", QUESTIONS[language][1]]


def test_it_is_one_too_where_words_come_late() -> None:
    texts = [text for _, text, _ in answered("en", 0.3, partials=False).turns]
    assert texts == ["please", "Yes."]


def test_a_backchannel_into_a_statement_is_none() -> None:
    score = (
        Score(noise_db=-65.0).silence(0.5).say("please").silence(1.2).say("Yes.", seconds=0.4).silence(6.0)
    )
    llm = ScriptedLlm(
        ["This is a rather long answer, so that there is time to say something before it is over."]
    )
    outcome = run(Scenario(score, stt=ScriptedStt(score, partials=True), llm=llm))
    assert [(status, text) for status, text, _ in outcome.turns] == [("done", "please")]
