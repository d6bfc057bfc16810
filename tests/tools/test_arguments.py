"""Arguments: what is put right, and what a model is told of the rest."""

# ruff: noqa: B006
from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field

from workbench.tools.arguments import ArgumentsError, summary_of
from workbench.tools.parameters import parameters_of


class Color(enum.Enum):
    RED = "#f00"
    BLUE = "#00f"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Odd(enum.Enum):
    ONE = (1,)
    TWO = (2,)


@dataclass
class Stop:
    city: str
    nights: int = 1


class Card(BaseModel):
    kind: Literal["card"]
    number: str


class Booking(BaseModel, strict=True):
    day: date
    seats: tuple[int, int]


class Cash(BaseModel):
    kind: Literal["cash"]
    amount: float


BOOKED = Booking(day=date(2026, 1, 31), seats=(1, 2))


def even(number: int) -> int:
    if number % 2:
        raise ValueError("odd numbers are not served")
    return number


def broken(number: int) -> int:
    raise KeyError("a bug of its own")


def weather(
    city: str, days: int = 1, unit: Literal["celsius", "fahrenheit"] = "celsius", exact: bool = False
) -> None: ...
def colors(color: Color, level: Level = Level.LOW, odd: Odd = Odd.ONE, few: list[Color] = []) -> None: ...
def trip(stops: list[Stop], prices: dict[str, int] | None = None) -> None: ...
def pay(by: Annotated[Card | Cash, Field(discriminator="kind")], tip: Card | Cash | None = None) -> None: ...
def book(booking: Booking) -> None: ...
def evenly(number: Annotated[int, AfterValidator(even)] = 2) -> None: ...
def badly(number: Annotated[int, AfterValidator(broken)]) -> None: ...
def either(value: int | list[int] | Literal["all"]) -> None: ...
def bounds(
    n: Annotated[int, Field(ge=1, le=7)],
    name: Annotated[str, Field(min_length=2)] = "xx",
    few: Annotated[list[int], Field(max_length=2)] = [],
) -> None: ...


def refusal(function: Any, text: str) -> str:
    with pytest.raises(ArgumentsError) as raised:
        parameters_of(function).parse(text)
    assert "pydantic" not in str(raised.value)
    assert str(raised.value) == " ".join(raised.value.problems)
    return str(raised.value)


@pytest.mark.parametrize(
    ("function", "text", "bound"),
    [
        (weather, '{"city": "Rome"}', {"city": "Rome"}),
        (
            weather,
            '{"city": "Rome", "days": "3", "exact": "true"}',
            {"city": "Rome", "days": 3, "exact": True},
        ),
        (weather, '{"city": 12, "days": 2.0}', {"city": "12", "days": 2}),
        (weather, '{"city": "Rome", "days": null, "unit": null}', {"city": "Rome"}),
        (colors, '{"color": "#f00"}', {"color": Color.RED}),
        (
            colors,
            '{"color": "red", "level": "HIGH", "odd": "TWO"}',
            {"color": Color.RED, "level": Level.HIGH, "odd": Odd.TWO},
        ),
        (
            colors,
            '{"color": "BLUE", "level": 2, "few": ["RED", "#00f"]}',
            {"color": Color.BLUE, "level": Level.HIGH, "few": [Color.RED, Color.BLUE]},
        ),
        (trip, '{"stops": [{"city": "Rome", "nights": null}]}', {"stops": [Stop("Rome")]}),
        (trip, '{"stops": [], "prices": null}', {"stops": [], "prices": None}),
        (pay, '{"by": {"kind": "card", "number": 5}}', {"by": Card(kind="card", number="5")}),
        (book, '{"booking": {"day": "2026-01-31", "seats": [1, 2]}}', {"booking": BOOKED}),
        (evenly, "", {}),
        (evenly, " {} ", {}),
        (either, '{"value": "all"}', {"value": "all"}),
    ],
)
def test_arguments_that_are_plainly_meant_are_converted(
    function: Any, text: str, bound: dict[str, Any]
) -> None:
    assert parameters_of(function).parse(text) == bound


