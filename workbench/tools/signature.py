"""The signature of a tool's function: the parameters that a model fills in, and the namespace of their types."""

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
IDENTIFIER = re.compile(r"[^\W\d]\w*")
FRAMES = 16
"""Callers that are searched for the function in which the tool was defined."""


@dataclass(frozen=True, slots=True)
class FunctionSignature:
    """The parameters that a model fills in; `extra` is the one that takes all other names (`**options`)."""

    name: str
    function: Any
    parameters: tuple[inspect.Parameter, ...]
    extra: inspect.Parameter | None
    enclosing: dict[str, Any] = field(default_factory=dict)
    """Names of the enclosing functions that annotations use."""

    def types(self) -> dict[str, Any]:
        """Return the type of each parameter, `extra` included. Raises `UsageError` for one that cannot be evaluated."""
        listed = (*self.parameters, self.extra) if self.extra else self.parameters
        annotations = {parameter.name: parameter.annotation for parameter in listed}
        try:
            return self._evaluate(annotations)
        except (NameError, SyntaxError, TypeError, AttributeError):
            return {name: self._evaluate_one(name, annotation) for name, annotation in annotations.items()}

    def _evaluate(self, annotations: dict[str, Any]) -> dict[str, Any]:
        return typing.get_type_hints(
            SimpleNamespace(__annotations__=annotations),
            globalns=getattr(_implementation(self.function), "__globals__", {}),
            localns=self.enclosing,
            include_extras=True,
        )

    def _evaluate_one(self, name: str, annotation: Any) -> Any:
        try:
            return self._evaluate({name: annotation})[name]
        except NameError as error:
            reason = f"the type of {name} speaks of {error.name}, which is not known where the tool runs"
            hint = f"import {error.name} at run time, not only under TYPE_CHECKING, and define it before the tool"
        except (SyntaxError, TypeError, AttributeError) as error:
            reason, hint = f"the type of {name}, {annotation!r}, is none: {error}", "write a type, like `str`"
        raise self.error(reason, hint)

    def error(self, reason: str, hint: str) -> UsageError:
        """Return the error for a signature from which no schema can be made."""
        return UsageError(f"{self.name}: {reason}", hint)


def signature_of(function: Callable[..., Any], skip: int = 0) -> FunctionSignature:
    """Return the signature without its first `skip` parameters and those that a partial has filled in by name.

    Raises `UsageError` for a parameter without type, and for one that has no name to be given by.
    """
    bare = without_partials(function)
    name = str(getattr(bare, "__name__", None) or type(bare).__name__)
    try:
        listed = list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError) as error:
        hint = "wrap it in a function of your own, with a type for each parameter"
        raise UsageError(f"{name}: its parameters cannot be seen", hint) from error
    filled = function.keywords if isinstance(function, partial) else {}
    parameters = [parameter for parameter in listed if parameter.name not in filled]
    for parameter in parameters:
        _check(name, parameter)
    extra = parameters.pop() if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD else None
    enclosing = _enclosing_names(_implementation(function), listed)
    return FunctionSignature(name, function, tuple(parameters), extra, enclosing)


def without_partials(function: Any) -> Any:
    """Return the function within a `functools.partial`."""
    while isinstance(function, partial):
        function = function.func
    return function


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
        reason = f"{parameter.name} is not the model's to give"
        raise UsageError(f"{name}: {reason}", "give the method of an instance")
    simple = isinstance(parameter.default, bool | int | float | str)
    kind = type(parameter.default).__name__ if simple else "str"
    stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
    reason = f"{stars}{parameter.name} has no type, so the model cannot know what to give"
    hint = f"write {stars}{parameter.name}: {kind}, or the type that it has; `Any` if it may be anything"
    raise UsageError(f"{name}: {reason}", hint)


def annotation_text(annotation: Any) -> str:
    """Return a type as it is written; empty if there is none."""
    if annotation is EMPTY:
        return ""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _implementation(function: Any) -> Any:
    """Return the function that the parameters were written for."""
    function = without_partials(function)
    if inspect.isclass(function):
        function = function.__init__
    elif not inspect.isroutine(function):
        function = type(function).__call__
    return inspect.unwrap(function)


def _enclosing_names(function: Any, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """Return the names in annotations that only the enclosing functions know, while these still run."""
    if not hasattr(function, "__code__"):
        return {}
    annotations = [
        parameter.annotation for parameter in parameters if not isinstance(parameter.annotation, type)
    ]
    text = " ".join(kind if isinstance(kind, str) else repr(kind) for kind in annotations)
    names = set(IDENTIFIER.findall(text))
    names = {name for name in names if name not in function.__globals__ and not hasattr(builtins, name)}
    if not names:
        return {}
    values = _closure(function)
    inner: CodeType = function.__code__
    frame: FrameType | None = sys._getframe(1)
    for _ in range(FRAMES):
        if frame is None:
            break
        if _encloses(frame.f_code, inner):
            inner = frame.f_code
            values = {**frame.f_locals, **values}
        frame = frame.f_back
    return {name: value for name, value in values.items() if name in names}


def _encloses(outer: CodeType, inner: CodeType) -> bool:
    """Decide whether a function was written within another, if only in a class there."""
    nested = [constant for constant in outer.co_consts if isinstance(constant, CodeType)]
    return any(code is inner or _encloses(code, inner) for code in nested)


def _closure(function: Any) -> dict[str, Any]:
    values = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return values
