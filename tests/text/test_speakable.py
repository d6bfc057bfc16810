from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text.numerals import cardinal, number, ordinal, year
from workbench.text.speakable import speakable


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (1_001, "one thousand one"),
        (12_345_678, "twelve million three hundred forty-five thousand six hundred seventy-eight"),
        (-7, "minus seven"),
        (10**15, "one" + " zero" * 15),
    ],
)
def test_cardinals(value: int, words: str) -> None:
    assert cardinal(value) == words


def test_ordinals_and_years() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 8, 9, 12, 20, 21, 100)] == [
        "first",
        "second",
        "third",
        "eighth",
        "ninth",
        "twelfth",
        "twentieth",
        "twenty-first",
        "one hundredth",
    ]
    assert [year(n) for n in (1984, 1905, 1900, 2000, 2005, 2024, 800)] == [
        "nineteen eighty-four",
        "nineteen oh five",
        "nineteen hundred",
        "two thousand",
        "two thousand five",
        "twenty twenty-four",
        "eight hundred",
    ]
    assert [number(text) for text in ("1,234.50", "007", "0.5")] == [
        "one thousand two hundred thirty-four point five zero",
        "zero zero seven",
        "zero point five",
    ]


MARKUP = [
    (
        "Hello **world**! This is *great*, ~~bad~~, __so__ _so_ and `code`.",
        "Hello world! This is great, bad, so so and code.",
    ),
    ("# Title\n\nSome text\n\n- one\n- two\n* [x] done", "Title. Some text. one. two. done."),
    ("1. first\n2. second!", "one: first. two: second!"),
    ("See [the docs](https://example.com/a?b=c) and ![a cat](cat.png).", "See the docs and a cat."),
    ("> quoted\n> text", "quoted text"),
    ("| a | b |\n|---|---|\n| c | d |", "a, b. c, d."),
    ("one\n\n---\n\ntwo", "one. two"),
    (
        "Try:\n```python\nprint(1)\n\nx = 2\n```\nThat is it.",
        "Try: A code example in python, two lines. That is it.",
    ),
    ("```\nx", "A code example, one line."),
    ("<b>bold</b> &amp; more<br>line &lt;3", "bold and more line"),
    ("snake_case and 2*3*4", "snake case and two times three times four"),
    (r"a \*star\*", "a star"),
]
ADDRESSES = [
    ("Mail joe.doe+x@my-site.com.", "Mail joe dot doe plus x at my dash site dot com."),
    (
        "Go to https://www.example.com/path/to-page?x=1#y.",
        "Go to example dot com slash path slash to dash page.",
    ),
    ("See example.org, ok?", "See example dot org, ok?"),
    ("at 192.168.0.1 now", "at one hundred ninety-two dot one hundred sixty-eight dot zero dot one now"),
    ("http://localhost:8080/", "localhost colon eight zero eight zero"),
]
AMOUNTS = [
    ("$1,234.56", "one thousand two hundred thirty-four dollars and fifty-six cents"),
    ("$1", "one dollar"),
    ("$0.99, £3.01 or €5", "ninety-nine cents, three pounds and one penny or five euros"),
    (
        "$3.5 million, $5k, $2bn",
        "three point five million dollars, five thousand dollars, two billion dollars",
    ),
    ("20 EUR, 5€, -$4", "twenty euros, five euros, minus four dollars"),
    ("$5-$10", "five to ten dollars"),
    ("¥500", "five hundred yen"),
    ("12.5% of 1,000,000", "twelve point five percent of one million"),
    (
        "5 km, 1 kg, 20°C, 1 km/h",
        "five kilometers, one kilogram, twenty degrees Celsius, one kilometer per hour",
    ),
    ("6 ft, 1 ft, 250ms", "six feet, one foot, two hundred fifty milliseconds"),
    ("1st, 22nd", "first, twenty-second"),
    (
        "1/2 cup, 3/4, 2/3, 24/7, 9/11",
        "one half cup, three quarters, two thirds, twenty-four seven, nine eleven",
    ),
    ("24/7/365 since 01/02/03", "twenty-four seven, three sixty-five since zero one, zero two, zero three"),
    ("5 ft 10 in tall, 3 in all", "five foot ten tall, three in all"),
    ("ping fe80::1 at 10:15", "ping f e eight zero colon colon one at ten fifteen"),
    ("5-10 people, 3–4", "five to ten people, three to four"),
    (
        "-5 degrees, 8 - 3 = 5, 2+2, 10^3",
        "minus five degrees, eight minus three equals five, two plus two, ten to the power of three",
    ),
    ("v2.0, 3.11.7, .5", "version two point zero, three point eleven point seven, point five"),
    (
        "room 007, COVID-19, B2B, GPT-4o, #1",
        "room zero zero seven, COVID-nineteen, B two B, GPT-four o, number one",
    ),
    ("½ of ¾", "one half of three quarters"),
]
TIMES = [
    (
        "14:30, 3:05 pm, 9:00, 12pm, 5 p.m. or 16:00",
        "fourteen thirty, three oh five p m, nine o'clock, twelve p m, five p m or sixteen hundred",
    ),
    ("10:30-11:00 and 5–6 pm", "ten thirty to eleven o'clock and five to six p m"),
    ("25:70", "twenty-five to seventy"),
    ("17.05.2024", "May seventeenth, twenty twenty-four"),
    (
        "2024-05-17 or 05/17/2024",
        "May seventeenth, twenty twenty-four or May seventeenth, twenty twenty-four",
    ),
    (
        "May 3rd, 2021; 17 May 2024; Sept. 5; May 1999",
        "May third, twenty twenty-one; May seventeenth, twenty twenty-four; September fifth; May nineteen ninety-nine",
    ),
    (
        "In 1984, from 2019 to 2023, the 1990s",
        "In nineteen eighty-four, from twenty nineteen to twenty twenty-three, the nineteen nineties",
    ),
    ("in 1500 words; May I have 3?", "in one thousand five hundred words; May I have three?"),
]
PHONES = [
    ("+1 (555) 123-4567", "plus one, five five five, one two three, four five six seven"),
    (
        "555-123-4567 or 555-1234",
        "five five five, one two three, four five six seven or five five five, one two three four",
    ),
    ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
]
SIGNS = [
    ("Great job 🎉👍🏽! 👨\u200d👩\u200d👧 ok ❤️ 1️⃣", "Great job! ok one"),
    ("👍", ""),
    ("***", ""),
    ("", ""),
    ("Tom & Jerry, e.g. Dr. Who etc.", "Tom and Jerry, for example Doctor Who et cetera"),
    ("yes — no … maybe → done", "yes, no... maybe, done"),
    ("\x1b[31mred\x1b[0m \u202eevil\x07", "red evil"),
    ("Grüße, 你好!", "Grüße, 你好!"),
]


