"""Descriptions of a tool and of its parameters from a docstring in Google, NumPy or reST style."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from workbench.tools.signature import without_partials

GOOGLE = r"^(?:Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments|Other Parameters):\s*$"
NUMPY = r"^(?:Parameters|Params|Arguments|Other Parameters)\s*\n-{3,}\s*$"
REST = r"^:(?:param|parameter|arg|argument|key|keyword|type)\b[^:\n]*:"
UNINDENTED = re.compile(r"\n(?=\S)")
STYLES = {
    "NUMPYDOC": (re.compile(NUMPY, re.M), re.compile(r"^\S.*\n-{3,}\s*$", re.M)),
    "GOOGLE": (re.compile(GOOGLE, re.M), UNINDENTED),
    "REST": (re.compile(REST, re.M), UNINDENTED),
}
"""How a section about parameters begins in each style, and what comes after it."""


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
    style = _style(text)
    if style is None:
        return {}
    from docstring_parser import DocstringStyle, ParseError, parse

    sections = "\n\n".join(text[start:end] for start, end in _sections(text))
    try:
        parameters = parse(f"\n{sections}", DocstringStyle[style]).params  # the first line is the title
    except ParseError:  # prose that only looked like it
        return {}
    return {
        name.strip().lstrip("*"): " ".join(parameter.description.split())
        for parameter in parameters
        if parameter.description
        for name in parameter.arg_name.split(",")  # NumPy's `x, y : float`
    }


def _style(text: str) -> str | None:
    return next((style for style, (start, _) in STYLES.items() if start.search(text)), None)


def _sections(text: str) -> Iterator[tuple[int, int]]:
    """Iterate over where the sections about parameters begin and end."""
    if (style := _style(text)) is None:
        return
    start, end = STYLES[style]
    for head in start.finditer(text):
        tail = end.search(text, head.end())
        yield head.start(), len(text) if tail is None else tail.start() if style == "NUMPYDOC" else tail.end()
