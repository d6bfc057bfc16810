"""How long the schemas of a hundred tools take, from function to what is sent, and how long arguments take to bind.

The tools are different functions with three parameters each, as people write them: a docstring in one of three styles,
choices, defaults, a list, a dataclass in every tenth. Each round makes them anew, because a schema is kept.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from bench._figures import Promise, run, spread, tell
from workbench.tools.docstring import description_of
from workbench.tools.parameters import ToolParameters, parameters_of

Made = tuple[ToolParameters, Callable[..., Any]]
Tool = Callable[[Callable[..., Any]], Made]
TOOLS = 100
ROUNDS = 30
CALLS = 2000


def google(tool: Tool) -> Made:
    """Of the commonest kind."""

    def weather(city: str, days: int = 1, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
        """Tell the weather of the next days.

        Args:
            city: Where, as people call it.
            days: How many days, from today.
            unit: Of the temperatures.

        Returns:
            A sentence.
        """
        return f"{city} {days} {unit}"

    return tool(weather)


def plain(tool: Tool) -> Made:
    """Without a section about parameters."""

    def remember(text: str, tags: list[str] | None = None, important: bool = False) -> str:
        """Keep something in mind."""
        return f"{text} {tags} {important}"

    return tool(remember)


def numpy(tool: Tool) -> Made:
    """With constraints, and the docstring of a scientist."""

    def loan(amount: Annotated[float, Field(gt=0)], years: int, rate: float = 0.03) -> float:
        """Compute a monthly rate.

        Parameters
        ----------
        amount : float
            What is borrowed.
        years : int
            Until it is paid back.
        rate : float
            Interest a year.
        """
        return amount * years * rate

    return tool(loan)


def nested(tool: Tool) -> Made:
    """With a dataclass that is new each time, so that nothing is known of it."""

    @dataclass
    class Stop:
        city: str
        nights: int = 1

    def plan(stops: list[Stop], travellers: int, note: str = "") -> str:
        """Plan a journey.

        :param stops: where to, in order
        :param travellers: how many
        """
        return f"{stops} {travellers} {note}"

    return tool(plan)


KINDS = [google] * 4 + [plain] * 3 + [numpy] * 2 + [nested]


def made(function: Callable[..., Any]) -> Made:
    """The parameters of a function, and the function: a decorator reads the signature where the function is defined."""
    return parameters_of(function), function


def schemas_ms() -> tuple[float, float, float]:
    """For a hundred tools, ms: to the plain schema and description, to the strict one beyond that, both on the wall.

    The first two are CPU time of this thread, which computes and nothing else: what others do beside us counts little.
    """
    gc.collect()
    wall, began = time.perf_counter(), time.thread_time()
    tools = [KINDS[number % len(KINDS)](made) for number in range(TOOLS)]
    for parameters, function in tools:
        assert parameters.schema
        assert description_of(function)
    halfway = time.thread_time()
    assert all(parameters.strict_schema for parameters, _ in tools)
    return (
        (halfway - began) * 1000,
        (time.thread_time() - halfway) * 1000,
        (time.perf_counter() - wall) * 1000,
    )


def pydantics_ms() -> float:
    """The plain schemas of the same functions by pydantic alone, without docstrings, ms of CPU."""
    functions = [KINDS[number % len(KINDS)](made)[1] for number in range(TOOLS)]
    gc.collect()
    began = time.thread_time()
    for function in functions:
        if function.__name__ != "plan":  # it cannot find the types of an enclosing function
            adapter: TypeAdapter[Any] = TypeAdapter(function)  # type: ignore[arg-type] # it takes functions
            assert adapter.json_schema()
    return (time.thread_time() - began) * 1000


def bind_us() -> dict[str, float | None]:
    """One call's arguments from JSON to keyword arguments, µs."""
    tool, _ = google(made)
    text = json.dumps({"city": "Rome", "days": "3", "unit": None})
    tool.parse(text)
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        tool.parse(text)
        took.append((time.perf_counter() - began) * 1e6)
    return spread(took, 0)


def main() -> None:
    """Measure and tell."""
    schemas_ms()  # imports pydantic and docstring_parser
    rounds = [schemas_ms() for _ in range(ROUNDS)]
    schema, strict, _ = min(rounds, key=lambda took: took[0] + took[1])
    tell(
        "schema",
        [Promise("schemas of 100 tools, plain and strict", round(schema + strict, 1), 50, "ms of CPU")],
        {"schemas": f"best of {ROUNDS} rounds", "bind": f"{CALLS} calls with two repairs, on the wall"},
        {
            "plain_ms": round(schema, 1),
            "strict_ms": round(strict, 1),
            "wall_ms": spread([wall for _, _, wall in rounds], 1),
            "pydantic_alone_plain_ms": round(min(pydantics_ms() for _ in range(ROUNDS)), 1),
            "bind_us": bind_us(),
        },
    )


if __name__ == "__main__":
    run(main)