@pytest.mark.parametrize(("text", "spoken"), [*MARKUP, *ADDRESSES, *AMOUNTS, *TIMES, *PHONES, *SIGNS])
def test_written_text_becomes_speakable(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


WRITTEN = st.text(alphabet="0123456789 .,:-/$€%*_`#[]()|<>&@+=amp\n", max_size=60)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.one_of(WRITTEN, st.text(max_size=60)))
def test_any_text_becomes_speakable(text: str) -> None:
    spoken = speakable(text)
    assert not re.search(r"[0-9*`|<>\[\]\\$€]", spoken)
    assert not [sign for sign in spoken if unicodedata.category(sign) in ("Cc", "Cs")]
    assert spoken == spoken.strip()


CODES = [
    ("Your number is 5551234567.", "Your number is five five five one two three four five six seven."),
    ("Call 030123456 now.", "Call zero three zero one two three four five six now."),
    ("It cost 25000000 in all.", "It cost twenty-five million in all."),
    ("Your booking code is AB12-34CD.", "Your booking code is A B one two, three four C D."),
    ("The reference is X7K2QP.", "The reference is X seven K two Q P."),
    (
        "Account 1234-5678-9012-3456.",
        "Account one two three four, five six seven eight, nine zero one two, three four five six.",
    ),
    ("ISBN 978-3-16-148410-0", "ISBN nine seven eight, three, one six, one four eight four one zero, zero"),
    ("Your PIN is 4821.", "Your PIN is four eight two one."),
    (
        "It starts at 2025-03-04T10:05:00Z.",
        "It starts at March fourth, twenty twenty-five at ten oh five U T C.",
    ),
    ("at 2025-12-24 18:00", "at December twenty-fourth, twenty twenty-five at eighteen hundred"),
    ("It took 1:02:03.", "It took one oh two and three seconds."),
    ("COVID-19, B2B, MP3, GPT-4", "COVID-nineteen, B two B, MP three, GPT-four"),
]
MEANING = [
    ("Keep it if x < 5.", "Keep it if x is less than five."),
    ("if a >= b and b != 3", "if a is at least b and b is not three"),
    ("x<5 or y > 2", "x is less than five or y is greater than two"),
    ("<10% and >5 people", "less than ten percent and more than five people"),
    ("x^2 + 1", "x squared plus one"),
    ("2^10, y^3, e^x", "two to the power of ten, y cubed, e to the power of x"),
    ("about ~5 km", "about about five kilometers"),
    ("5+ years", "five or more years"),
    ("a -> b", "a, b"),
    ("I <3 you", "I love you"),
]


@pytest.mark.parametrize(("written", "spoken"), CODES)
def test_digits_that_are_no_amount_are_read_one_by_one(written: str, spoken: str) -> None:
    assert speakable(written) == spoken


@pytest.mark.parametrize(("written", "spoken"), MEANING)
def test_no_sign_that_changes_the_meaning_is_dropped(written: str, spoken: str) -> None:
    assert speakable(written) == spoken


