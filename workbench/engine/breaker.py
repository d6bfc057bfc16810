"""When a provider may be asked: not before it said, and not for a while after it failed too often in a row."""

from __future__ import annotations

from typing import Literal

from workbench.engine.settings import LimitKnobs

State = Literal["closed", "open", "half_open"]
ROUNDING_S = 1e-6
"""A clock of floats may wake this much before what was asked for, s."""


class Breaker:
    """The circuit breaker of one provider: a pure state machine, `now` is the loop's time in seconds.

    closed → open after `breaker_failures` in a row → half open when `breaker_ms` have passed and somebody asks → closed
    if that probe works, open if it fails. A 429's Retry-After is kept in every state.
    """

    def __init__(self, limits: LimitKnobs) -> None:
        self.state: State = "closed"
        self.failures = 0
        """In a row."""
        self._limits = limits
        self._opens_at = 0.0
        self._not_before = 0.0

    def refusal(self, now: float) -> str | None:
        """Why the provider must not be asked now, None if it may."""
        if (wait_s := self._not_before - now) > ROUNDING_S:
            return f"asked us to come back in {wait_s:.1f} s"
        if (wait_s := self._opens_at - now) > ROUNDING_S:
            return f"is not asked for another {wait_s:.1f} s after {self.failures} failures in a row"
        if self.state == "half_open":
            return f"is being probed by another request after {self.failures} failures in a row"
        return None

    def later(self, now: float, retry_after: float) -> None:
        """The provider says when it may be asked again."""
        self._not_before = max(self._not_before, now + retry_after)

    def asked(self) -> State:
        """Somebody asks; the state now."""
        if self.state == "open":
            self.state = "half_open"
        return self.state

    def failed(self, now: float) -> State:
        """A request failed; the state now."""
        self.failures += 1
        if self.state == "half_open" or self.failures >= self._limits.breaker_failures:
            self.state, self._opens_at = "open", now + self._limits.breaker_ms / 1000
        return self.state

    def worked(self) -> State:
        """A request worked; the state now."""
        self.failures, self._opens_at, self.state = 0, 0.0, "closed"
        return self.state

    def given_up(self) -> State:
        """A request was cancelled: a probe that proves nothing leaves the way open for the next; the state now."""
        if self.state == "half_open":
            self.state = "open"
        return self.state

    def open_for_s(self, now: float) -> float:
        """How long the provider will not be asked, s."""
        return max(0.0, self._opens_at - now, self._not_before - now)
