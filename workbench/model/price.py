"""What a call of a model costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from workbench.model.conversation import Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Prices in USD, None where not known: of a million tokens, of a minute of sound, of a million characters."""

    input: float | None = None
    cached: float | None = None
    output: float | None = None
    minute: float | None = None
    characters: float | None = None

    def priced(self, usage: Usage) -> Usage:
        """Return the usage of one stage with what it cost; as it is where the server has said that."""
        cost = self.of(usage) if usage.unpriced else None
        return usage if cost is None else replace(usage, cost=cost, unpriced=False)

    def of(self, usage: Usage) -> float | None:
        """Return what this usage of one stage cost, USD; None where that cannot be known: there is no price, or a model
        that is paid by the token reported none."""
        cached = min(usage.cached_tokens, usage.input_tokens)
        if usage.input_tokens or usage.output_tokens:
            parts = [
                (usage.input_tokens - cached, self.input),
                (cached, self.input if self.cached is None else self.cached),
                (usage.output_tokens, self.output),
            ]
            return _sum(parts, MILLION)
        if self.characters is not None:
            return usage.tts_characters * self.characters / MILLION
        if self.minute is not None:
            return (usage.stt_seconds + usage.tts_seconds) / 60 * self.minute
        return None


UNKNOWN = Price()
"""Of models of which no price is known."""
FREE = Price(0.0, 0.0, 0.0, 0.0, 0.0)
"""Of models that run on this machine."""


def _sum(parts: list[tuple[int, float | None]], unit: int) -> float | None:
    total = 0.0
    for amount, price in parts:
        if amount and price is None:
            return None
        total += amount * (price or 0.0) / unit
    return total