FOREIGN = [
    ("de", "Das kostet **12,50 €** und dauert 3 Tage.", "Das kostet 12,50 € und dauert 3 Tage."),
    ("de-AT", "1. Äpfel\n2. Birnen", "1. Äpfel. 2. Birnen."),
    ("es", "Son las 10:30, 50 % más. 😀", "Son las 10:30, 50 % más."),
    ("fr", "Voici :\n```python\nprint(1)\n```\nVoilà !", "Voici: Voilà!"),
    ("zh", "价格是 **¥12.50**。[这里](https://example.com/a?b=c)", "价格是 ¥12.50。这里"),
    ("it", "Vedi https://www.example.it/orari?x=1 per favore", "Vedi example.it/orari per favore"),
]


@pytest.mark.parametrize(("language", "written", "spoken"), FOREIGN)
def test_numbers_of_other_languages_are_left_to_the_voice(language: str, written: str, spoken: str) -> None:
    assert speakable(written, language) == spoken


@given(text=st.text(max_size=200), language=st.sampled_from(["en", "de", "ja", "ar", "pt-BR"]))
def test_any_text_in_any_language_becomes_one_line_without_markup(text: str, language: str) -> None:
    spoken = speakable(text, language)
    assert "\n" not in spoken
    assert not re.search(r"[*`|{}\\]", spoken)


def test_backticks_within_a_line_take_nothing_away() -> None:
    assert speakable("```ls``` lists the files. Then do this.") == "ls lists the files. Then do this."


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("1½ cups, 2 3/4, ½", "one and a half cups, two and three quarters, one half"),
        ("31/12/2024 and 2024/05/01", "December thirty-first, twenty twenty-four and May first, twenty twenty-four"),
        ("v1.2.3", "version one point two point three"),
        ("2.5e-3 or 10^-3 or 10⁻³", "two point five times ten to the power of minus three"
         " or ten to the power of minus three or ten to the power of minus three"),
        ("$3tn, 5$, ₹500", "three trillion dollars, five dollars, five hundred rupees"),
        ("50 ¢, CHF 5", "fifty cents, five francs"),
        ("US$5, $-5, $.50, $5–10", "five U S dollars, minus five dollars, fifty cents, five to ten dollars"),
        ("the '90s and the 80s", "the nineties and the eighties"),
        ("<5 minutes, <3 seconds", "less than five minutes, less than three seconds"),
        ("3–5, 10%–20%, 20°C-25°C, 9am-5pm", "three to five, ten percent to twenty percent,"
         " twenty degrees Celsius to twenty-five degrees Celsius, nine a m to five p m"),
        ("2020-2024", "twenty twenty to twenty twenty-four"),
        ("1998–99", "nineteen ninety-eight to nineteen ninety-nine"),
        ("a 3:1 ratio in 16:9", "a three to one ratio in sixteen to nine"),
        ("3x faster, 1.5x, 2x4", "three times faster, one point five times, two by four"),
        ("C++ and C#", "C plus plus and C sharp"),
        ("No. 5 on p. 12, Fig. 3", "number five on page twelve, figure three"),
        ("020 7946 0958", "zero two zero, seven nine four six, zero nine five eight"),
        ("10.0.0.1:8080", "ten dot zero dot zero dot one port eight zero eight zero"),
        ("10k, 1M users, 5+", "ten thousand, one million users, five plus"),
        ("x², m³, E=mc²", "x squared, m cubed, E equals mc squared"),
        ("6'2\" tall", "six foot two tall"),
        ("on the 7th of May 2024", "on the seventh of May twenty twenty-four"),
        ("Your OTP is 123456, #12345-67", "Your OTP is one two three four five six,"
         " number one two three four five, six seven"),
        ("Call 911. 10s of people", "Call nine one one. tens of people"),
        ("€1.234,56, 1 000 000", "one thousand two hundred thirty-four euros and fifty-six cents, one million"),
    ],
)  # fmt: skip
def test_numbers_beside_signs_are_read_as_people_do(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


@pytest.mark.parametrize("language", ["de", "es", "fr", "ja", "zh-CN", "ru"])
@pytest.mark.parametrize(
    "text",
    ["<5", "5 > 3", "10^-3", "~5", "1.234,56 €", "10.30 Uhr", "+49 30 1234567", "3–5", "50 %", "#1", "C++"],
)
def test_other_languages_are_left_to_the_voice(language: str, text: str) -> None:
    assert speakable(text, language) == text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("- 你好。\n- 再见！\n", "你好。 再见！"),
        ("# 标题：\n**重点**是`代码`", "标题： 重点是代码"),
        ("| 名 | 价 |\n|---|---|\n| 油 | 5 |", "名, 价. 油, 5."),
        ("看[这里](http://x.y)。👨‍👩‍👧", "看这里。"),
        ("说明[^1]。\n\n[^1]: 注释", "说明。 注释"),
    ],
)
def test_markup_in_other_scripts(text: str, spoken: str) -> None:
    assert speakable(text, "zh") == spoken
