"""The arguments of a function as one pydantic schema, from which come the JSON schema, the checks and the conversion.

Imports pydantic (0.1 s), so it is imported when somebody asks for the first schema.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from decimal import Decimal
from enum import Enum
from functools import cached_property, partial
from typing import Annotated, Any, NotRequired, Required, TypeVar, get_args, get_origin
from typing import Unpack as TypingUnpack

from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import CoreSchema, PydanticUndefined, core_schema, to_jsonable_python
from typing_extensions import ReadOnly, Unpack, get_type_hints

from workbench.model.errors import StageError, foreign
from workbench.model.text import plain
from workbench.tools.docstring import docstring_of, parameter_descriptions
from workbench.tools.signature import EMPTY, FunctionSignature, annotation_text
from workbench.tools.typed_dicts import admit_typed_dicts
from workbench.tools.validation import validate

T = TypeVar("T")
SCALARS = (str, int, float, bool, type(None))
NO_SCHEMAS_INSIDE = {"enum", "const", "default", "examples", "required"}
SCHEMAS_BY_NAME = {"properties", "$defs"}
UNPACK: tuple[Any, ...] = (Unpack, TypingUnpack)
QUALIFIERS: tuple[Any, ...] = (Required, NotRequired, ReadOnly)
UNKNOWN = object()
"""A default that nobody knows before it is made."""


class ArgumentField:
    """One argument of a function. `key` is the name by which the model gives it: its alias, if it has one."""

    def __init__(self, name: str, annotation: Any, default: Any, source: str) -> None:
        if isinstance(default, FieldInfo):  # `city: str = Field(…)`
            annotation, default = Annotated[annotation, default], EMPTY
        self.name = self.key = name
        self.type = annotation
        self.default = default
        self.source = source
        """The type as it is written."""
        self.description = ""
        self.factory: Callable[[], Any] | None = None
        if get_origin(annotation) is Annotated:
            bare, *metadata = get_args(annotation)
            self.description = next((text for text in metadata if isinstance(text, str)), "")
            notes = (
                self._without_default(note) if isinstance(note, FieldInfo) else note for note in metadata
            )
            self.type = Annotated[bare, *notes]

    def _without_default(self, info: FieldInfo) -> FieldInfo:
        """Take over what pydantic accepts from the field of a model only: alias and default."""
        self.key = info.alias or self.key
        if self.default is EMPTY and not info.is_required():
            self.factory = partial(info.get_default, call_default_factory=True)
            self.default = info.default if info.default_factory is None else UNKNOWN
        info = copy(info)
        info.alias = info.validation_alias = info.serialization_alias = info.default_factory = None
        info.default = PydanticUndefined
        return info

    def core_schema(self, handler: GetCoreSchemaHandler) -> core_schema.TypedDictField:
        """Return the field of pydantic's schema. What has a default may be left out: the function knows it."""
        schema = handler.generate_schema(self.type)
        if self.factory is not None:
            schema = core_schema.with_default_schema(schema, default_factory=self.factory)
        alias = None if self.key == self.name else self.key
        return core_schema.typed_dict_field(schema, required=self.default is EMPTY, validation_alias=alias)


