"""The parameters of a function as its schema needs them: type, name for the model, default, and what else was said."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NotRequired, Required, get_args, get_origin

from pydantic import Discriminator
from pydantic.fields import FieldInfo
from typing_extensions import Unpack, get_type_hints

from workbench.tools.signature import EMPTY, Signature, annotation_text

HIDDEN = object()
"""A default that nobody knows before it is made."""


def fields_of(signature: Signature) -> tuple[list[Field], Any]:
    """A field for each parameter, and the type of all other names; None if there may be none.

    `**options: Unpack[Options]` has the fields of that typed dict. Raises `UsageError` for a type that is not known.
    """
    hints = signature.hints()
    fields = [
        Field(parameter.name, hints[parameter.name], parameter.default, annotation_text(parameter.annotation))
        for parameter in signature.parameters
    ]
    rest = hints[signature.rest.name] if signature.rest else None
    if get_origin(rest) is not Unpack:
        return fields, rest
    options = get_args(rest)[0]
    for name, hint in get_type_hints(options, include_extras=True).items():
        default = EMPTY if name in options.__required_keys__ else HIDDEN
        origin: Any = get_origin(hint)
        bare = get_args(hint)[0] if origin in {Required, NotRequired} else hint
        fields.append(Field(name, bare, default, annotation_text(bare)))
    return fields, None


class Field:
    """A parameter as the schema needs it. `key` is the name by which the model gives it: its alias, if it has one."""

    def __init__(self, name: str, hint: Any, default: Any, written: str) -> None:
        self.written = written
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
