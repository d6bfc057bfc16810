"""English words for numbers."""

from __future__ import annotations

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
ONES = f"zero one two three four five six seven eight nine {_TEENS}".split()
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"))
_CARDINALS, _ORDINALS = (
    "one two three five eight nine twelve",
    "first second third fifth eighth ninth twelfth",
)
ORDINALS = dict(zip(_CARDINALS.split(), _ORDINALS.split(), strict=True))
LARGEST = 10**15
"""From here on, numbers are read digit by digit."""


def cardinal(number: int) -> str:
    """Return words: `1234` → one thousand two hundred thirty-four."""
    if number < 0:
        return f"minus {cardinal(-number)}"
    if number >= LARGEST:
        return digits(str(number))
    words = []
    for size, name in SCALES:
        if number >= size:
            words.append(f"{_below_thousand(number // size)} {name}")
            number %= size
    if number or not words:
        words.append(_below_thousand(number))
    return " ".join(words)


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{ONES[hundreds]} hundred"] if hundreds else []
    if rest or not hundreds:
        words.append(_below_hundred(rest))
    return " ".join(words)


def _below_hundred(number: int) -> str:
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return f"{TENS[tens]}-{ONES[ones]}" if ones else TENS[tens]


def ordinal(number: int) -> str:
    """Return words: `22` → twenty-second."""
    words = cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    head, last = words[:cut], words[cut:]
    if last in ORDINALS:
        return head + ORDINALS[last]
    return head + (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")


def digits(text: str) -> str:
    """Return words: `042` → zero four two; other characters are left out."""
    return " ".join(ONES[int(digit)] for digit in text if digit.isdecimal())


def number(text: str) -> str:
    """Return words: `1,234.5` → one thousand two hundred thirty-four point five; `007` → zero zero seven."""
    whole, _, fraction = text.replace(",", "").partition(".")
    by_digit = len(whole) > 15 or (len(whole) > 1 and whole.startswith("0"))
    spoken = digits(whole) if by_digit else cardinal(int(whole or 0))
    return f"{spoken} point {digits(fraction)}" if fraction else spoken


def year(number: int) -> str:
    """Return words: `1984` → nineteen eighty-four; `2005` → two thousand five; `1905` → nineteen oh five."""
    century, rest = divmod(number, 100)
    if not 1100 <= number < 10_000 or (century % 10 == 0 and rest < 10):
        return cardinal(number)
    if not rest:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"
