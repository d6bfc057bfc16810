"""Tests for what a plugin brings: contract checks of providers and tools, and a call of a tool as a model makes it.

from workbench.testing import check_llm

def test_contract() -> None:
    check_llm(lambda: Parrot(ProviderOptions("green")))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.testing.contract import (
        BrokenRule,
        Figure,
        Report,
        Rule,
        check_llm,
        check_sink,
        check_source,
        check_stt,
        check_tool,
        check_tts,
        check_turn,
        check_vad,
    )
    from workbench.testing.tools import Called, call_tool

__all__ = [
    "BrokenRule",
    "Called",
    "Figure",
    "Report",
    "Rule",
    "call_tool",
    "check_llm",
    "check_sink",
    "check_source",
    "check_stt",
    "check_tool",
    "check_tts",
    "check_turn",
    "check_vad",
]

__getattr__, __dir__ = lazy_exports(__name__)
