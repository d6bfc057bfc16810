"""Tools that keep the contract, and for each rule one that does not."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from workbench.testing import BrokenRule, Rule, check_tool
from workbench.testing.contract import holdings
from workbench.tools.context import RunContext, ToolError
from workbench.tools.tool import Tool, raw_tool, tool

opened: list[Callable[[], object]] = []


@pytest.fixture(autouse=True)
def _close(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(holdings, "SETTLE_S", 0.3)
    yield
    while opened:
        opened.pop()()


@tool
def roll(sides: int) -> str:
    """Roll a die.

    Args:
        sides: How many sides it has.
    """
    if sides < 2:
        raise ToolError("A die has at least 2 sides.")
    return f"The die shows {sides}."


@tool(timeout_s=5)
async def weather(context: RunContext[dict[str, int]], city: str, unit: Literal["C", "F"] = "C") -> Any:
    """The weather in a city."""
    context.progress("asking", 0.5)
    await asyncio.sleep(0.02)
    if not city.strip():
        raise ToolError("Say which city.")
    return {"city": city, "degrees": context.data.get(city, 20), "unit": unit}


def test_a_plain_tool_keeps_the_contract() -> None:
    report = check_tool(roll, arguments={"sides": 20})
    assert report.who == "tool roll"
    assert set(report.figures) == TOOL_RULES


def test_an_async_tool_with_a_context_keeps_the_contract() -> None:
    report = check_tool(weather, arguments={"city": "Paris"}, data={"Paris": 21})
    assert report.figures[Rule.TOLERATES].value == 6
    assert report.figures[Rule.ARGUMENTS].value > 5


def test_a_function_is_as_good_as_a_tool() -> None:
    def now() -> str:
        """What time it is."""
        return "noon"

    assert set(check_tool(now).figures) == TOOL_RULES


def test_a_tool_error_on_the_next_call_is_allowed() -> None:
    taken: set[str] = set()

    def book(day: str) -> str:
        """Book a day."""
        if day in taken:
            raise ToolError(f"{day} is taken.")
        taken.add(day)
        return "booked"

    check_tool(book, arguments={"day": "Monday"})
    with pytest.raises(BrokenRule, match="the example failed: ToolError: Monday is taken"):
        check_tool(book, arguments={"day": "Monday"})


def test_without_an_example_a_tool_is_not_called() -> None:
    @tool
    def never(city: str) -> str:
        """Nobody calls it."""
        raise AssertionError(city)

    assert set(check_tool(never).figures) == {Rule.SHAPE, Rule.ARGUMENTS}


TOOL_RULES = {
    Rule.SHAPE,
    Rule.FORMAT,
    Rule.CANCELS,
    Rule.CLOSES,
    Rule.TOLERATES,
    Rule.LOOP,
    Rule.TOGETHER,
    Rule.ARGUMENTS,
}


# --- broken ones -----------------------------------------------------------------------------------------------------


def silent(city: str) -> str:
    return city


def anything(city: Any) -> str:
    """The weather."""
    return str(city)


def fails(city: str) -> str:
    """The weather."""
    raise OSError("no network")


def exits(city: str) -> str:
    """The weather."""
    raise SystemExit(1)


async def hangs(city: str) -> str:
    """The weather."""
    await asyncio.Event().wait()
    return city


def unencodable(city: str) -> object:
    """The weather."""
    return threading.Lock()


async def swallows(city: str) -> str:
    """The weather."""
    try:
        await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        pass
    return city


async def lingers(city: str) -> str:
    """The weather."""
    try:
        await asyncio.sleep(0.01)
    finally:
        await asyncio.sleep(0.3)
    return city


def leaks_a_file(city: str) -> str:
    """The weather."""
    number = os.open(os.devnull, os.O_RDONLY)
    opened.append(lambda: os.close(number))
    return city


def first_letter(city: str) -> str:
    """The weather."""
    return city[0]


async def blocks(city: str) -> str:
    """The weather."""
    time.sleep(0.5)  # noqa: ASYNC251
    return city


busy: list[str] = []


async def one_at_a_time(city: str) -> str:
    """The weather."""
    if busy:
        raise OSError("busy")
    busy.append(city)
    try:
        await asyncio.sleep(0.01)
    finally:
        busy.clear()
    return city


class Odd(Tool):
    """Its schema is none."""

    @property
    def spec(self) -> Any:
        from workbench.model.conversation import ToolSpec

        return ToolSpec("odd", "Odd.", {"type": "objekt"}, False)


BROKEN: list[tuple[Rule, str, Any]] = [
    (Rule.SHAPE, "not told what it does", silent),
    (Rule.SHAPE, "is no tool", 5),
    (Rule.SHAPE, "no JSON schema", Odd(name="odd", function=silent, about="Odd.")),
    (Rule.ARGUMENTS, "takes anything", anything),
    (Rule.ANSWERS, "no network", fails),
    (Rule.ANSWERS, "sys.exit", exits),
    (Rule.ANSWERS, "not done after", hangs),
    (Rule.FORMAT, "cannot be written as JSON", unencodable),
    (Rule.CANCELS, "ordinary end", swallows),
    (Rule.CANCELS, "over only after", lingers),
    (Rule.CLOSES, "until the provider is left", leaks_a_file),
    (Rule.TOLERATES, "IndexError", first_letter),
    (Rule.LOOP, "held the loop", blocks),
    (Rule.TOGETHER, "busy", one_at_a_time),
]


@pytest.mark.parametrize(("rule", "what", "broken"), BROKEN, ids=[case[1] for case in BROKEN])
def test_a_broken_tool_is_caught(rule: Rule, what: str, broken: Any) -> None:
    with pytest.raises(BrokenRule, match=what) as caught:
        check_tool(broken, arguments={"city": "Paris"}, deadline_s=1)
    assert caught.value.rule == rule
    assert caught.value.hint


def test_a_refused_example_is_reported() -> None:
    with pytest.raises(BrokenRule, match="the example is refused"):
        check_tool(roll, arguments={"sides": "many"})


def test_every_rule_of_a_tool_can_be_broken() -> None:
    assert {rule for rule, _, _ in BROKEN} == TOOL_RULES | {Rule.ANSWERS}


def test_a_raw_tool_keeps_the_contract() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    check_tool(raw_tool("twice", "Two times n.", schema, lambda n: 2 * n), arguments={"n": 2})