@pytest.mark.parametrize(
    ("function", "text", "says"),
    [
        (weather, '{"city": "Rome", "days": "many", "unit": "kelvin"}',
         'days: must be a whole number, not "many". unit: must be one of "celsius", "fahrenheit", not "kelvin".'),
        (weather, '{"city": "Rome", "unit": "Celsius"}',
         'unit: must be one of "celsius", "fahrenheit", not "Celsius"; did you mean "celsius"?'),
        (weather, '{"town": "Rome", "dais": 1}',
         "city: must be given. town: there is no such argument; there are: city, days, unit, exact."
         " dais: there is no such argument; did you mean days?"),
        (weather, '{"city": null}', "city: must be text, not null."),
        (weather, '{"city": ["Rome"], "exact": "perhaps", "days": 1.5}',
         'city: must be text, not a list of 1. days: must be a whole number, not 1.5.'
         ' exact: must be true or false, not "perhaps".'),
        (colors, '{"color": "green", "level": "MID", "odd": "TREE"}',
         'color: must be one of "#f00", "#00f", not "green".'
         ' level: must be one of 1, 2, "LOW", "HIGH", not "MID". odd: must be one of "ONE", "TWO", not "TREE".'),
        (trip, '{"stops": [{"city": "Rome"}, {"nights": "x"}], "prices": {"a": {}}}',
         'stops[1].city: must be given. stops[1].nights: must be a whole number, not "x".'
         " prices.a: must be a whole number, not an empty object."),
        (trip, '{"stops": "Rome"}', 'stops: must be a list, not "Rome".'),
        (trip, '{"stops": ["Rome"]}', 'stops[0]: must be an object, not "Rome".'),
        (pay, '{"by": {"kind": "gold"}}', 'by.kind: must be one of "card", "cash", not "gold".'),
        (pay, '{"by": {}}', "by.kind: must be given."),
        (pay, '{"by": {"kind": "cash", "amount": "x"}}', 'by.amount: must be a number, not "x".'),
        (pay, '{"by": {"kind": "cash", "amount": 1}, "tip": {"kind": "cash"}}', "tip.amount: must be given."),
        (pay, '{"by": {"kind": "cash", "amount": 1}, "tip": 3}', "tip: must be an object, not 3."),
        (evenly, '{"number": 3}', "number: odd numbers are not served."),
        (badly, '{"number": 3}', "The arguments could not be checked:"
         " the check of badly's arguments raised KeyError: 'a bug of its own'."),
        (either, '{"value": "some"}', 'value: must be a whole number or a list or "all", not "some".'),
        (either, '{"value": [1, "x"]}', 'value[1]: must be a whole number, not "x".'),
        (bounds, '{"n": 9, "name": "x", "few": [1, 2, 3]}',
         'n: must be at most 7, not 9. name: must be text of at least 2 characters, not "x".'
         ' few: must be at most 2 long, not a list of 3.'),
    ],
)  # fmt: skip
def test_wrong_arguments_are_explained_in_sentences(function: Any, text: str, says: str) -> None:
    assert refusal(function, text) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"city": "Rome"', "The arguments are not valid JSON: Expecting ',' delimiter at line 1, column 16"),
        ('{"city":\n\n 1x}', "at line 3, column 3"),
        ("Rome", "The arguments are not valid JSON: Expecting value at line 1, column 1, near \"Rome\""),
        ('["Rome"]', "must be a JSON object with their names, not a list of 1"),
        ("null", "must be a JSON object with their names, not null"),
        ('{"city": "Rome", "city": "Pisa"}', '"city" is given twice'),
        ('{"city": NaN}', "NaN is not JSON"),
        ('{"city": -Infinity}', "-Infinity is not JSON"),
        ('{"city": 1e999}', "1e999 is too large for a number"),
        ('{"city": ' + "9" * 5000 + "}", "a number with too many digits"),
        ('{"city": "' + "x" * 1_000_000 + '"}', "too long: 1,000,012 characters, 1,000,000 at most"),
        ('{"city": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply: 64 levels"),
        ('{"city": ' + "[" * 64 + "]" * 64 + "}", "nested too deeply: 64 levels"),
        ('{"city": "\\ud800"}', "half of a surrogate pair"),
        ('{"\\udfff": 1}', "half of a surrogate pair"),
        ('{"city": "' + chr(0xD800) + '"}', "half of a surrogate pair"),
    ],
    ids=range(16),
)  # fmt: skip
def test_text_that_is_no_json_is_explained(text: str, says: str) -> None:
    problem = refusal(weather, text)
    assert says in problem
    assert len(problem) < 250


def test_a_surrogate_pair_is_one_character() -> None:
    assert parameters_of(weather).parse('{"city": "\\ud83d\\ude00"}') == {"city": "😀"}


def test_many_problems_are_counted_and_large_values_shortened() -> None:
    many = ", ".join(f'"x{number}": 1' for number in range(30))
    with pytest.raises(ArgumentsError) as raised:
        parameters_of(weather).parse(f'{{"city": "Rome", {many}}}')
    assert len(raised.value.problems) == 11
    assert raised.value.problems[-1] == "And more problems: 20."
    assert len(refusal(weather, '{"city": "Rome", "days": "' + "\\u001b[31m\\n" * 10_000 + '"}')) < 200


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (10**10_000, "a very large whole number"),
        ("a\x1b[31mb\nc", '"ab c"'),
        ("x" * 100, f'"{"x" * 59}…"'),
        ([], "an empty list"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "an object with a, b, c, …"),
    ],
    ids=range(8),
)
def test_a_value_in_a_message_is_short_and_plain(value: object, text: str) -> None:
    assert summary_of(value) == text


def test_the_nearest_of_many_choices_is_suggested() -> None:
    make: Any = enum.Enum
    many = make("Many", [(f"N{number}", f"choice {number}") for number in range(100)])

    def tool(one: str) -> None: ...

    tool.__annotations__["one"] = many
    problem = refusal(tool, '{"one": "choise 77"}')
    assert 'did you mean "choice 77"?' in problem
    assert "or one of 80 more" in problem
