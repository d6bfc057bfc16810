"""`@tool`: a function that the model may call.

    @tool
    async def weather(city: str, days: int = 1) -> str:
        \"\"\"The weather forecast.

        Args:
            city: Name of the city.
            days: How many days from today.
        \"\"\"

The schema comes from the signature and the docstring; the function itself can still be called as it is.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, overload

from workbench.model.conversation import ToolSpec
from workbench.model.errors import UsageError
from workbench.tools.context import RunContext
from workbench.tools.signature import without_partials

if TYPE_CHECKING:
    from workbench.tools.parameters import ToolParameters

OnInterrupt = Literal["cancel", "finish", "background"]
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What OpenAI's API takes as a name."""
OURS = ("name", "function", "about", "schema", "origin")
"""Fields of a tool that `@tool` fills in itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool:
    """A function, and how it may be called. Made by `@tool`, `raw_tool`, or from an MCP server."""

    name: str
    function: Callable[..., Any]
    """Plain or async. Called by keywords, after the context if it takes one."""
    about: str | None = None
    """The description for the model; None: the function's docstring."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the arguments; None: from the function's signature."""
    timeout_s: float | None = None
    """The longest that a call may take, retries and waiting for its turn included; None: `[limits] tool_ms`, 60 s."""
    retries: int = 0
    """Tries after the first, if it raises anything but `ToolError`."""
    concurrency: int | None = None
    """Calls at a time; more wait."""
    calls_per_minute: float | None = None
    """More than that are refused, with the time to try again."""
    confirm: bool | str = False
    """The user must say yes first. A text is the question, with `{arguments}` in it: "Shall I book {day}?"."""
    idempotent: bool = False
    """It changes nothing: it may run before the turn is decided, and again."""
    on_interrupt: OnInterrupt = "cancel"
    """When the user interrupts: `cancel` it; `finish` it, the next answer waits and knows its result; or let it go on
    in the `background`, and remember its result when it comes."""
    origin: str = ""
    """Where it is from, for people: `agent.py:12`, a plugin, an MCP server."""
    takes_context: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "takes_context", _takes_context(self.function))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself: nothing is validated, nobody is asked."""
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Tool:
        """A method that is a tool: bound to its object, like any method."""
        return self if instance is None else replace(self, function=self.function.__get__(instance, owner))

    @cached_property
    def is_async(self) -> bool:
        """Whether calling it gives something to await."""
        inner = without_partials(self.function)
        method = getattr(inner, "__call__", None)  # noqa: B004  # of an object with an async __call__
        return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(method)

    @cached_property
    def parameters(self) -> ToolParameters:
        """What it takes. UsageError for a signature or schema that cannot be used."""
        from workbench.tools.parameters import parameters_from, parameters_of  # pydantic: 0.1 s

        if self.schema is not None:
            return parameters_from(self.schema)
        return parameters_of(self.function, skip=1 if self.takes_context else 0)

    @cached_property
    def description(self) -> str:
        """The description for the model."""
        if self.about is not None:
            return self.about
        from workbench.tools.docstring import description_of

        return description_of(self.function)

    @cached_property
    def spec(self) -> ToolSpec:
        """The tool as the model sees it."""
        strict = self.parameters.strict_schema
        schema = self.parameters.schema if strict is None else strict
        return ToolSpec(self.name, self.description, schema, strict is not None)

    def line_html(self) -> str:
        """Its name with what it takes, and its sentence: as an agent lists it in a notebook."""
        from workbench.tools.html import tool_line
        from workbench.views.html import safe

        return f"{tool_line(self)} {safe(self.description)}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from workbench.tools.html import tool_html  # 60 ms with numpy, and not everybody is in a notebook

        return tool_html(self)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float | None = None,
    retries: int = 0,
    concurrency: int | None = None,
    calls_per_minute: float | None = None,
    confirm: bool | str = False,
    idempotent: bool = False,
    on_interrupt: OnInterrupt = "cancel",
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    **policy: Any,
) -> Any:
    """Make a function a tool: `@tool`, or `@tool(timeout_s=5, confirm=True)`; what each word means stands at `Tool`.

    UsageError for what cannot be, naming the function.
    """
    words = [field.name for field in fields(Tool) if field.init and field.name not in OURS]
    for word in policy:
        if word not in words:
            near = get_close_matches(word, words, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            hint += f"it takes name, description, {', '.join(words)}"
            raise UsageError(f"@tool has no {word!r}", hint)

    def decorate(function: Callable[..., Any]) -> Tool:
        if not callable(function):
            raise UsageError(f"@tool: {function!r:.60} is no function", "write @tool above a function")
        if isinstance(function, Tool):
            raise UsageError(f"@tool: {function.name} is a tool already", "decorate it once")
        title = name or str(getattr(_innermost(function), "__name__", type(function).__name__))
        origin = _source_of(function)
        return Tool(name=title, function=function, about=description, origin=origin, **policy)

    return decorate if function is None else decorate(function)


def raw_tool(
    name: str, description: str, schema: Mapping[str, Any], function: Callable[..., Any], **policy: Any
) -> Tool:
    """Make a tool that has a JSON schema of its own; `function` is called with the arguments as keywords.

    UsageError for a schema that cannot be used.
    """
    origin = _source_of(function)
    tool = Tool(name=name, function=function, about=description, schema=schema, origin=origin, **policy)
    _ = tool.parameters
    return tool


def as_tool(value: Any, origin: str = "") -> Tool:
    """Return a tool, or make one of a function; UsageError for anything else. `origin` goes before where it stands."""
    if not isinstance(value, Tool):
        if not callable(value) or isinstance(value, type):
            raise UsageError(f"{value!r:.80} is no tool", "give functions with @tool above them")
        value = tool(value)
    assert isinstance(value, Tool)
    return replace(value, origin=", ".join(filter(None, (origin, value.origin)))) if origin else value


LOWEST = {"timeout_s": 0.001, "retries": 0, "concurrency": 1, "calls_per_minute": 0.001}


def _check(tool: Tool) -> None:
    """Raise UsageError that names the tool and the word."""
    who = f"the tool {tool.name!r:.70}"
    if not isinstance(tool.name, str) or not NAME.fullmatch(tool.name):
        raise UsageError(f"{who}: a name is 1 to 64 letters, digits, _ or -", 'write @tool(name="…")')
    if tool.on_interrupt not in get_args(OnInterrupt):
        choices = ", ".join(get_args(OnInterrupt))
        raise UsageError(f"{who}: on_interrupt cannot be {tool.on_interrupt!r:.40}", f"choose from {choices}")
    if not isinstance(tool.confirm, bool | str) or not isinstance(tool.idempotent, bool):
        raise UsageError(f"{who}: confirm is True, False or a question; idempotent is True or False")
    if tool.confirm and tool.idempotent:
        raise UsageError(f"{who}: what changes nothing needs no consent", "drop confirm, or idempotent")
    for word, lowest in LOWEST.items():
        value, integer = getattr(tool, word), word in ("retries", "concurrency")
        if value is None and word != "retries":
            continue
        fits = isinstance(value, int if integer else int | float) and not isinstance(value, bool)
        if not fits or not value >= lowest:
            number = "a whole number" if integer else "a number"
            raise UsageError(f"{who}: {word} must be {number} of at least {lowest}, not {value!r:.40}")


def _innermost(function: Any) -> Any:
    return inspect.unwrap(without_partials(function))


def _source_of(function: Any) -> str:
    """Return where a function stands, `file.py:12`, as far as it is known."""
    code = getattr(getattr(_innermost(function), "__func__", _innermost(function)), "__code__", None)
    if code is None:
        return ""
    if re.search(r"/ipykernel_\d+/|^<ipython-input", code.co_filename):
        return f"a cell, line {code.co_firstlineno}"
    return f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"


def _takes_context(function: Any) -> bool:
    """Decide whether its first parameter is annotated as a `RunContext`; by name where the annotation is a text."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    annotation = first.annotation if first else None
    if isinstance(annotation, str):
        return annotation.partition("[")[0].rpartition(".")[2].strip() == "RunContext"
    return annotation is RunContext or get_origin(annotation) is RunContext
