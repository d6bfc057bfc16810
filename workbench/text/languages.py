"""Languages by tag and by name, as speech recognizers know them."""

from __future__ import annotations

from functools import cache

from workbench.text.turn_words import tag

AUTO = "auto"
"""In the place of a language: found in each utterance."""
NAMES = """
af Afrikaans, ar Arabic, az Azerbaijani, be Belarusian, bg Bulgarian, bn Bengali, bs Bosnian, ca Catalan, cs
Czech, cy Welsh, da Danish, de German, el Greek, en English, es Spanish, et Estonian, eu Basque, fa Persian,
fi Finnish, fr French, gl Galician, gu Gujarati, he Hebrew, hi Hindi, hr Croatian, hu Hungarian, hy Armenian,
id Indonesian, is Icelandic, it Italian, ja Japanese, ka Georgian, kk Kazakh, km Khmer, kn Kannada, ko Korean,
lo Lao, lt Lithuanian, lv Latvian, mi Maori, mk Macedonian, ml Malayalam, mn Mongolian, mr Marathi, ms Malay,
mt Maltese, my Myanmar, ne Nepali, nl Dutch, nn Nynorsk, no Norwegian, pa Punjabi, pl Polish, ps Pashto, pt
Portuguese, ro Romanian, ru Russian, si Sinhala, sk Slovak, sl Slovenian, so Somali, sq Albanian, sr Serbian,
su Sundanese, sv Swedish, sw Swahili, ta Tamil, te Telugu, tg Tajik, th Thai, tk Turkmen, tl Tagalog, tr
Turkish, tt Tatar, uk Ukrainian, ur Urdu, uz Uzbek, vi Vietnamese, yi Yiddish, yo Yoruba, yue Cantonese, zh
Chinese
"""


@cache
def _names() -> dict[str, str]:
    pairs = [entry.split() for entry in NAMES.split(",")]
    return {pair[0]: pair[1] for pair in pairs}


@cache
def _tags() -> dict[str, str]:
    variants = {
        "mandarin": "zh",
        "castilian": "es",
        "flemish": "nl",
        "burmese": "my",
        "moldavian": "ro",
        "jw": "jv",
    }
    return {**variants, **{name.lower(): code for code, name in _names().items()}}


def tag_of(language: str) -> str:
    """Return the tag of a language that a recognizer names (`german`, `de`, `de-DE`: de); empty for none."""
    word = language.strip().lower()
    first = tag(word)
    return _tags().get(word) or (first if first.isalpha() and len(first) in (2, 3) else "")


def name_of(language: str) -> str:
    """Return the English name of a language by its tag; the tag itself where it is not known."""
    return _names().get(tag(language), language)
