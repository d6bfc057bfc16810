"""Typed dicts of `typing` are taken like those of `typing_extensions`, on every Python, wherever they stand."""

from __future__ import annotations

import datetime
import decimal
import enum
import pathlib
import typing
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Required, TypedDict

import pytest
import typing_extensions
from pydantic import Field

from workbench.tools.parameters import parameters_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(TypedDict):
    """A point."""

    x: int
    y: NotRequired[float]


class Named(Point, total=False):
    name: Required[str]
    tags: list[str]
    colour: Colour
    when: datetime.datetime | None


class Everything(TypedDict):
    points: list[Named]
    by_name: dict[str, Point]
    note: Annotated[str, Field(max_length=9, description="A note")]
    kind: Literal["a", "b"]
    maybe: Point | None
    number: uuid.UUID
    price: decimal.Decimal
    file: pathlib.Path


class ExtendedPoint(typing_extensions.TypedDict):
    """A point."""

    x: int
    y: NotRequired[float]


class ExtendedNamed(ExtendedPoint, total=False):
    name: Required[str]
    tags: list[str]
    colour: Colour
    when: datetime.datetime | None


class ExtendedEverything(typing_extensions.TypedDict):
    points: list[ExtendedNamed]
    by_name: dict[str, ExtendedPoint]
    note: Annotated[str, Field(max_length=9, description="A note")]
    kind: Literal["a", "b"]
    maybe: ExtendedPoint | None
    number: uuid.UUID
    price: decimal.Decimal
    file: pathlib.Path


class Tree(TypedDict):
    value: int
    children: list[Tree]


Odd = TypedDict("Odd", {"in": int, "from-x": NotRequired[str]})


@dataclass
class Garden:
    tree: Tree


class Pair(NamedTuple):
    tree: Tree
    number: int = 3


class Options(TypedDict, total=False):
    limit: int
    tree: Tree


def of_typing(a: Point, b: Named, c: Everything, d: list[Point] | None = None) -> None: ...


def of_extensions(
    a: ExtendedPoint, b: ExtendedNamed, c: ExtendedEverything, d: list[ExtendedPoint] | None = None
) -> None: ...


def test_the_schema_is_that_of_typing_extensions() -> None:
    text = str(parameters_of(of_extensions).schema).replace("Extended", "")
    assert str(parameters_of(of_typing).schema) == text


def plant(tree: Tree) -> None: ...


def odd(words: Odd) -> None: ...


def garden(garden: Garden) -> None: ...


def pair(pair: Pair) -> None: ...


def many(trees: list[dict[str, Tree]]) -> None: ...


def unpacked(count: int, **options: typing.Unpack[Options]) -> None: ...


def extended(count: int, **options: typing_extensions.Unpack[Options]) -> None: ...


LEAF = {"value": 1, "children": []}


@pytest.mark.parametrize(
    ("function", "given", "wanted"),
    [
        (plant, '{"tree": {"value": "1", "children": [{"value": 2, "children": []}]}}', {"value": 1}),
        (odd, '{"words": {"in": 3}}', {"in": 3}),
        (many, '{"trees": [{"a": {"value": 1, "children": []}}]}', [{"a": LEAF}]),
        (garden, '{"garden": {"tree": {"value": 1, "children": []}}}', Garden(LEAF)),  # type: ignore[arg-type]
        (pair, '{"pair": {"tree": {"value": 1, "children": []}}}', Pair(LEAF, 3)),  # type: ignore[arg-type]
        (unpacked, '{"count": 1, "tree": {"value": 1, "children": []}}', 1),
        (extended, '{"count": 1, "limit": 2}', 1),
    ],
)
def test_wherever_a_typed_dict_stands_it_is_checked(function: Any, given: str, wanted: Any) -> None:
    value = next(iter(parameters_of(function).parse(given).values()))
    assert (value | wanted if isinstance(wanted, dict) else wanted) == value
    with pytest.raises(Exception, match=r"value|in|tree|limit"):
        parameters_of(function).parse(given.replace("1", '"x"').replace("3", '"x"').replace("2", '"x"'))
