"""What calls cost, and what is not known of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.model.conversation import NO_USAGE, Usage
from workbench.model.price import FREE, UNKNOWN, Price
from workbench.views.format import money

TOKENS = Price(input=2.0, cached=0.5, output=10.0)


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [
        (TOKENS, Usage(1_000_000, 0), 2.0),
        (TOKENS, Usage(1_000_000, 100_000, cached_tokens=400_000), 1.2 + 0.2 + 1.0),
        (TOKENS, Usage(10, cached_tokens=99), 10 * 0.5e-6),
        (Price(input=2.0, output=10.0), Usage(1_000_000, cached_tokens=500_000), 2.0),
        (Price(output=10.0), Usage(1, 1), None),
        (TOKENS, Usage(), None),
        (Price(minute=0.06), Usage(stt_seconds=30), 0.03),
        (Price(minute=0.06), Usage(tts_seconds=30, tts_characters=99), 0.03),
        (Price(characters=15.0), Usage(tts_characters=2_000), 0.03),
        (Price(characters=15.0), Usage(tts_seconds=5), 0.0),
        (UNKNOWN, Usage(5, 5), None),
        (UNKNOWN, Usage(tts_seconds=5), None),
        (FREE, Usage(5, 5), 0.0),
        (FREE, Usage(), 0.0),
        (FREE, Usage(tts_seconds=5), 0.0),
    ],
)
def test_what_a_usage_costs(price: Price, usage: Usage, cost: float | None) -> None:
    assert price.of(usage) == (None if cost is None else pytest.approx(cost))
    priced = price.priced(usage)
    assert priced.unpriced == (cost is None)
    assert priced.to_json()["cost"] == (None if cost is None else pytest.approx(cost))


def test_what_the_server_charges_goes_before_the_table() -> None:
    assert TOKENS.priced(Usage(1_000_000, cost=0.25, unpriced=False)).cost == 0.25


usages = st.builds(
    Usage,
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.floats(0, 100),
    cost=st.floats(0, 1),
    unpriced=st.booleans(),
)


@given(st.lists(usages))
def test_a_sum_is_known_only_where_every_part_is_and_never_less_than_what_is(parts: list[Usage]) -> None:
    total = sum(parts, NO_USAGE)
    said = total.to_json()
    assert (said["cost"] is None) == any(part.unpriced for part in parts)
    assert said["cost_at_least"] == pytest.approx(sum(part.cost for part in parts), abs=1e-7)
    assert money(said).startswith("≥") == (said["cost"] is None and bool(said["cost_at_least"]))


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        ({"cost": 0.0, "cost_at_least": 0.0}, "$0"),
        ({"cost": 0.000123, "cost_at_least": 0.000123}, "$0.00012"),
        ({"cost": 1.5, "cost_at_least": 1.5}, "$1.50"),
        ({"cost": None, "cost_at_least": 0.0042}, "≥\N{NO-BREAK SPACE}$0.0042"),
        ({"cost": None, "cost_at_least": 0.0}, "–"),
        ({"input_tokens": 3.0}, "–"),
        ({}, "–"),
    ],
)
def test_money_is_never_nothing_where_it_is_not_known(usage: dict[str, float | None], text: str) -> None:
    assert money(usage) == text
