"""Whether a text is complete, by its words, in the languages of the table."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text.completeness import Completeness, completeness
from workbench.text.turn_words import entries, languages

UNFINISHED, DOUBTFUL, UNKNOWN, LIKELY, COMPLETE = Completeness
NUMBER, MAIL, PIN = "What is your phone number?", "What is your e-mail address?", "What is your PIN?"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("So, um,", UNFINISHED),
        ("um.", UNFINISHED),
        ("Hmm...", UNFINISHED),
        ("and", UNFINISHED),
        ("I would like to go to", UNFINISHED),
        ("I'd like a table for two, and", UNFINISHED),
        ("my name is", UNFINISHED),
        ("On Monday,", UNFINISHED),
        ("Let me see", UNFINISHED),
        ("What is the weather in Oslo?", COMPLETE),
        ("Yes.", COMPLETE),
        ("yes please, thank you", COMPLETE),
        ("no no no", COMPLETE),
        ("please stop", COMPLETE),
        ("Tell me a joke.", LIKELY),
        ("Tell me a joke", UNKNOWN),
        ("Hello. Tell me a joke", DOUBTFUL),
        ("Turn it on.", LIKELY),
        ("I think so", UNKNOWN),
        ("I want that as well.", LIKELY),
        ("Yes, I do.", LIKELY),
        ("I know that it is", UNKNOWN),
        ("", UNKNOWN),
        ("…", UNKNOWN),
    ],
)
def test_sentences_and_what_is_none(text: str, result: Completeness) -> None:
    assert completeness(text) is result


@pytest.mark.parametrize(
    ("text", "question", "result"),
    [
        ("My number is 555", "", UNFINISHED),
        ("My number is 555-123.", "", UNFINISHED),
        ("My number is 555-123-4567.", "", LIKELY),
        ("My number is 555-1234.", "", DOUBTFUL),
        ("five five five", "", UNFINISHED),
        ("555", "", UNFINISHED),
        ("Question number 1", "", UNKNOWN),
        ("My number is 55 5", "", UNFINISHED),
        ("555", NUMBER, UNFINISHED),
        ("It's 555", NUMBER, UNFINISHED),
        ("double five", NUMBER, UNFINISHED),
        ("oh two oh", "", UNFINISHED),
        ("12", PIN, UNFINISHED),
        ("1234", PIN, DOUBTFUL),
        ("Four", "How many people?", UNKNOWN),
        ("Four.", "What is the number of guests?", LIKELY),
        ("I was born in 1984", "", UNKNOWN),
        ("At 7:30", "", UNKNOWN),
        ("It costs 3.50", "", UNKNOWN),
        ("There were 300", "", UNKNOWN),
        ("I have twenty five", "", UNKNOWN),
        ("S M I T H", "", UNFINISHED),
        ("S-M-I", "How do you spell it?", UNFINISHED),
        ("plan B", "", UNKNOWN),
        ("john at", MAIL, UNFINISHED),
        ("john dot smith at gmail dot", MAIL, UNFINISHED),
        ("john.smith@gmail.com", MAIL, LIKELY),
        ("Sure, one moment", NUMBER, UNFINISHED),
    ],
)
def test_numbers_letters_and_addresses(text: str, question: str, result: Completeness) -> None:
    assert completeness(text, question) is result


OTHERS = {
    "es": (
        "mi número es cinco cinco cinco",
        "quisiera una mesa para",
        "pues",
        "¿Qué tiempo hace hoy?",
        "Sí, gracias.",
    ),
    "fr": (
        "mon numéro est zéro six douze",
        "je voudrais une table pour",
        "euh",
        "Quel temps fait-il ?",
        "Oui, merci.",
    ),
    "de": ("meine Nummer ist null eins sieben", "ich hätte gern einen", "ähm", "Wie heißt du?", "Ja, bitte."),
    "it": ("il mio numero è tre tre tre", "vorrei un tavolo per", "ehm", "Che tempo fa?", "Va bene, grazie"),
    "pt": ("meu número é nove um dois", "eu gostaria de", "hum", "Como está o tempo?", "Sim, obrigada."),
    "nl": ("mijn nummer is nul zes twaalf", "ik wil graag een", "ehm", "Hoe laat is het?", "Ja graag"),
    "ja": ("番号は〇九〇", "電話番号は", "えーと", "天気はどうですか？", "はい、お願いします"),
    "zh": ("我的号码是一三八", "我想要", "那个", "今天天气怎么样？", "好的，谢谢"),
    "ru": (
        "мой номер восемь девятьсот шестнадцать",
        "я хотел бы",
        "ну",
        "Какая сегодня погода?",
        "Да, спасибо.",
    ),
}


@pytest.mark.parametrize("language", OTHERS)
def test_other_languages(language: str) -> None:
    found = [completeness(text, "", language) for text in OTHERS[language]]
    assert found == [UNFINISHED, UNFINISHED, UNFINISHED, COMPLETE, COMPLETE]


@pytest.mark.parametrize("language", languages())
def test_what_stalls_is_unfinished_and_what_is_whole_is_not(language: str) -> None:
    for kind in ("fillers", "stalls", "open"):
        both = set(entries(language, "whole")) | set(entries(language, "closed"))
        for entry in set(entries(language, kind)) - both:
            assert completeness(f"{entry},", "", language) is UNFINISHED, entry
    for entry in entries(language, "whole"):
        assert completeness(f"{entry}.", "", language) >= UNKNOWN, entry


def test_nothing_is_known_in_a_language_without_a_table() -> None:
    assert completeness("och", "", "sv") is completeness("Ja?", "", "sv") is UNKNOWN


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text(max_size=500), st.text(max_size=50), st.sampled_from([*languages(), "sv", ""]))
def test_any_text_has_a_completeness(text: str, question: str, language: str) -> None:
    assert completeness(text, question, language) in Completeness
