"""The parameters of a tool, from a function's signature or from a JSON schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.tools.arguments import ToolParameters, check_shape
from workbench.tools.signature import FunctionSignature, signature_of

if TYPE_CHECKING:
    from workbench.tools.arguments_model import ArgumentsModel


def parameters_of(function: Callable[..., Any], *, skip: int = 0) -> ToolParameters:
    """Return what the model may give to a function, whose first `skip` parameters are not the model's.

    Types and docstring are read when somebody asks for the schema. Raises `UsageError` then and here.
    """
    return FunctionParameters(signature_of(function, skip))


def parameters_from(schema: Mapping[str, Any]) -> ToolParameters:
    """Return what the model may give by a JSON schema. Raises `UsageError` for one that cannot be used."""
    from workbench.tools.json_schema import JsonSchemaParameters

    return JsonSchemaParameters(schema)


class FunctionParameters(ToolParameters):
    """The parameters of a function."""

    def __init__(self, signature: FunctionSignature) -> None:
        self._signature = signature

    @cached_property
    def _model(self) -> ArgumentsModel:
        from workbench.tools.arguments_model import ArgumentsModel  # pydantic

        return ArgumentsModel(self._signature)

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of the arguments, with descriptions from docstring and annotations."""
        return self._model.json_schema()

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return keyword arguments, checked and converted. Raises `ArgumentsError`."""
        check_shape(arguments)
        return self._model.validate(arguments)
