"""The union of events is closed, named and documented."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from workbench.model.events import EVENT_TYPES, PARTS, Bookmarked, Event, Part, type_name


def test_names_are_snake_case_and_unique() -> None:
    assert list(EVENT_TYPES.values()) == list(get_args(Event))
    assert len(EVENT_TYPES) == len(get_args(Event))
    assert type_name(Bookmarked) == "bookmarked"
    assert "vad_batch" in EVENT_TYPES
    assert get_args(Part) == PARTS


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_event_is_a_documented_value(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert (kind.__doc__ or "").strip().endswith(".")