class ArgumentsModel:
    """What a model may give to a function. Raises `UsageError` for types that have no JSON schema.

    It asks pydantic for the type of each parameter and builds the schema of an object around them: for a hundred tools
    5 ms, of which a `TypedDict` or `create_model` takes 28 (and gives fields like `copy` and `_x` other names).
    """

    def __init__(self, signature: FunctionSignature) -> None:
        self._signature = signature
        self.title = f"the check of {signature.name}'s arguments"
        types = signature.types()
        self._fields = [
            ArgumentField(each.name, types[each.name], each.default, annotation_text(each.annotation))
            for each in signature.parameters
        ]
        extra = types[signature.extra.name] if signature.extra else None
        if get_origin(extra) in UNPACK:  # `**options: Unpack[Options]` has the fields of that typed dict
            self._fields += _typed_dict_fields(get_args(extra)[0])
            extra = None
        for annotation in (*(each.type for each in self._fields), extra):
            admit_typed_dicts(annotation, signature.enclosing)
        self._extra = extra
        """The type of all other names; None if there may be none."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        fields = {field.name: field.core_schema(handler) for field in self._fields}
        if self._extra is None:
            return core_schema.typed_dict_schema(fields, extra_behavior="forbid")
        extra = handler.generate_schema(self._extra)
        return core_schema.typed_dict_schema(fields, extra_behavior="allow", extras_schema=extra)

    @cached_property
    def _adapter(self) -> TypeAdapter[dict[str, Any]]:
        return self._guarded(lambda: TypeAdapter(self))  # type: ignore[arg-type] # pydantic asks an instance too

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema, with descriptions from annotations and docstring."""
        core = self._adapter.core_schema
        schema = self._guarded(lambda: _json_schema(core))
        documented = parameter_descriptions(docstring_of(self._signature.function))
        for field in self._fields:
            about = schema["properties"][field.key]
            description = field.description or documented.get(field.name)
            if description:
                about.setdefault("description", description)
            if field.default is not EMPTY and field.default is not UNKNOWN:
                _add_default(about, field.default)
        return schema

    def validate(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return keyword arguments, converted, and what is wrong with them."""
        return validate(self._adapter, arguments, [field.key for field in self._fields])

    def _guarded(self, build: Callable[[], T]) -> T:
        """Return what pydantic builds of the types. `UsageError` names the parameter that it has no schema for."""
        try:
            with foreign("pydantic", "tools"):
                return build()
        except StageError as error:
            reason = _reason(error)
        for field in self._fields:
            try:
                with foreign("pydantic", "tools"):
                    _json_schema(TypeAdapter(field.type).core_schema)
            except StageError as error:
                hint = "take a type that JSON has, a dataclass or a pydantic model, and make yours from it in the tool"
                problem = f"{field.name} is {field.source}, which has no JSON schema ({_reason(error)})"
                raise self._signature.error(problem, hint) from error
        raise self._signature.error(
            f"its parameters have no JSON schema: {reason}", "give them simpler types"
        )


def _typed_dict_fields(options: Any) -> Iterator[ArgumentField]:
    for name, hint in get_type_hints(options, include_extras=True).items():
        default = EMPTY if name in options.__required_keys__ else UNKNOWN
        while get_origin(hint) in QUALIFIERS:
            hint = get_args(hint)[0]
        yield ArgumentField(name, hint, default, annotation_text(hint))


def _reason(error: StageError) -> str:
    """Return pydantic's reason without its advice; of what its core says, the innermost."""
    reason = error.reason.removeprefix(f"pydantic raised {type(error.__cause__).__name__}: ").strip()
    if type(error.__cause__).__name__ == "SchemaError":
        return plain(reason.rpartition("\n")[2], 150)
    return plain(reason.partition("\n")[0].partition(". ")[0].removesuffix("."), 150)


def _add_default(schema: dict[str, Any], default: Any) -> None:
    """Add the default, where JSON can say it and the type has it (`x: int = None` is a habit, not a type)."""
    if isinstance(default, Enum) and not isinstance(default.value, str | int | float | None):
        default = default.name
    elif isinstance(default, Decimal):
        default = float(default)
    elif isinstance(default, tuple) and hasattr(default, "_asdict"):
        default = default._asdict()
    value = default
    if type(default) not in SCALARS:
        try:
            with foreign("the default", "tools"):
                value = to_jsonable_python(default)
        except StageError:
            return
    if value is None and "null" not in _types(schema):
        return
    if not (isinstance(value, float) and not math.isfinite(value)):
        schema["default"] = value


def _types(schema: Mapping[str, Any]) -> Iterator[str]:
    if not {"type", "anyOf", "oneOf", "$ref", "enum", "const"} & set(schema):
        yield "null"  # anything
    if "type" in schema:
        yield schema["type"]
    for inner in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _types(inner)


# --- JSON schema -----------------------------------------------------------------------------------------------------


def _json_schema(core: CoreSchema) -> dict[str, Any]:
    generator = _ArgumentsJsonSchema()
    schema = generator.generate_inner(core)
    if generator.definitions:  # most have none, and need nothing that `generate` does about them: 0.06 ms
        schema = _ArgumentsJsonSchema().generate(core)
    return _without_titles(schema)


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove the titles, which repeat names and cost tokens."""
    schema.pop("title", None)
    for key, value in schema.items():
        if key in NO_SCHEMAS_INSIDE:
            continue
        inner = value.values() if key in SCHEMAS_BY_NAME else value if isinstance(value, list) else [value]
        for value in inner:
            if isinstance(value, dict):
                _without_titles(value)
    return schema


class _SchemaMethods(dict[Any, Any]):
    """Pydantic's methods by the type of a schema, each looked up when it is needed; it looks up all 60, 0.05 ms."""

    def __init__(self, generator: GenerateJsonSchema) -> None:
        super().__init__()
        self._generator = generator

    def __missing__(self, kind: str) -> Any:
        method = self[kind] = getattr(self._generator, f"{kind.replace('-', '_')}_schema")
        return method


class _ArgumentsJsonSchema(GenerateJsonSchema):
    """Pydantic's JSON schema, in the forms that a model fills in best."""

    def build_schema_type_to_method(self) -> Any:
        return _SchemaMethods(self)

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
        offer = super().decimal_schema(schema)
        return next((member for member in offer.get("anyOf", ()) if member.get("type") == "number"), offer)

    def enum_schema(self, schema: core_schema.EnumSchema) -> dict[str, Any]:
        """Its values where JSON has them, else its names; where values are numbers, the description names them."""
        kind, members = schema["cls"], schema["members"]
        if all(isinstance(member.value, SCALARS) for member in members):
            choice: dict[str, Any] = super().enum_schema(schema)
        else:
            choice = {"enum": [member.name for member in members], "type": "string"}
        if all(type(value) in {int, float} for value in choice["enum"]):
            names = ", ".join(f"{member.value} is {member.name}" for member in members)
            choice["description"] = f"{choice.get('description', '')} {names}.".strip()
        elif kind.__doc__ and "description" not in choice and kind.__doc__ != "An enumeration.":
            choice["description"] = kind.__doc__.strip()
        return choice

    def named_tuple_schema(self, schema: Any) -> dict[str, Any]:
        """An object: a model fills in names more reliably than positions."""
        properties = {field["name"]: self.generate_inner(field["schema"]) for field in schema["fields"]}
        required = [field["name"] for field in schema["fields"] if field["schema"]["type"] != "default"]
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema

    def arguments_schema(self, schema: core_schema.ArgumentsSchema) -> dict[str, Any]:
        """As above: before pydantic 2.14, a named tuple is described by its constructor's arguments."""
        if schema.get("var_args_schema"):
            return super().arguments_schema(schema)
        return self.kw_arguments_schema(schema["arguments_schema"], schema.get("var_kwargs_schema"))
