"""Descriptions of a tool and of its parameters from a docstring in Google, NumPy or reST style."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from workbench.tools.signature import without_partials

GOOGLE = re.compile(
    r"^(?:Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments|Other Parameters):\s*$", re.M
)
NUMPY = re.compile(r"^(?:Parameters|Params|Arguments|Other Parameters)\s*\n-{3,}\s*$", re.M)
REST = re.compile(r"^:(?:param|parameter|arg|argument|key|keyword|type)\b[^:\n]*:", re.M)
NUMPY_END = re.compile(r"^\S.*\n-{3,}\s*$|\Z", re.M)
UNINDENTED = re.compile(r"\n(?=\S)|\Z")


def docstring_of(function: Any) -> str:
    """Return the docstring of a function, a method, a partial, or an object that can be called; else empty."""
    function = without_partials(function)
    text = getattr(function, "__doc__", None)
    if not (
        inspect.isroutine(function) or inspect.isclass(function)
    ):  # it is its class's, perhaps not the call's
        text = getattr(type(function).__call__, "__doc__", None) or text
    return inspect.cleandoc(text) if isinstance(text, str) else ""


def description_of(function: Any) -> str:
    """Return the docstring without its parameter sections."""
    text = docstring_of(function)
    for start, end in reversed(list(_sections(text))):
        text = f"{text[:start].rstrip()}\n\n{text[end:].lstrip()}"
    return text.strip()


def parameter_descriptions(text: str) -> dict[str, str]:
    """Return what a docstring says of each parameter, by its name."""
    if NUMPY.search(text):
        from docstring_parser.numpydoc import parse
    elif GOOGLE.search(text):
        from docstring_parser.google import parse
    elif REST.search(text):
        from docstring_parser.rest import parse
    else:
        return {}
    from docstring_parser.common import ParseError

    sections = "\n\n".join(text[start:end] for start, end in _sections(text))
    try:
        parameters = parse(f"\n{sections}").params  # the first line is the title
    except ParseError:  # prose that only looked like it
        return {}
    return {
        name.strip().lstrip("*"): " ".join(parameter.description.split())
        for parameter in parameters
        if parameter.description
        for name in parameter.arg_name.split(",")  # NumPy's `x, y : float`
    }


def _sections(text: str) -> Iterator[tuple[int, int]]:
    """Iterate over where the sections about parameters begin and end."""
    start, end = (
        (NUMPY, NUMPY_END) if NUMPY.search(text) else (GOOGLE if GOOGLE.search(text) else REST, UNINDENTED)
    )
    for head in start.finditer(text):
        tail = end.search(text, head.end())
        yield head.start(), len(text) if tail is None else tail.start() if end is NUMPY_END else tail.end()
