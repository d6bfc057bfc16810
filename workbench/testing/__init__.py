"""Tests for a plugin of yours: contract checks of providers and tools, and a call of a tool as a model makes it.

    from workbench.testing import check_llm

    def test_contract() -> None:
        check_llm(lambda: Parrot(ProviderOptions("green")))

Each check makes fresh providers, runs them on a loop of its own, and raises `BrokenRule` (an AssertionError) with a
sentence that names the provider, the rule and what to do. It returns a `Report`: each rule that was kept, with its
figure. The rules are in docs/contract.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.testing.contract.llm import check_llm as check_llm
    from workbench.testing.contract.rules import BrokenRule as BrokenRule
    from workbench.testing.contract.rules import Figure as Figure
    from workbench.testing.contract.rules import Report as Report
    from workbench.testing.contract.rules import Rule as Rule
    from workbench.testing.contract.sink import check_sink as check_sink
    from workbench.testing.contract.source import check_source as check_source
    from workbench.testing.contract.stt import check_stt as check_stt
    from workbench.testing.contract.tool import check_tool as check_tool
    from workbench.testing.contract.tts import check_tts as check_tts
    from workbench.testing.contract.turn import check_turn as check_turn
    from workbench.testing.contract.vad import check_vad as check_vad
    from workbench.testing.tools import Called as Called
    from workbench.testing.tools import call_tool as call_tool
else:
    __getattr__, __dir__ = lazy_exports(__name__)
