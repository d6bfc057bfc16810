"""The circuit breaker of a provider: when it may be called."""

from __future__ import annotations

from typing import Literal

from workbench.engine.settings import LimitSettings

ROUNDING_S = 1e-6
"""A clock of floats may wake this much before its time, s."""
BreakerState = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """When a provider may be called: a pure state machine, `now` is the loop's time in seconds.

    closed → open after `breaker_failures` in a row → half open for the first request after `breaker_ms` (the probe) →
    closed if that one succeeds, open if it fails. A 429's Retry-After is kept in every state. Transitions return the
    new state.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self.state: BreakerState = "closed"
        self.failures = 0
        """In a row."""
        self._limits = limits
        self._opens_at = 0.0
        self._not_before = 0.0

    def refusal(self, now: float) -> str | None:
        """Return why the provider must not be called now, None if it may."""
        if (wait_s := self._not_before - now) > ROUNDING_S:
            return f"asked us to come back in {wait_s:.1f} s"
        if (wait_s := self._opens_at - now) > ROUNDING_S:
            return f"is not asked for another {wait_s:.1f} s after {self.failures} failures in a row"
        if self.state == "half_open":
            return f"is being probed by another request after {self.failures} failures in a row"
        return None

    def hold(self, now: float, retry_after: float) -> None:
        """Refuse requests for as long as the provider asks for, s."""
        self._not_before = max(self._not_before, now + retry_after)

    def admit(self) -> BreakerState:
        """Let a request begin."""
        if self.state == "open":
            self.state = "half_open"
        return self.state

    def fail(self, now: float) -> BreakerState:
        """Count a request that failed."""
        self.failures += 1
        if self.state == "half_open" or self.failures >= self._limits.breaker_failures:
            self.state, self._opens_at = "open", now + self._limits.breaker_ms / 1000
        return self.state

    def succeed(self) -> BreakerState:
        """Count a request that succeeded."""
        self.failures, self._opens_at, self.state = 0, 0.0, "closed"
        return self.state

    def abandon(self) -> BreakerState:
        """Forget a request that was cancelled: it proves nothing, and the next one may probe."""
        if self.state == "half_open":
            self.state = "open"
        return self.state

    def open_for_s(self, now: float) -> float:
        """Return how long the provider will not be called, s."""
        return max(0.0, self._opens_at - now, self._not_before - now)
