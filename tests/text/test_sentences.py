"""Cutting a growing text into what is spoken at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text import sentences
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


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "en-GB",
            "The answer to this question lies in the air, not in the sea, I think. Yes, really.",
            [
                "The answer to this question lies ",
                "in the air, ",
                "not in the sea, I think. ",
                "Yes, really.",
            ],
        ),
        ("en", "Bees make honey, but they do more.", ["Bees make honey, ", "but they do more."]),
        (
            "en",
            "The best is a byword indeed by [a and b](x) c.",
            ["The best is a byword indeed ", "by [a and b](x) c."],
        ),
        ("de", "Das Wetter ist heute schön und warm.", ["Das Wetter ist heute schön ", "und warm."]),
        ("fi", "Sää on tänään kaunis ja lämmin in Turku.", ["Sää on tänään kaunis ja lämmin in Turku."]),
    ],
)
def test_a_slow_voice_is_given_the_first_phrase(language: str, text: str, expected: list[str]) -> None:
    for step in (1, 3, len(text)):
        chunker = Chunker(12, 200, language, phrases=True)
        cut = [chunk for at in range(0, len(text), step) for chunk in chunker.feed(text[at : at + step])]
        assert [*cut, *chunker.flush()] == expected


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


def cut(text: str, language: str = "en", piece: int = 1, first: int = 12, most: int = 200) -> list[str]:
    """The chunks of a text that arrives in pieces of so many characters."""
    chunker = Chunker(first, most, language)
    chunks = [
        chunk for at in range(0, len(text), piece) for chunk in chunker.feed(text[at : at + piece])
    ] + chunker.flush()
    assert "".join(chunks) == text
    return [chunk.strip() for chunk in chunks]


SCRIPTS = {
    "zh": ["您好，我可以帮您查询订单。", "请告诉我您的订单号，谢谢！", "我们会在三天内发货。"],
    "ja": ["今日はとても良い天気ですね。", "「散歩に行きませんか？」", "公園までは三キロくらいです。"],
    "hi": ["आज मौसम बहुत अच्छा है।", "क्या आप टहलने चलेंगे?", "पार्क तीन किलोमीटर दूर है।"],
    "ar": ["الطقس جميل جدا اليوم.", "هل تريد أن نتمشى؟", "الحديقة قريبة من هنا."],
    "ur": ["آج موسم بہت اچھا ہے۔", "کیا آپ سیر کو چلیں گے؟", "باغ یہاں سے قریب ہے۔"],
    "hy": ["Այսօր եղանակը շատ լավ է։", "Եկեք զբոսնենք միասին։", "Այգին մոտ է։"],
    "ko": ["오늘은 날씨가 정말 좋네요.", "산책하러 갈까요?", "공원까지는 삼 킬로미터입니다."],
    "ru": ["Сегодня хорошая погода.", "Пойдём гулять?", "До парка три километра."],
}
NO_SPACES = {"zh", "ja"}


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
@pytest.mark.parametrize("language", SCRIPTS)
def test_sentences_of_every_script_are_chunks_of_their_own(language: str, piece: int) -> None:
    text = ("" if language in NO_SPACES else " ").join(SCRIPTS[language])
    assert cut(text, language, piece) == SCRIPTS[language]


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_a_block_of_code_is_one_chunk(piece: int) -> None:
    code = "```python\nimport os\n\nfor name in os.listdir('.'):\n    print(name. upper())\n```"
    chunks = cut(f"Sure, here it is.\n\n{code}\n\nRun it with Python.", piece=piece)
    assert chunks == ["Sure, here it is.", code, "Run it with Python."]


def test_a_block_of_code_that_is_not_closed_is_one_chunk() -> None:
    code = "```\nfirst. second\nthird. " + "x" * 300
    assert cut(f"Here it is.\n{code}") == ["Here it is.", code]


@pytest.mark.parametrize("piece", [1, 4, 1000])
def test_a_link_is_never_cut(piece: int) -> None:
    link = "[our page. It is new, too, and quite long: so have a look](https://example.com/a_b)"
    chunks = cut(f"Please look at {link} today. Goodbye.", piece=piece)
    assert [chunk for chunk in chunks if link in chunk], chunks
    assert chunks[-1] == "Goodbye."


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("de", ["Wir sehen uns am 5. Mai um 3 Uhr.", "Das sind ca. 20 Leute, z. B. Freunde."]),
        ("en", ["We met Dr. Smith on Sept. 5 at 3 p.m. with friends.", "It was in 2020.", "Then we left."]),
        ("es", ["El Sr. López vive en EE. UU. desde hace años.", "¿Lo conoces?"]),
        ("fr", ["C'est Mme. Dupont qui vous répondra aujourd'hui.", "Merci !"]),
    ],
)
def test_abbreviations_and_ordinals_end_no_sentence(language: str, sentences: list[str]) -> None:
    assert cut(" ".join(sentences), language, first=30) == sentences


def test_the_number_of_a_list_stays_with_its_item() -> None:
    assert cut("1. Take the bus.\n2. Get off.\n") == ["1. Take the bus.", "2. Get off."]


def test_long_text_without_marks_is_cut_but_not_in_a_word() -> None:
    words = "天気" * 50 + "OpenTelemetry" + "天気" * 100
    assert all("OpenTelemetry" in chunk or "penTel" not in chunk for chunk in cut(words, "zh", most=60))


def test_backticks_within_a_line_begin_no_block() -> None:
    assert cut("```ls``` lists the files. Then do this.") == ["```ls``` lists the files.", "Then do this."]


PIECES = [
    *["well, ", "3.5 ", "Dr. ", "No. 5 ", "No. ", "a.m. ", "B. ", "yes. ", "no! ", "so: "],
    *["…", "... ", "Word", "word ", "[a. b", "](", "http://x.y/z", ")", "] "],
    *["\n", "\n\n", " ", "- ", "1. ", "z. B. ", "```", "```py\n", "\n```\n", "~~"],
    *["。", "？", "」", "天気", "、", "กำลัง", "เ", "👩\u200d👧", "🇩🇪", "é", "e\u0301", '"', "x" * 30],
]  # fmt: skip


@settings(deadline=None, derandomize=True, max_examples=500)
@given(
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.lists(st.integers(1, 40), min_size=1),
    st.sampled_from(["en", "de"]),
)
def test_however_a_text_arrives_its_chunks_are_the_same(text: str, steps: list[int], language: str) -> None:
    whole, pieces = Chunker(12, 60, language), Chunker(12, 60, language)
    found, at = [], 0
    while at < len(text):
        step = steps[at % len(steps)]
        found += pieces.feed(text[at : at + step])
        at += step
    assert found + pieces.flush() == whole.feed(text) + whole.flush()


class Meter:
    """A pattern that counts the characters it is shown."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.seen = pattern, 0

    def _count(self, text: str, start: int, stop: int | None) -> tuple[int, int]:
        stop = len(text) if stop is None else stop
        self.seen += max(0, stop - start)
        return start, stop

    def search(self, text: str, start: int = 0, stop: int | None = None) -> re.Match[str] | None:
        return self.pattern.search(text, *self._count(text, start, stop))

    def finditer(self, text: str, start: int = 0, stop: int | None = None) -> Iterator[re.Match[str]]:
        return self.pattern.finditer(text, *self._count(text, start, stop))


