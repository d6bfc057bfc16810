"""From a function's signature, or from a raw JSON schema, to what a model may give, and back to keyword arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.model.errors import StageError, foreign
from workbench.model.text import plain
from workbench.tools.arguments import ArgumentsError, ToolParameters, sane
from workbench.tools.docstring import described, description_of, doc_of
from workbench.tools.signature import EMPTY, Signature, signature_of
from workbench.tools.strict import strictly

T = TypeVar("T")

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from workbench.tools.fields import Field
    from workbench.tools.generate import Shell

__all__ = ["description_of", "parameters_from", "parameters_of"]


def parameters_of(function: Callable[..., Any], *, skip: int = 0) -> ToolParameters:
    """What the model may give to a function, whose first `skip` parameters are not the model's.

    Types and docstring are read when somebody asks for the schema. Raises `UsageError` then and here.
    """
    return FunctionParameters(signature_of(function, skip))


def parameters_from(schema: Mapping[str, Any]) -> ToolParameters:
    """What the model may give by a raw JSON schema. Raises `UsageError` if that is none that can be used."""
    from workbench.tools.json_schema import JsonSchemaParameters

    return JsonSchemaParameters(schema)


class FunctionParameters:
    """The parameters of a function."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of the arguments, with descriptions from docstring and annotations."""
        from workbench.tools import generate
        from workbench.tools.fields import HIDDEN

        schema = self._made(lambda: generate.of_fields(self._shell))
        if schema is None:
            core = self._adapter.core_schema
            schema = self._made(lambda: generate.json_schema(core))
        said = described(doc_of(self._signature.function))
        for field in self._listed[0]:
            found = schema["properties"][field.key]
            found.update(field.said)
            if "description" not in found and field.name in said:
                found["description"] = said[field.name]
            if field.default is not EMPTY and field.default is not HIDDEN:
                _add_default(found, field.default)
        return schema

    @cached_property
    def _strict(self) -> tuple[Mapping[str, Any] | None, str]:
        return strictly(self.schema)

    @property
    def strict_schema(self) -> Mapping[str, Any] | None:
        """The schema for OpenAI's strict mode; None if there is none."""
        return self._strict[0]

    @property
    def loose_because(self) -> str:
        """Why there is no strict schema."""
        return self._strict[1]

    @cached_property
    def _listed(self) -> tuple[list[Field], Any]:
        from workbench.tools.fields import fields_of

        return fields_of(self._signature)

    @cached_property
    def _shell(self) -> Shell:
        from workbench.tools import generate

        fields, rest = self._listed
        return generate.Shell(
            {field.name: field.hint for field in fields},
            {field.name for field in fields if field.default is EMPTY},
            {field.name: field.key for field in fields if field.key != field.name},
            rest,
        )

    @cached_property
    def _adapter(self) -> TypeAdapter[dict[str, Any]]:
        from workbench.tools import generate

        return self._made(lambda: generate.adapter(self._shell))

    def _made(self, make: Callable[[], T]) -> T:
        """What pydantic makes of the types, or an error that names the parameter that it cannot do."""
        from workbench.tools import generate

        reason = ""
        try:
            with foreign("pydantic", "tools"):
                return make()
        except StageError as error:
            reason = _why(error)
        for field in self._listed[0]:
            try:
                with foreign("pydantic", "tools"):
                    generate.json_schema(
                        generate.adapter(generate.Shell({"it": field.hint}, set(), {}, None)).core_schema
                    )
            except StageError as error:
                hint = "take a type that JSON has, a dataclass or a pydantic model, and make yours from it in the tool"
                what = f"{field.name} is {field.written}, which has no JSON schema ({_why(error)})"
                raise self._signature.wrong(what, hint) from error
        raise self._signature.wrong(
            f"its parameters have no JSON schema: {reason}", "give them simpler types"
        )

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments, checked and converted. Raises `ArgumentsError`."""
        sane(arguments)
        found = self._checked(arguments)
        for field in self._listed[0]:
            if field.fill and field.name not in found:
                found[field.name] = field.fill()
        return found

    def _checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        from workbench.tools.binding import bound

        refused: ArgumentsError | None = None
        found: dict[str, Any] = {}
        try:
            with foreign(f"the check of {self._signature.name}'s arguments", "tools"):
                try:
                    found = bound(self._adapter, arguments, [field.key for field in self._listed[0]])
                except ArgumentsError as error:
                    refused = error
        except StageError as error:
            refused = ArgumentsError((f"The arguments could not be checked: {error.reason}.",))
        if refused is not None:
            raise refused
        return found


def _why(error: StageError) -> str:
    """Pydantic's reason, without its advice; of what its core says, the innermost."""
    reason = error.reason.removeprefix(f"pydantic raised {type(error.__cause__).__name__}: ").strip()
    if type(error.__cause__).__name__ == "SchemaError":
        return plain(reason.rpartition("\n")[2], 150)
    return plain(reason.partition("\n")[0].partition(". ")[0].removesuffix("."), 150)


def _add_default(schema: dict[str, Any], default: Any) -> None:
    """The default, where JSON can say it and the type has it (`x: int = None` is a habit, not a type)."""
    from pydantic_core import to_jsonable_python

    try:
        with foreign("the default", "tools"):
            value = to_jsonable_python(_as_given(default))
    except StageError:
        return
    if value is None and "null" not in _types(schema):
        return
    if not (isinstance(value, float) and not math.isfinite(value)):
        schema["default"] = value


def _as_given(default: Any) -> Any:
    """A default as the model would give it, where that is not how pydantic writes it."""
    if isinstance(default, Enum) and not isinstance(default.value, str | int | float | None):
        return default.name
    if isinstance(default, Decimal):
        return float(default)
    return default._asdict() if isinstance(default, tuple) and hasattr(default, "_asdict") else default


def _types(schema: Mapping[str, Any]) -> Iterator[str]:
    if not {"type", "anyOf", "oneOf", "$ref", "enum", "const"} & set(schema):
        yield "null"  # anything
    if "type" in schema:
        yield schema["type"]
    for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _types(inner)
