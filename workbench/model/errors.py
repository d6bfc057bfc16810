"""Everything that can go wrong, as a tree; each error names the thing, the reason and the next step.

WorkbenchError
├── UsageError        bad input: a flag, a file, a setting                         exit code 2
├── MissingError      a device, model, key or system package is not there          exit code 3
├── StageError        a stage of a turn failed; carries the stage's name           exit code 4
│   ├── DeadlineError     it took longer than its deadline
│   ├── RefusedError      the provider said no (401, 403, 404): trying again is useless
│   ├── BusyError         the provider said later (429, 503); `retry_after` in seconds
│   ├── GarbageError      it answered with what cannot be understood
│   ├── EndedEarlyError   the answer stopped before its end
│   │   └── EmptyAnswerError  it ended without a word or a call
│   └── OpenBreakerError  not tried: the provider failed too often just now
└── InternalError     our own fault                                                exit code 5
"""

from __future__ import annotations

from collections.abc import Callable

from workbench.model.text import plain


class WorkbenchError(Exception):
    """An error that a user can act on: `reason` says what is wrong, `hint` what to do next."""

    exit_code = 5

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.reason} – {self.hint}" if self.hint else self.reason


def _reason_and_hint(error: WorkbenchError) -> list[str]:
    """Return what a notebook shows instead of a traceback, where the user can do something about it."""
    return [
        f"{type(error).__name__}: {plain(error.reason)}",
        *([f"→ {plain(error.hint)}"] if error.hint else []),
    ]


class UsageError(WorkbenchError):
    """Bad input: a flag, a file or a setting that cannot be used as it is."""

    exit_code = 2
    _render_traceback_ = _reason_and_hint


class MissingError(WorkbenchError):
    """A device, a model's weights, a key or a system package is not there."""

    exit_code = 3
    _render_traceback_ = _reason_and_hint


class StageError(WorkbenchError):
    """A stage of a turn failed. `stage` is filled in by the engine where the provider left it empty."""

    exit_code = 4
    retryable = True

    def __init__(
        self, reason: str, hint: str = "", *, stage: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(reason, hint)
        self.stage = stage
        self.retry_after = retry_after


class DeadlineError(StageError):
    """The stage took longer than its deadline."""


class RefusedError(StageError):
    """The provider refused (wrong key, unknown model, bad request): the same request would be refused again."""

    retryable = False


class BusyError(StageError):
    """The provider asked to come back later; `retry_after` is its word for when, in seconds. `loading`: it loads its
    model, so that asking again will help."""

    loading = False


class GarbageError(StageError):
    """The provider answered with something that cannot be understood."""


class EndedEarlyError(StageError):
    """The provider's answer stopped before its end."""


class EmptyAnswerError(EndedEarlyError):
    """The model ended its answer without a word, a call or a refusal; the engine asks it once more."""

    retryable = False


class OpenBreakerError(StageError):
    """Not tried: the provider failed too often in a row, and its circuit breaker is open."""

    retryable = False


class InternalError(WorkbenchError):
    """Something that should not be possible: our own fault."""


def run_foreign(owner: str, work: Callable[[], object]) -> StageError | None:
    """Run foreign code in a thread of ours that has to go on; return its error, also where that is no `Exception`."""
    try:
        with foreign(owner, "host"):
            work()
    except StageError as error:
        return error
    except KeyboardInterrupt:  # where it is the user's thread after all
        raise
    except BaseException as error:  # noqa: BLE001  # SystemExit, CancelledError: it would end our thread without a word
        reason = plain(f"{type(error).__name__}: {error}", limit=300)
        return StageError(f"{owner} raised {reason}", f"look into {owner}", stage="host")
    return None


class foreign:
    """The context of foreign code (a provider, a tool, a plugin): whatever it raises becomes a `StageError` that names
    its `owner`; with `keep` any `WorkbenchError` stays what it is.

    Cancellation passes through. This is the one place of the engine that catches every `Exception`. A class, because it
    is entered for each window of sound: 0.4 µs instead of 1.5.
    """

    __slots__ = ("_keep", "_owner", "_stage")

    def __init__(self, owner: str, stage: str, *, keep: bool = False) -> None:
        self._owner = owner
        self._stage = stage
        self._keep = keep

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception):
            return
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):  # of a task group: its first failure is the reason
            cause = cause.exceptions[0]
        if isinstance(cause, StageError):
            cause.stage = cause.stage or self._stage
        if isinstance(cause, StageError) or (self._keep and isinstance(cause, WorkbenchError)):
            if cause is error:
                return
            raise cause from None
        if isinstance(cause, WorkbenchError):
            raise RefusedError(cause.reason, cause.hint, stage=self._stage) from error
        reason = plain(f"{type(cause).__name__}: {cause}", limit=300)
        raise StageError(
            f"{self._owner} raised {reason}", f"look into {self._owner}", stage=self._stage
        ) from error
