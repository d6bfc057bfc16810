"""What a page says, checked: it is somebody else's program, and may send anything in any order."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.model.audio import Samples

TEXT = 4_000
"""Characters of a typed message at most."""
RATES = range(8_000, 192_001)
"""Rates that a browser's microphone may have, Hz."""
LONGEST_S = 0.5
"""A chunk of sound is no longer, s."""
PAGE = re.compile(r"[0-9a-z]{4,40}")


class BadMessage(ValueError):
    """It cannot be used; the text says why."""


def page_of(content: Mapping[str, Any]) -> str:
    """The page's name of itself."""
    page = content.get("page")
    if not isinstance(page, str) or not PAGE.fullmatch(page):
        raise BadMessage("it does not say which page it is from")
    return page


def number(content: Mapping[str, Any], name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number within bounds."""
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage(f"{name} is no number")
    try:
        value = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        value = math.inf
    if not math.isfinite(value):
        raise BadMessage(f"{name} is no number")
    if not low <= value <= high:
        raise BadMessage(f"{name} is out of bounds")
    return value


def whole(content: Mapping[str, Any], name: str, high: int = 2**53) -> int:
    """A whole number from 0 up to `high`."""
    value = number(content, name, 0, high)
    if value != int(value):
        raise BadMessage(f"{name} is no whole number")
    return int(value)


def text(content: Mapping[str, Any], name: str, limit: int = TEXT) -> str:
    """A text that is not too long."""
    value = content.get(name, "")
    if not isinstance(value, str):
        raise BadMessage(f"{name} is no text")
    if len(value) > limit:
        raise BadMessage(f"{name} is longer than {limit} characters")
    return value


def flag(content: Mapping[str, Any], name: str) -> bool:
    """True or false."""
    value = content.get(name)
    if not isinstance(value, bool):
        raise BadMessage(f"{name} is neither true nor false")
    return value


def sound(buffers: Sequence[Any], rate: int) -> Samples:
    """The one buffer as mono PCM16."""
    if len(buffers) != 1:
        raise BadMessage("sound comes in one buffer")
    data = bytes(memoryview(buffers[0]).cast("B")) if buffers[0] is not None else b""
    if not data or len(data) % 2 or len(data) > 2 * LONGEST_S * rate:
        raise BadMessage("the sound is empty, odd or too long")
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False)
