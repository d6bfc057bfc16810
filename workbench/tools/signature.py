"""Which parameters of a function are the model's, with their types evaluated wherever they were written."""

from __future__ import annotations

import builtins
import inspect
import re
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

from workbench.model.errors import UsageError

EMPTY = inspect.Parameter.empty
NAME = re.compile(r"[^\W\d]\w*")
OUTER = 16
"""Callers that are looked at for the function in which the tool was defined."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters that are the model's; `rest` is the one that takes all other names (`**options`)."""

    name: str
    function: Any
    parameters: tuple[inspect.Parameter, ...]
    rest: inspect.Parameter | None
    around: dict[str, Any] = field(default_factory=dict)
    """Names of the enclosing functions that annotations speak of."""

    def hints(self) -> dict[str, Any]:
        """The type of each parameter, `rest` included. Raises `UsageError` for one that cannot be evaluated."""
        listed = (*self.parameters, self.rest) if self.rest else self.parameters
        annotations = {parameter.name: parameter.annotation for parameter in listed}
        try:
            return self._evaluated(annotations)
        except (NameError, SyntaxError, TypeError, AttributeError):
            return {name: self._one(name, annotation) for name, annotation in annotations.items()}

    def _evaluated(self, annotations: dict[str, Any]) -> dict[str, Any]:
        inner = _inner(self.function)
        return typing.get_type_hints(
            SimpleNamespace(__annotations__=annotations),
            globalns=getattr(inner, "__globals__", {}),
            localns=self.around,
            include_extras=True,
        )

    def _one(self, name: str, annotation: Any) -> Any:
        try:
            return self._evaluated({name: annotation})[name]
        except NameError as error:
            reason = f"the type of {name} speaks of {error.name}, which is not known where the tool runs"
            hint = f"import {error.name} at run time, not only under TYPE_CHECKING, and define it before the tool"
        except (SyntaxError, TypeError, AttributeError) as error:
            reason, hint = f"the type of {name}, {annotation!r}, is none: {error}", "write a type, like `str`"
        raise self.wrong(reason, hint)

    def wrong(self, reason: str, hint: str) -> UsageError:
        """What to raise for a signature from which no schema can be made."""
        return UsageError(f"{self.name}: {reason}", hint)


def signature_of(function: Callable[..., Any], skip: int = 0) -> Signature:
    """The signature without its first `skip` parameters and those that a partial has filled in by name.

    Raises `UsageError` for a parameter without type, and for one that has no name to be given by.
    """
    name = name_of(function)
    try:
        listed = list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError) as error:
        hint = "wrap it in a function of your own, with a type for each parameter"
        raise UsageError(f"{name}: its parameters cannot be seen", hint) from error
    filled: set[str] = set(function.keywords) if isinstance(function, partial) else set()
    found, rest = [], None
    for parameter in listed:
        if parameter.name in filled:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            rest = parameter
        else:
            found.append(parameter)
        _check(name, parameter)
    inner = _inner(function)
    around = (
        _around(inner, [parameter.annotation for parameter in listed]) if hasattr(inner, "__code__") else {}
    )
    return Signature(name, function, tuple(found), rest, around)


def name_of(function: Any) -> str:
    """What a user calls it: the name of the function within a partial, the class of an object."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _check(name: str, parameter: inspect.Parameter) -> None:
    if parameter.kind is parameter.VAR_POSITIONAL:
        kind = annotation_text(parameter.annotation)
        reason = f"*{parameter.name} cannot be given, because a model gives every argument by its name"
        raise UsageError(f"{name}: {reason}", f"write {parameter.name}: list[{kind or 'str'}] instead")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        reason = f"{parameter.name} has no name from outside, and a model gives every argument by its name"
        raise UsageError(f"{name}: {reason}", "take the / out of the signature")
    if parameter.annotation is not EMPTY:
        return
    if parameter.name in {"self", "cls"}:
        raise UsageError(
            f"{name}: {parameter.name} is not the model's to give", "give the method of an instance"
        )
    kind = (
        type(parameter.default).__name__ if isinstance(parameter.default, bool | int | float | str) else "str"
    )
    stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
    hint = f"write {stars}{parameter.name}: {kind}, or the type that it has; `Any` if it may be anything"
    raise UsageError(
        f"{name}: {stars}{parameter.name} has no type, so the model cannot know what to give", hint
    )


def annotation_text(annotation: Any) -> str:
    """A type as it is written; empty if there is none."""
    if annotation is EMPTY:
        return ""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _inner(function: Any) -> Any:
    """The function that the parameters were written for."""
    while isinstance(function, partial):
        function = function.func
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function).__call__
    elif inspect.isclass(function):
        function = function.__init__
    return inspect.unwrap(function)


def _around(function: Any, annotations: list[Any]) -> dict[str, Any]:
    """Names in annotations that only the enclosing functions know, while these still run."""
    texts = [
        annotation if isinstance(annotation, str) else repr(annotation)
        for annotation in annotations
        if not isinstance(annotation, type)
    ]
    known = function.__globals__
    wanted = {
        name
        for text in texts
        for name in NAME.findall(text)
        if name not in known and not hasattr(builtins, name)
    }
    if not wanted:
        return {}
    found = _free(function)
    inner: CodeType = function.__code__
    frame: FrameType | None = sys._getframe(1)
    for _ in range(OUTER):
        if frame is None:
            break
        if _holds(frame.f_code, inner):
            inner = frame.f_code
            found = {**frame.f_locals, **found}
        frame = frame.f_back
    return {name: value for name, value in found.items() if name in wanted}


def _holds(outer: CodeType, inner: CodeType) -> bool:
    """Whether a function was written within another, if only in a class there."""
    within = [constant for constant in outer.co_consts if isinstance(constant, CodeType)]
    return any(code is inner or _holds(code, inner) for code in within)


def _free(function: Any) -> dict[str, Any]:
    names, cells = function.__code__.co_freevars, function.__closure__ or ()
    found = {}
    for name, cell in zip(names, cells, strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found