@pytest.mark.parametrize("text", ["```\ncode\n", "[", "word ", "天", "```\n" * 2, "a`b ~~~"])
def test_the_work_grows_as_the_text_does(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("FENCE", "HALF_FENCE", "LINK", "SENTENCE", "CLAUSE", "ABBREVIATION")

    def work(size: int) -> int:
        meters = [Meter(getattr(sentences, name)) for name in names]
        for name, meter in zip(names, meters, strict=True):
            if not isinstance(getattr(sentences, name), Meter):
                monkeypatch.setattr(sentences, name, meter)
        chunker = Chunker(12, 200)
        whole = text * (size // len(text))
        for at in range(0, len(whole), 10):
            chunker.feed(whole[at : at + 10])
        monkeypatch.undo()
        return sum(meter.seen for meter in meters)

    assert work(40_000) < 6 * work(10_000)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "en",
            "We met at 5 a.m. We left at 6 p.m. and slept.",
            ["We met at 5 a.m.", "We left at 6 p.m. and slept."],
        ),
        ("en", "Is that right? No. That is wrong.", ["Is that right?", "No.", "That is wrong."]),
        (
            "en",
            "It is No. 5 on p. 7 of Vol. 2. Acme Inc. said so.",
            ["It is No. 5 on p. 7 of Vol. 2.", "Acme Inc. said so."],
        ),
        (
            "en",
            "Wait... what? (Yes.) He said “stop.” Then he left.",
            ["Wait... what?", "(Yes.)", "He said “stop.”", "Then he left."],
        ),
        (
            "en",
            "See example.com/a.b?c=d. It is v1.2.3 now.",
            ["See example.com/a.b?c=d.", "It is v1.2.3 now."],
        ),
        (
            "de",
            "Am 3. Oktober, d. h. morgen, z. B. um 10.30 Uhr. Gut.",
            ["Am 3. Oktober, d. h. morgen, z. B. um 10.30 Uhr.", "Gut."],
        ),
        (
            "es",
            "El Dr. Ruiz, p. ej., vive en EE. UU. hoy. ¿Sí?",
            ["El Dr. Ruiz, p. ej., vive en EE. UU. hoy.", "¿Sí?"],
        ),
        (
            "zh",
            "他说：“你好。”然后走了……真的吗？！是的。",
            ["他说：“你好。”", "然后走了……", "真的吗？！", "是的。"],
        ),
        ("my", "နေကောင်းလား။ ကျေးဇူးတင်ပါတယ်။", ["နေကောင်းလား။", "ကျေးဇူးတင်ပါတယ်။"]),
        ("am", "ሰላም ነው። ደህና ነኝ።", ["ሰላም ነው።", "ደህና ነኝ።"]),
        (
            "ru",
            "Это стоит 5 руб. и т. д. в Москве. Хорошо.",
            ["Это стоит 5 руб. и т. д. в Москве.", "Хорошо."],
        ),
    ],
)
def test_sentences_of_other_kinds(language: str, text: str, expected: list[str]) -> None:
    chunker = Chunker(1, 200, language)
    chunker.feed("Yes. ")
    assert [chunk.strip() for chunk in [*chunker.feed(text), *chunker.flush()]] == expected


def test_a_long_text_is_cut_in_no_sign() -> None:
    for sign in ("👩\u200d👩\u200d👧", "ก็", "เก้า", "🇩🇪", "👍🏽", "क्ष", "e\u0301", "각"):
        for chunk in cut("天" * 7 + sign * 200, "zh", most=50):
            assert not chunk.replace("天", "").replace(sign, ""), (sign, chunk)


def test_endless_marks_take_no_time() -> None:
    assert "".join(cut("。" * 4_000, "zh", piece=1000)) == "。" * 4_000
