"""The rules of the contract, and the two verdicts: kept, with a figure, or broken, with what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Rule(StrEnum):
    """A rule that a provider has to keep."""

    SHAPE = "has what the protocol asks for"
    ANSWERS = "answers"
    FORMAT = "keeps its format"
    HEARS = "hears along"
    CANCELS = "ends at once when cancelled"
    LEAVES = "is over when it is left"
    CLOSES = "closes what it opened"
    TOLERATES = "tolerates the empty and the long"
    LOOP = "keeps the loop free"
    FORGETS = "forgets the call before"
    TOGETHER = "serves two at once"
    CLOCK = "marks what is outside of the loop"
    WHY = "says why it fails"
    LISTENS = "tells speech from silence"
    UNTOUCHED = "leaves what it is given as it is"
    CHEAP = "is cheap enough to run inline"
    TIME = "keeps time"
    WAKES = "pulls when it is woken"
    ARGUMENTS = "tells the model what is wrong with its arguments"


HINTS = {
    Rule.SHAPE: "see its protocol in workbench/engine/interfaces.py",
    Rule.ANSWERS: "an ordinary call has to work before anything else can be tried",
    Rule.FORMAT: "see its protocol in workbench/engine/interfaces.py",
    Rule.HEARS: "await utterance.changed(); with `eager`, write() at each pause what covers all speech so far",
    Rule.CANCELS: "let asyncio.CancelledError through at every await, and clean up in `finally` without waiting long",
    Rule.LEAVES: "close the iterator on the way out of the context: `async with aclosing(parts) as it: yield it`",
    Rule.CLOSES: "close it in `finally`, or in __aexit__; own tasks in a TaskGroup",
    Rule.TOLERATES: "answer with nothing, or raise a StageError that says what is wrong with the input",
    Rule.LOOP: "await it, or run it in a thread (asyncio.to_thread) or process",
    Rule.FORGETS: "keep what belongs to a call in the call, not on the provider",
    Rule.TOGETHER: "keep what belongs to a call in the call, and nothing that is closed in a module",
    Rule.CLOCK: "write `with workbench.model.clock.outside():` around each await on a socket, process or thread",
    Rule.WHY: "raise a StageError (workbench.model.errors) with a reason and a hint",
    Rule.LISTENS: "see that the model is fed with windows in order, in the scale that it was trained on",
    Rule.UNTOUCHED: "copy it before you change it: others hold the same",
    Rule.CHEAP: "it runs inline at every window: use a smaller model, or remember what was asked before",
    Rule.TIME: "count samples, and derive times from the count and the clock",
    Rule.WAKES: "end the wait for the next pull in wake()",
    Rule.ARGUMENTS: "give every parameter a type, and raise errors that say what to do instead",
}


class BrokenRule(AssertionError):
    """A broken rule: `who` broke which `rule`, `what` happened, and a `hint`."""

    def __init__(self, who: str, rule: Rule, text: str, hint: str = "") -> None:
        hint = hint or HINTS[rule]
        super().__init__(f"{who} breaks the rule “{rule}”: {text} – {hint}")
        self.who = who
        self.rule = rule
        self.what = text
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Figure:
    """A measurement or count for a rule."""

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{round(self.value, 3):g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Report:
    """The rules that `who` kept, each with its figure. `print(report)` shows them."""

    who: str
    figures: dict[Rule, Figure] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = (f"  {rule:<42} {figure}" for rule, figure in self.figures.items())
        return "\n".join((f"{self.who} keeps {len(self.figures)} rules", *lines))
