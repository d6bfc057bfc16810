"""Signatures: what they say to a model, wherever their types are written, and what of them cannot be said."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, get_args

import pytest
from pydantic import Field

from workbench.model.errors import UsageError
from workbench.tools.docstring import description_of, parameter_descriptions
from workbench.tools.parameters import parameters_of

if TYPE_CHECKING:
    from decimal import Decimal as Unimported


def properties(function: Callable[..., Any], skip: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = parameters_of(function, skip=skip).schema["properties"]
    return found


def test_a_description_in_the_annotation_wins_over_the_docstring() -> None:
    def tool(
        a: Annotated[int, "From the type."], b: Annotated[int, Field(description="From the field.")], c: int
    ) -> None:
        """Do.

        Args:
            a: From the docstring.
            b: From the docstring.
            c: From the docstring.
        """

    found = properties(tool)
    assert [found[name]["description"] for name in "abc"] == [
        "From the type.",
        "From the field.",
        "From the docstring.",
    ]


def test_skipped_leading_parameters_are_not_in_the_schema() -> None:
    def tool(context: Unimported, city: str) -> None: ...

    assert list(properties(tool, skip=1)) == ["city"]
    assert parameters_of(tool, skip=1).bind({"city": "Rome"}) == {"city": "Rome"}


def test_the_return_annotation_is_not_evaluated() -> None:
    def tool(city: str) -> Unimported: ...  # type: ignore[empty-body]

    assert list(properties(tool)) == ["city"]


def test_types_of_an_enclosing_function_are_resolved_where_the_tool_is_defined() -> None:
    def outer() -> Callable[..., Any]:
        @dataclass
        class Stop:
            city: str
            after: list[Stop] | None = None

        class Holder:
            def method(self, stops: list[Stop]) -> int:
                return len(stops)

        holder = Holder()
        found = parameters_of(holder.method)

        def run() -> Any:
            return found.bind({"stops": [{"city": "Rome", "after": [{"city": "Pisa"}]}]})["stops"]

        return run

    (stop,) = outer()()
    assert stop.city == "Rome"
    assert stop.after[0].city == "Pisa"


def test_a_wrapped_function_and_a_partial_keep_signature_and_docstring() -> None:
    def weather(city: str, days: int, unit: str = "celsius") -> None:
        """Tell the weather.

        Args:
            city: Where.
        """

    @wraps(weather)
    def logged(*args: Any, **kwargs: Any) -> None:
        weather(*args, **kwargs)

    assert properties(logged)["city"]["description"] == "Where."
    filled = partial(logged, "Rome", unit="kelvin")
    assert list(properties(filled)) == ["days"]
    assert description_of(filled) == "Tell the weather."
    assert parameters_of(filled).bind({"days": 2}) == {"days": 2}


def test_an_omitted_argument_uses_the_functions_own_default() -> None:
    marker = object()

    def tool(a: Any = marker, n: int = None) -> Any:  # type: ignore[assignment] # noqa: RUF013 # a habit
        return a, n

    bound = parameters_of(tool).bind({"n": None})
    assert bound == {}
    assert tool(**bound) == (marker, None)
    assert "default" not in properties(tool)["a"]


def test_defaults_of_fields_are_filled_in_for_each_call() -> None:
    def tool(tags: list[str] = Field(default_factory=list), days: int = Field(3)) -> None: ...  # noqa: B008

    parameters = parameters_of(tool)
    first, second = parameters.bind({}), parameters.bind({})
    assert first == second == {"tags": [], "days": 3}
    assert first["tags"] is not second["tags"]


def no_type(city) -> None: ...  # type: ignore[no-untyped-def]
def no_type_but_default(city, days=1) -> None: ...  # type: ignore[no-untyped-def]
def many(*cities: str) -> None: ...
def any_options(**options) -> None: ...  # type: ignore[no-untyped-def]
def unnamed(city: str, /) -> None: ...
def a_socket(city: str, line: socket.socket) -> None: ...
def a_callback(then: Callable[[int], int]) -> None: ...
def unimported(price: Unimported) -> None: ...
def no_python(city: "list[") -> None: ...  # type: ignore[valid-type] # noqa: F722
def lookahead(word: Annotated[str, Field(pattern="^(?!x)")]) -> None: ...


class Greeter:
    def hello(self, name: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "says", "hint"),
    [
        (no_type, "no_type: city has no type", "write city: str"),
        (partial(no_type_but_default, "Rome"), "no_type_but_default: days has no type", "write days: int"),
        (many, r"many: \*cities cannot be given", r"write cities: list\[str\]"),
        (any_options, r"any_options: \*\*options has no type", r"write \*\*options: str"),
        (unnamed, "unnamed: city has no name from outside", "take the /"),
        (a_socket, "a_socket: line is socket.socket, which has no JSON schema", "dataclass"),
        (a_callback, "a_callback: then is .*Callable", "dataclass"),
        (unimported, "unimported: the type of price speaks of Unimported", "import Unimported at run time"),
        (no_python, "no_python: the type of city, .*list\\[.*, is none", "write a type"),
        (lookahead, "lookahead: word is .*look-around", "dataclass"),
        (Greeter.hello, "hello: self is not the model's", "method of an instance"),
        (dict, "dict: its parameters cannot be seen", "wrap it"),
        (len, "len: obj has no name from outside", "take the /"),
    ],
    ids=lambda value: getattr(value, "__name__", "") or None,
)
def test_a_signature_without_schema_is_refused_with_reason_and_hint(
    function: Callable[..., Any], says: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        _ = parameters_of(function).schema
    import re

    assert re.search(hint, raised.value.hint)
    assert "pydantic.dev" not in str(raised.value)


@pytest.mark.parametrize(
    ("doc", "rest"),
    [
        ("Do.", "Do."),
        ("", ""),
        ("Do.\n\nArgs:\n    a: one\n    b: two\n\nReturns:\n    x", "Do.\n\nReturns:\n    x"),
        (
            "Do.\n\nParameters\n----------\na : int\n    one\nb\n    two\n\nReturns\n-------\nint",
            "Do.\n\nReturns\n-------\nint",
        ),
        ("Do.\n\n:param a: one\n:type a: int\n:param int b: two\n:returns: x", "Do.\n\n:returns: x"),
    ],
)
def test_a_docstring_is_split_into_description_and_parameters(doc: str, rest: str) -> None:
    def tool() -> None: ...

    tool.__doc__ = doc
    assert description_of(tool) == rest
    assert parameter_descriptions(doc) == ({"a": "one", "b": "two"} if "one" in doc else {})


@pytest.mark.parametrize(
    "doc",
    [
        "Args:",
        "Args:\nno indent",
        "Parameters\n----------",
        ":param",
        ":param :",
        "Args:\n  a",
        "Do.\n\nArgs:\n\n\n",
        ":param a b c d: x",
    ],
)
def test_a_malformed_docstring_does_not_break_the_schema(doc: str) -> None:
    def tool(a: int) -> None: ...

    tool.__doc__ = doc
    assert "a" in properties(tool)
    description_of(tool)


def test_a_callable_object_is_described_by_its_call_method_or_else_its_class() -> None:
    class Told:
        """A greeter."""

        def __call__(self, name: str) -> None:
            """Greet."""

    class Quiet(Told):
        """A quiet greeter."""

        def __call__(self, name: str) -> None: ...

    assert description_of(Told()) == "Greet."
    assert description_of(Quiet()) == "A quiet greeter."


def test_schemas_are_cached() -> None:
    parameters = parameters_of(many_things)
    assert parameters.schema is parameters.schema
    assert parameters.strict_schema is parameters.strict_schema


def many_things(
    city: str, unit: Annotated[str, Field(examples=["celsius"], json_schema_extra={"deprecated": True})]
) -> None: ...


def test_examples_and_extra_keywords_of_a_field_are_in_the_schema() -> None:
    assert properties(many_things)["unit"] == {"type": "string", "examples": ["celsius"], "deprecated": True}
    assert get_args(many_things.__annotations__["unit"]) == ()  # still text


def test_pydantic_is_not_imported_before_the_schema_is_needed() -> None:
    program = (
        "import sys, workbench.tools.parameters as s\n"
        "def f(a: int): ...\n"
        "p = s.parameters_of(f)\n"
        "assert 'pydantic' not in sys.modules and 'jsonschema' not in sys.modules\n"
        "assert p.schema and 'pydantic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
