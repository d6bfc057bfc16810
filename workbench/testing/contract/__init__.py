"""Contract tests: what the engine relies on, tried on a provider of yours in one line of your own pytest.

    from workbench.testing import check_llm

    def test_contract() -> None:
        check_llm(lambda: Parrot(ProviderOptions("green")))

Each check makes fresh providers, runs them on a loop of its own, and raises `BrokenRule` (an AssertionError) with a
sentence that names the provider, the rule and what to do. It returns a `Report`: each rule that was kept, with its
figure. The rules are in docs/contract.md.
"""

from workbench.testing.contract.llm import check_llm
from workbench.testing.contract.rules import BrokenRule, Figure, Report, Rule
from workbench.testing.contract.sink import check_sink
from workbench.testing.contract.source import check_source
from workbench.testing.contract.stt import check_stt
from workbench.testing.contract.tool import check_tool
from workbench.testing.contract.tts import check_tts
from workbench.testing.contract.turn import check_turn
from workbench.testing.contract.vad import check_vad

__all__ = [
    "BrokenRule",
    "Figure",
    "Report",
    "Rule",
    "check_llm",
    "check_sink",
    "check_source",
    "check_stt",
    "check_tool",
    "check_tts",
    "check_turn",
    "check_vad",
]
