"""From a function's signature, or from a raw JSON schema, to what a model may give, and back to keyword arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

from workbench.model.errors import StageError, foreign
from workbench.model.text import plain
from workbench.tools.arguments import ArgumentsError, Parameters, sane
from workbench.tools.docstring import described, description_of, doc_of
from workbench.tools.signature import EMPTY, Signature, annotation_text, signature_of
from workbench.tools.strict import strictly

T = TypeVar("T")
HIDDEN = object()
"""A default that nobody knows before it is made."""

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic.fields import FieldInfo

__all__ = ["description_of", "parameters_from", "parameters_of"]


def parameters_of(function: Callable[..., Any], *, skip: int = 0) -> Parameters:
    """What the model may give to a function, whose first `skip` parameters are not the model's.

    Types and docstring are read when somebody asks for the schema. Raises `UsageError` then and here.
    """
    return _Parameters(signature_of(function, skip))


def parameters_from(schema: Mapping[str, Any]) -> Parameters:
    """What the model may give by a raw JSON schema. Raises `UsageError` if that is none that can be used."""
    from workbench.tools.rawschema import RawParameters

    return RawParameters(schema)


class _Parameters:
    """The parameters of a function."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of the arguments, with descriptions from docstring and annotations."""
        from workbench.tools import generate

        core = self._adapter.core_schema
        schema = self._made(lambda: generate.json_schema(core))
        said = described(doc_of(self._signature.function))
        for field in self._fields:
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
    def _fields(self) -> list[_Field]:
        hints = self._signature.hints()
        return [
            _Field(parameter.name, hints[parameter.name], parameter.default)
            for parameter in self._signature.parameters
        ]

    @cached_property
    def _adapter(self) -> TypeAdapter[dict[str, Any]]:
        from workbench.tools import generate

        rest = self._signature.rest
        shell = generate.Shell(
            {field.name: field.hint for field in self._fields},
            {field.name for field in self._fields if field.default is EMPTY},
            {field.name: field.key for field in self._fields if field.key != field.name},
            self._signature.hints()[rest.name] if rest else None,
        )
        return self._made(lambda: generate.adapter(shell))

    def _made(self, make: Callable[[], T]) -> T:
        """What pydantic makes of the types, or an error that names the parameter that it cannot do."""
        from workbench.tools import generate

        reason = ""
        try:
            with foreign("pydantic", "tools"):
                return make()
        except StageError as error:
            reason = error.reason
        for field in self._fields:
            try:
                with foreign("pydantic", "tools"):
                    generate.json_schema(
                        generate.adapter(generate.Shell({"it": field.hint}, set(), {}, None)).core_schema
                    )
            except StageError as error:
                annotation = next(p.annotation for p in self._signature.parameters if p.name == field.name)
                why = _why(error)
                hint = "take a type that JSON has, a dataclass or a pydantic model, and make yours from it in the tool"
                what = f"{field.name} is {annotation_text(annotation)}, which has no JSON schema ({why})"
                raise self._signature.wrong(what, hint) from error
        raise self._signature.wrong(
            f"its parameters have no JSON schema: {reason}", "give them simpler types"
        )

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments, checked and converted. Raises `ArgumentsError`."""
        sane(arguments)
        found = self._checked(arguments)
        for field in self._fields:
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
                    found = bound(self._adapter, arguments, [field.key for field in self._fields])
                except ArgumentsError as error:
                    refused = error
        except StageError as error:
            refused = ArgumentsError((f"The arguments could not be checked: {error.reason}.",))
        if refused is not None:
            raise refused
        return found


class _Field:
    """A parameter as the schema needs it. `key` is the name by which the model gives it: its alias, if it has one."""

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        from pydantic.fields import FieldInfo

        self.name = self.key = name
        self.default = default
        self.said: dict[str, Any] = {}
        self.fill: Callable[[], Any] | None = None
        self.hint, notes = (
            (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())
        )
        if isinstance(default, FieldInfo):  # `city: str = Field(…)`
            self.default, notes = EMPTY, (*notes, default)
        kept: list[Any] = []
        for note in notes:
            if isinstance(note, str):
                self.said.setdefault("description", note)
            elif isinstance(note, FieldInfo):
                kept += self._taken(note)
            else:
                kept.append(note)
        if kept:
            self.hint = Annotated[self.hint, *kept]

    def _taken(self, note: FieldInfo) -> list[Any]:
        """What a `Field(…)` says that pydantic wants to hear outside of a model; the rest is taken over here."""
        from pydantic import Discriminator

        self.key = note.alias or self.key
        said = {"description": note.description, "examples": note.examples}
        self.said.update({keyword: value for keyword, value in said.items() if value})
        if isinstance(note.json_schema_extra, dict):
            self.said.update(note.json_schema_extra)
        if self.default is EMPTY and not note.is_required():
            self.fill = partial(note.get_default, call_default_factory=True)
            self.default = note.default if note.default_factory is None else HIDDEN
        kind = note.discriminator
        return [*note.metadata, *([Discriminator(kind) if isinstance(kind, str) else kind] if kind else [])]


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
