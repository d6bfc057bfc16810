"""A docstring as two things: what the tool does, and what each parameter is. Google, NumPy and reST styles."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

GOOGLE = re.compile(
    r"^(?:Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments|Other Parameters):\s*$", re.M
)
NUMPY = re.compile(r"^(?:Parameters|Params|Arguments|Other Parameters)\s*\n-{3,}\s*$", re.M)
REST = re.compile(r"^:(?:param|parameter|arg|argument|key|keyword|type)\b[^:\n]*:", re.M)
SECTION = re.compile(r"^\S.*\n-{3,}\s*$", re.M)


def doc_of(function: Any) -> str:
    """The docstring of a function, a method, a partial, or an object that can be called; empty if there is none."""
    while isinstance(function, partial):
        function = function.func
    doc = getattr(function, "__doc__", None)
    if not (
        inspect.isroutine(function) or inspect.isclass(function)
    ):  # it tells of its class, perhaps not of the call
        doc = getattr(type(function).__call__, "__doc__", None) or doc
    return inspect.cleandoc(doc) if isinstance(doc, str) else ""


def description_of(function: Any) -> str:
    """The docstring without its parameter sections."""
    doc = doc_of(function)
    for start, end in reversed(list(_sections(doc))):
        doc = f"{doc[:start].rstrip()}\n\n{doc[end:].lstrip()}"
    return doc.strip()


def described(doc: str) -> dict[str, str]:
    """What a docstring says of each parameter, by its name."""
    if not doc:
        return {}
    if NUMPY.search(doc):
        from docstring_parser.numpydoc import parse
    elif GOOGLE.search(doc):
        from docstring_parser.google import parse
    elif REST.search(doc):
        from docstring_parser.rest import parse
    else:
        return {}
    from docstring_parser.common import ParseError

    try:
        found = parse(
            "\n" + "\n\n".join(doc[start:end] for start, end in _sections(doc))
        )  # its first line is its title
    except ParseError:  # prose that only looked like it
        return {}
    return {
        name.strip().lstrip("*"): " ".join(parameter.description.split())
        for parameter in found.params
        if parameter.description
        for name in parameter.arg_name.split(",")  # NumPy's `x, y : float`
    }


def _sections(doc: str) -> Iterator[tuple[int, int]]:
    """Where the sections about parameters begin and end."""
    if NUMPY.search(doc):
        for found in NUMPY.finditer(doc):
            after = SECTION.search(doc, found.end())
            yield found.start(), after.start() if after else len(doc)
    elif GOOGLE.search(doc):
        for found in GOOGLE.finditer(doc):
            yield found.start(), _indented(doc, found.end())
    else:
        for found in REST.finditer(doc):
            yield found.start(), _indented(doc, found.end())


def _indented(doc: str, start: int) -> int:
    """Where the next line begins that is not indented."""
    after = re.compile(r"\n(?=\S)").search(doc, start)
    return after.end() if after else len(doc)
