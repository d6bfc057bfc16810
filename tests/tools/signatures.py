"""Forty signatures as people write them, each with arguments that a model might give."""

# ruff: noqa: B006, B008, RUF013, UP007, UP045
from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union
from uuid import UUID

from pydantic import BaseModel, Field
from typing_extensions import TypedDict, Unpack

FORTY: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {}
"""By name: the function, and arguments that fit it."""


def sample(**arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds a function under its name."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        FORTY[function.__name__] = (function, arguments)
        return function

    return add


class Unit(enum.Enum):
    """Of a temperature."""

    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Priority(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Shape(enum.Enum):
    DOT = (0, 0)
    LINE = (0, 1)


class Point(NamedTuple):
    latitude: float
    longitude: float = 0.0


class Filter(TypedDict, total=False):
    word: str
    limit: int


@dataclass
class Stop:
    city: str
    nights: int = 1
    notes: list[str] = field(default_factory=list)


class Guest(BaseModel):
    """Somebody who comes."""

    name: str = Field(min_length=1, description="As on the passport.")
    age: int | None = None


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class Card(BaseModel):
    kind: Literal["card"]
    number: str


class Cash(BaseModel):
    kind: Literal["cash"]
    amount: float


@sample()
def no_parameters() -> str:
    """Tell the time."""
    return ""


@sample(city="Rome")
def one_text(city: str) -> None: ...


@sample(a="x", b=1, c=1.5, d=True)
def scalars(a: str, b: int, c: float, d: bool) -> None: ...


@sample(city="Rome", days=None)
def defaults(
    city: str, days: int = 3, unit: str = "celsius", exact: bool = False, factor: float = 1.5
) -> None: ...


@sample(city="Rome", country=None)
def optionals(city: str | None, country: Optional[str] = None, days: int | None = 3) -> None: ...


@sample(city="Rome", days=2)
def google_style(city: str, days: int = 1) -> str:
    """Tell the weather.

    It looks at the next days.

    Args:
        city: Where,
            as people call it.
        days (int): How many.

    Returns:
        A sentence.
    """
    return ""


@sample(amount=1.5, years=3)
def numpy_style(amount: float, years: int = 1) -> float:
    """Compute a rate.

    Parameters
    ----------
    amount : float
        What is borrowed.
    years : int, optional
        Until it is paid back.

    Returns
    -------
    float
        A month.
    """
    return 0.0


@sample(text="x")
def rest_style(text: str, times: int = 1) -> None:
    """Say something.

    :param text: what
    :type text: str
    :param times: how often
    :returns: nothing
    """


@sample(city="Rome", days=2)
def annotated(
    city: Annotated[str, "Where."], days: Annotated[int, Field(ge=1, le=7, description="How many.")]
) -> None: ...


@sample(unit="celsius", size=2, mixed="a")
def literals(
    unit: Literal["celsius", "fahrenheit"], size: Literal[1, 2], mixed: Literal["a", 1, None] = 1
) -> None: ...


@sample(only="yes")
def constant(only: Literal["yes"]) -> None: ...


@sample(unit="FAHRENHEIT")
def text_enum(unit: Unit = Unit.CELSIUS) -> None: ...


@sample(priority="HIGH")
def number_enum(priority: Priority) -> None: ...


@sample(shape="line")
def odd_enum(shape: Shape = Shape.DOT) -> None: ...


@sample(stops=[{"city": "Rome", "nights": "2"}, {"city": "Pisa", "notes": None}])
def dataclasses(stops: list[Stop]) -> None: ...


@sample(words={"word": "x", "limit": None})
def typed_dict(words: Filter) -> None: ...


@sample(place={"latitude": 1})
def named_tuple(place: Point, other: Point = Point(1, 2)) -> None: ...


@sample(guest={"name": "Ada"})
def model(guest: Annotated[Guest, "Who."], others: list[Guest] = []) -> None: ...


@sample(tree={"value": 1, "children": [{"value": 2, "children": []}]})
def recursive(tree: Tree) -> None: ...


@sample(tree={"value": 1, "children": []})
def recursive_described(tree: Annotated[Tree, "The root."]) -> None: ...


@sample(value=1, other=["a"])
def unions(value: int | str, other: Union[list[str], Point, bool]) -> None: ...


@sample(by={"kind": "cash", "amount": 3})
def discriminated(by: Annotated[Card | Cash, Field(discriminator="kind")]) -> None: ...


@sample(by={"kind": "card", "number": 42})
def union_of_models(by: Card | Cash) -> None: ...


@sample(words=["a"], grid=[[1], []], few={"x"} and ["x", "x"])
def lists(words: list[str], grid: list[list[int]], few: set[str], more: Sequence[float] = ()) -> None: ...


@sample(pair=[1, "x"], same=[1, 2], any_length=[True])
def tuples(pair: tuple[int, str], same: tuple[int, int], any_length: tuple[bool, ...]) -> None: ...


@sample(words=["a"], name="xy")
def bounded(
    words: Annotated[list[str], Field(min_length=1, max_length=3)],
    name: Annotated[str, Field(min_length=2, max_length=10, pattern="^[a-z]+$")],
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    dozen: Annotated[int, Field(multiple_of=12)] = 12,
) -> None: ...


@sample(day="2026-01-31", at="2026-01-31T14:30:00Z", clock="14:30:00Z", length="PT1H30M")
def times(day: date, at: datetime, clock: time, length: timedelta = timedelta(minutes=5)) -> None: ...


@sample(key="00000000-0000-0000-0000-000000000001", file="a/b", price=12.5, raw="abc")
def other_types(key: UUID, file: Path, price: Decimal, raw: bytes, tip: Decimal = Decimal("0.5")) -> None: ...


@sample(prices={"a": 1})
def free_dict(prices: dict[str, int]) -> None: ...


@sample(anything=[1])
def anything(anything: Any) -> None: ...


@sample(items=[1, "x"])
def bare_list(items: list) -> None: ...  # type: ignore[type-arg] # as it is written


@sample(a=1, b="2")
def more_names(a: int, **others: int) -> None: ...


@sample(word="x", limit=3)
def unpacked(**options: Unpack[Filter]) -> None: ...


@sample(city="Rome", days=2)
def keywords_only(city: str, *, days: int, exact: bool = False) -> None: ...


@sample(days=2, **{"from": "Rome"})
def alias(
    start: Annotated[str, Field(alias="from")], days: int = Field(1, ge=1, description="How many.")
) -> None: ...


@sample(made=None)
def odd_defaults(
    made: object = None,
    tags: list[str] = Field(default_factory=list),
    when: date = date.max,
    n: int = None,  # type: ignore[assignment] # as people write it
) -> None: ...


@sample(city="Rome")
async def asynchronous(city: str) -> None:
    """Wait for the weather."""


class Counter:
    """Counts."""

    def method(self, by: int = 1) -> None:
        """Count on.

        Args:
            by: How far.
        """

    def __call__(self, to: int) -> None:
        """Count to a number.

        Args:
            to: Where it ends.
        """


FORTY["bound_method"] = (Counter().method, {"by": "2"})
FORTY["callable_object"] = (Counter(), {"to": 3})
FORTY["filled_partial"] = (partial(google_style, days=3), {"city": "Rome"})
