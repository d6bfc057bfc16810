"""Errors as a cassette holds them, and back: the engine must see the same one again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.model import errors
from workbench.model.errors import BusyError, StageError, WorkbenchError
from workbench.model.text import redacted

KINDS: dict[str, type[WorkbenchError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, WorkbenchError)
}


def error_row(error: BaseException) -> dict[str, Any]:
    """Return an error as JSON. Its text may come from a server, so that keys are taken out."""
    if not isinstance(error, WorkbenchError):
        return {"kind": type(error).__name__, "reason": redacted(str(error))}
    row: dict[str, Any] = {
        "kind": type(error).__name__,
        "reason": redacted(error.reason),
        "hint": redacted(error.hint),
    }
    if isinstance(error, StageError):
        row |= {"stage": error.stage, "retry_after": error.retry_after}
    if isinstance(error, BusyError):
        row["loading"] = error.loading
    return row


def recorded_error(row: dict[str, Any], kinds: Mapping[str, type[WorkbenchError]] = KINDS) -> Exception:
    """Return the error of a row; one of a type that is not among `kinds` is an exception of that name."""
    name, reason, hint = str(row.get("kind")), str(row.get("reason", "")), str(row.get("hint", ""))
    kind = kinds.get(name)
    if kind is None:
        return type(name if name.isidentifier() else "Exception", (Exception,), {})(reason)  # type: ignore[no-any-return]
    if not issubclass(kind, StageError):
        return kind(reason, hint)
    retry_after = row.get("retry_after")
    error = kind(
        reason,
        hint,
        stage=str(row.get("stage", "")),
        retry_after=float(retry_after)
        if isinstance(retry_after, int | float) and 0 <= retry_after < 1e9
        else None,
    )
    if isinstance(error, BusyError):
        error.loading = row.get("loading") is True
    return error
