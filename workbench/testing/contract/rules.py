"""The rules, and what a check says of them: kept, with a figure, or broken, with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from workbench.model.errors import StageError, foreign
from workbench.model.text import plain
from workbench.plugin.hookspecs import Provider, ProviderOptions

T = TypeVar("T")
Maker = Callable[[], T] | Provider
"""Gives a fresh provider at each call; or a `Provider` as a plugin registers it."""


class Rule(StrEnum):
    """What a provider has to keep."""

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
    """A rule was broken: `who`, which `rule`, `what` happened, and a `hint`."""

    def __init__(self, who: str, rule: Rule, what: str, hint: str = "") -> None:
        hint = hint or HINTS[rule]
        super().__init__(f"{who} breaks the rule “{rule}”: {what} – {hint}")
        self.who = who
        self.rule = rule
        self.what = what
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured or counted for a rule."""

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{round(self.value, 3):g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found: the rules that `who` kept, each with its figure. `print(report)` shows them."""

    who: str
    figures: dict[Rule, Figure] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = (f"  {rule:<42} {figure}" for rule, figure in self.figures.items())
        return "\n".join((f"{self.who} keeps {len(self.figures)} rules", *lines))


class Ledger:
    """What is known so far of the provider under test."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.who = f"the {stage}"
        self._figures: dict[Rule, Figure] = {}

    def name(self, thing: object) -> None:
        """Call it what it calls itself."""
        name = getattr(thing, "name", None)
        called = name if isinstance(name, str) and name.strip() else type(thing).__name__
        self.who = f"{self.stage} {plain(called, 60, one_line=True)}"

    def kept(self, rule: Rule, value: float, unit: str) -> None:
        """The rule was kept; of several figures of one rule the largest counts."""
        known = self._figures.get(rule)
        self._figures[rule] = Figure(max(value, known.value) if known else value, unit)

    def need(self, condition: object, rule: Rule, what: str, hint: str = "") -> None:
        """BrokenRule unless the condition holds."""
        if not condition:
            raise self.broken(rule, what, hint)

    @contextmanager
    def tolerating(self, what: str) -> Iterator[None]:
        """Around something odd that is given to what runs inline: there nothing may be raised."""
        try:
            with foreign(self.who, self.stage):
                yield
        except StageError as error:
            cause = error.__cause__ or error
            if isinstance(cause, BrokenRule):
                raise cause from None
            raise self.broken(Rule.TOLERATES, f"{what}: {error.reason}", "answer without an error") from cause

    def broken(self, rule: Rule, what: str, hint: str = "") -> BrokenRule:
        """The error to raise."""
        return BrokenRule(self.who, rule, what, hint)

    def report(self) -> Report:
        """What was found, in the order of the rules."""
        return Report(self.who, {rule: self._figures[rule] for rule in Rule if rule in self._figures})


def shown(thing: object) -> str:
    """A value in an error message."""
    return plain(f"a {type(thing).__name__}" if callable(thing) else repr(thing), 80, one_line=True)


def factory(make: Maker[Any], stage: str, options: ProviderOptions | None) -> Callable[[], Any]:
    """What makes fresh providers. ValueError for a `Provider` of another stage."""
    if not isinstance(make, Provider):
        return make
    if make.stage != stage:
        raise ValueError(f"{make.name} is a provider of the stage {make.stage}, not of {stage}")
    chosen = options or ProviderOptions(make.models[0] if make.models else "default")
    return lambda: make.make(chosen)
