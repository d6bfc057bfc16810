"""Errors name the thing and the next step, and know their exit code."""

from __future__ import annotations

import asyncio

import pytest

from workbench.model import errors
from workbench.model.errors import (
    BusyError,
    InternalError,
    MissingError,
    OpenBreakerError,
    RefusedError,
    StageError,
    UsageError,
    WorkbenchError,
    foreign,
    run_foreign,
)


def test_an_error_reads_as_reason_and_hint() -> None:
    assert str(UsageError("no file x", "give one")) == "no file x – give one"
    assert str(UsageError("no file x")) == "no file x"


@pytest.mark.parametrize(
    ("kind", "code"),
    [(UsageError, 2), (MissingError, 3), (StageError, 4), (BusyError, 4), (InternalError, 5)],
)
def test_each_kind_of_error_has_its_exit_code(kind: type[WorkbenchError], code: int) -> None:
    assert kind("x").exit_code == code


def test_refusals_are_not_retryable() -> None:
    assert BusyError("429", retry_after=2.0).retryable
    assert BusyError("429", retry_after=2.0, stage="llm").retry_after == 2.0
    assert not RefusedError("401").retryable
    assert not OpenBreakerError("open", stage="tts").retryable


def test_the_drawn_tree_has_every_error() -> None:
    tree = errors.__doc__ or ""
    kinds = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, WorkbenchError)
    ]
    assert [name for name in kinds if name not in tree] == []


@pytest.mark.parametrize(
    ("raised", "kind", "stage", "reason"),
    [
        (BusyError("429", retry_after=1.0), BusyError, "llm", "429"),
        (BusyError("429", stage="tts"), BusyError, "tts", "429"),
        (MissingError("no key", "set one"), RefusedError, "llm", "no key"),
        (KeyError("x\x1b[31m"), StageError, "llm", "my/llm raised KeyError: 'x\\x1b[31m'"),
    ],
)
def test_an_error_of_foreign_code_names_the_stage(
    raised: Exception, kind: type[StageError], stage: str, reason: str
) -> None:
    with pytest.raises(kind) as found, foreign("my/llm", "llm"):
        raise raised
    assert type(found.value) is kind
    assert (found.value.stage, found.value.reason) == (stage, reason)


def test_cancellation_passes_through() -> None:
    with pytest.raises(asyncio.CancelledError), foreign("my/llm", "llm"):
        raise asyncio.CancelledError
    with foreign("my/llm", "llm"):
        pass


def test_run_foreign_returns_whatever_is_raised() -> None:
    def fails(error: BaseException) -> None:
        raise error

    done: list[int] = []
    assert run_foreign("panel p", lambda: done.append(1)) is None
    assert done == [1]
    for error, reason in (
        (ValueError("no"), "panel p raised ValueError: no"),
        (SystemExit(2), "panel p raised SystemExit: 2"),
        (asyncio.CancelledError("now"), "panel p raised CancelledError: now"),
        (UsageError("not so", "but so"), "not so"),
    ):
        found = run_foreign("panel p", lambda error=error: fails(error))  # type: ignore[misc]
        assert found is not None
        assert (found.reason, found.stage) == (reason, "host")
    with pytest.raises(KeyboardInterrupt):
        run_foreign("panel p", lambda: fails(KeyboardInterrupt()))
