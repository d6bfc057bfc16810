"""Types as JSON schema: pydantic's, in the words that a model fills in best."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import CoreSchema, core_schema

SCALARS = (str, int, float, bool, type(None))
NO_SCHEMAS_INSIDE = {"enum", "const", "default", "examples", "required"}
MAPS = {"properties", "$defs"}


class Shell:
    """Stands for the arguments of a function: an object with these fields, and with `rest` any others of that type.

    It asks pydantic for the type of each field and puts them together itself: 60 µs for a usual function, of which a
    `TypeAdapter` of the function takes 180.
    """

    def __init__(
        self, hints: Mapping[str, Any], required: set[str], aliases: Mapping[str, str], rest: Any
    ) -> None:
        self.hints = hints
        self.required = required
        self.aliases = aliases
        self.rest = rest

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        fields = {
            name: core_schema.typed_dict_field(
                handler.generate_schema(hint),
                required=name in self.required,
                validation_alias=self.aliases.get(name),
            )
            for name, hint in self.hints.items()
        }
        if self.rest is None:
            return core_schema.typed_dict_schema(fields, extra_behavior="forbid")
        others = handler.generate_schema(self.rest)
        return core_schema.typed_dict_schema(fields, extra_behavior="allow", extras_schema=others)


def adapter(shell: Shell) -> TypeAdapter[dict[str, Any]]:
    """What checks arguments, and knows their schema."""
    return TypeAdapter(shell)  # type: ignore[arg-type] # pydantic asks an instance too


def json_schema(core: CoreSchema) -> dict[str, Any]:
    """The JSON schema, without titles."""
    return bare(_Generator().generate(core))


def of_fields(shell: Shell) -> dict[str, Any] | None:
    """The same, put together from what is known of its types; None where one of them is more than text, numbers,
    choices and lists of those. Those are what most tools take, and each is asked once a process."""
    if shell.rest is not None or not all(_is_common(hint) for hint in shell.hints.values()):
        return None
    named = {shell.aliases.get(name, name): (name, hint) for name, hint in shell.hints.items()}
    # unions and choices in another order are equal, but not the same: their text tells
    properties = {key: deepcopy(_of_type(hint, repr(hint))) for key, (_, hint) in named.items()}
    required = [key for key, (name, _) in named.items() if name in shell.required]
    made: dict[str, Any] = {"type": "object", "properties": properties}
    return {**made, **({"required": required} if required else {}), "additionalProperties": False}


@lru_cache(maxsize=256)
def _of_type(hint: Any, written: str) -> dict[str, Any]:
    return json_schema(TypeAdapter(hint).core_schema)


def _is_common(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is None:
        return hint in SCALARS or hint is None
    return origin is Literal or (
        origin in (list, Union, UnionType) and all(_is_common(inner) for inner in get_args(hint))
    )


def bare(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without the titles that repeat names; they cost tokens."""
    schema.pop("title", None)
    for key, value in schema.items():
        if isinstance(value, dict) and key in MAPS:
            for inner in value.values():
                bare(inner)
        elif isinstance(value, dict) and key not in NO_SCHEMAS_INSIDE:
            bare(value)
        elif isinstance(value, list) and key not in NO_SCHEMAS_INSIDE:
            for inner in value:
                if isinstance(inner, dict):
                    bare(inner)
    return schema


class _Methods(dict[Any, Any]):
    """Pydantic's methods by the type of a schema, each looked up when it is needed; it looks up all 60, 0.05 ms."""

    def __init__(self, generator: GenerateJsonSchema) -> None:
        super().__init__()
        self._generator = generator

    def __missing__(self, kind: str) -> Any:
        method = getattr(self._generator, f"{kind.replace('-', '_')}_schema")
        self[kind] = method
        return method


class _Generator(GenerateJsonSchema):
    def build_schema_type_to_method(self) -> Any:
        return _Methods(self)

    @property
    def mode(self) -> JsonSchemaMode:
        """What may be given, whatever a model's config says of what comes out."""
        return "validation"

    def sort(self, value: dict[str, Any], parent_key: str | None = None) -> dict[str, Any]:
        """As written: a model reads the arguments in the order of the signature."""
        return value

    def get_title_from_name(self, name: str) -> str:
        return name

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:
        """A number. (Pydantic offers text beside it, with a pattern that strict mode refuses.)"""
        offered = super().decimal_schema(schema)
        return next((one for one in offered.get("anyOf", ()) if one.get("type") == "number"), offered)

    def enum_schema(self, schema: core_schema.EnumSchema) -> dict[str, Any]:
        """Its values where JSON has them, else its names; where values are numbers, the description names them."""
        kind = schema["cls"]
        if not all(isinstance(member.value, SCALARS) for member in schema["members"]):
            found: dict[str, Any] = {"enum": [member.name for member in schema["members"]], "type": "string"}
        else:
            found = super().enum_schema(schema)
        if all(type(value) in {int, float} for value in found["enum"]):
            names = ", ".join(f"{member.value} is {member.name}" for member in schema["members"])
            found["description"] = f"{found.get('description', '')} {names}.".strip()
        elif kind.__doc__ and "description" not in found and kind.__doc__ != "An enumeration.":
            found["description"] = kind.__doc__.strip()
        return found

    def named_tuple_schema(self, schema: Any) -> dict[str, Any]:
        """An object: a model fills in names more reliably than positions."""
        properties, required = {}, []
        for field in schema["fields"]:
            properties[field["name"]] = self.generate_inner(field["schema"])
            if field["schema"]["type"] != "default":
                required.append(field["name"])
        found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**found, "required": required} if required else found

    def arguments_schema(self, schema: core_schema.ArgumentsSchema) -> dict[str, Any]:
        """As above: before pydantic 2.14, a named tuple is described by its constructor's arguments."""
        rest = schema.get("var_kwargs_schema")
        if schema.get("var_args_schema"):
            return super().arguments_schema(schema)
        return self.kw_arguments_schema(schema["arguments_schema"], rest)
