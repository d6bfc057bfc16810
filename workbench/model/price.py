"""What a call of a model costs."""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def free(self) -> bool:
        """Whether a call costs nothing, however long it is."""
        return self == FREE

    def of(self, usage: Usage) -> float | None:
        """Return what this usage cost, USD; None where a price that it needs is not known, or nothing was reported."""
        cached = min(usage.cached_tokens, usage.input_tokens)
        if usage.input_tokens or usage.output_tokens:
            parts = [
                (usage.input_tokens - cached, self.input),
                (cached, self.input if self.cached is None else self.cached),
                (usage.output_tokens, self.output),
            ]
            return _sum(parts, MILLION)
        minutes = (usage.stt_seconds + usage.tts_seconds) / 60
        if self.characters is not None and usage.tts_characters:
            return usage.tts_characters * self.characters / MILLION
        if self.minute is not None and minutes:
            return minutes * self.minute
        return 0.0 if self.free else None


FREE = Price(0.0, 0.0, 0.0, 0.0, 0.0)
"""Of models that run on this machine."""


def _sum(parts: list[tuple[int, float | None]], unit: int) -> float | None:
    total = 0.0
    for amount, price in parts:
        if amount and price is None:
            return None
        total += amount * (price or 0.0) / unit
    return total
