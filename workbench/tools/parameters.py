"""The parameters of a tool, from a function's signature or from a JSON schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.model.errors import StageError, foreign
from workbench.model.text import plain
from workbench.tools.arguments import ArgumentsError, check_shape, read
from workbench.tools.signature import signature_of

if TYPE_CHECKING:
    from workbench.tools.arguments_model import ArgumentsModel
    from workbench.tools.json_schema import JsonSchemaModel


class ToolParameters:
    """What a model may give to a tool. `make` reads types, docstring or schema when somebody asks."""

    def __init__(self, make: Callable[[], ArgumentsModel | JsonSchemaModel]) -> None:
        self._make = make

    @cached_property
    def _model(self) -> ArgumentsModel | JsonSchemaModel:
        return self._make()

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of the arguments: an object. UsageError for a signature that has none."""
        return self._model.json_schema()

    @cached_property
    def _strict(self) -> tuple[Mapping[str, Any] | None, str]:
        from workbench.tools.strict import strict_form

        return strict_form(self.schema)

    @property
    def strict_schema(self) -> Mapping[str, Any] | None:
        """The schema as OpenAI's strict mode wants it; None if it cannot be said so."""
        return self._strict[0]

    @property
    def loose_because(self) -> str:
        """Why there is no strict schema; empty if there is."""
        return self._strict[1]

    def parse(self, text: str) -> dict[str, Any]:
        """Return the model's JSON as keyword arguments. No text at all is no arguments. Raises `ArgumentsError`."""
        return self.bind(read(text))

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return keyword arguments for the function, checked and converted. Raises `ArgumentsError`."""
        check_shape(arguments)
        values: dict[str, Any] = {}
        try:
            with foreign(self._model.title, "tools"):
                values, problems = self._model.validate(arguments)
        except StageError as error:
            reason = plain(error.reason, 200, one_line=True)
            problems = (f"The arguments could not be checked: {reason}.",)
        if problems:
            raise ArgumentsError(problems)
        return values


def parameters_of(function: Callable[..., Any], *, skip: int = 0) -> ToolParameters:
    """Return the parameters of a function without its first `skip`, which are not the model's. Raises `UsageError`."""
    signature = signature_of(function, skip)

    def make() -> ArgumentsModel:
        from workbench.tools.arguments_model import ArgumentsModel  # pydantic, 0.1 s

        return ArgumentsModel(signature)

    return ToolParameters(make)


def parameters_from(schema: Mapping[str, Any]) -> ToolParameters:
    """Return the parameters that a JSON schema describes. Raises `UsageError` for one that cannot be used."""
    from workbench.tools.json_schema import JsonSchemaModel

    model = JsonSchemaModel(schema)
    return ToolParameters(lambda: model)
