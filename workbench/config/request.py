"""What shapes the requests to a server, as settings: headers, fields of the body; and `${NAME}` in a secret."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr

from workbench.model.errors import MissingError

VARIABLE = re.compile(r"\$\{(\w+)\}")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
ENGINE_FIELDS = ("messages", "stream", "tools", "input", "file", "model")
"""Fields of a request that are the conversation itself."""


def read_table(value: Any) -> Any:
    """Return the table that a text says, as JSON or as TOML writes it inline; other values as they are."""
    if not isinstance(value, str):
        return value
    try:
        table = json.loads(value)
    except ValueError:
        try:
            table = tomllib.loads(f"table = {value}")["table"]
        except tomllib.TOMLDecodeError:
            table = None
    if not isinstance(table, dict):
        raise ValueError('no table: write it like {"name": 1} or {name = 1}')
    return table


def read_value(text: Any) -> Any:
    """Return what a text says as JSON or TOML (`0.2`, `true`, `[1]`), else the text itself."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        pass
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _words(value: Any) -> Any:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _names(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, secret in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError("a header's name has letters, digits and - only, like X-Title")
        check_header(name, secret.get_secret_value())
    return headers


def check_header(name: str, value: str) -> None:
    """ValueError, without the value, for one that HTTP cannot carry."""
    if not all(" " <= character <= "~" for character in value) or value != value.strip():
        raise ValueError(f"the value of {name} has characters that no header has")


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    for name, value in fields.items():
        if name in ENGINE_FIELDS:
            raise ValueError(f"{name} is the conversation's own: the engine fills it")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise ValueError(f"{name} cannot be sent as JSON") from None
    return fields


Table = Annotated[dict[str, Any], BeforeValidator(read_table)]
Headers = Annotated[dict[str, SecretStr], BeforeValidator(read_table), AfterValidator(_names)]
Fields = Annotated[dict[str, Any], BeforeValidator(read_table), AfterValidator(_body)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


def expand(text: str, place: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a text with the variables of the environment that it names; MissingError for one that is not set."""
    if absent := missing_variable(text, environ):
        raise MissingError(f"{place}: {absent} is not set", f"export {absent}=…")
    return VARIABLE.sub(lambda match: environ[match[1]].strip(), text)


def missing_variable(text: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the first variable that a text names and the environment has not, None if there is none."""
    return next((name for name in VARIABLE.findall(text) if not environ.get(name)), None)
