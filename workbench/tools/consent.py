"""Tools that the user must agree to: a call is refused until the question was put and the next words are a yes."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.model.text import plain
from workbench.tools.tool import Tool

YES = re.compile(
    r"\b(yes|yeah|yep|yup|sure|ok|okay|correct|right|fine|exactly|absolutely|definitely|certainly|agreed|confirmed?|"
    r"go ahead|go for it|do it|do that|do so|please do|of course|sounds good|that works|perfect)\b"
)
NO = re.compile(
    r"\b(no|nope|nah|not|don'?t|never|cancel|stop|wait|hold on|wrong|instead|rather|leave it|forget it|nevermind|"
    r"never mind)\b"
)
UNASKED = "Not done yet: the user must agree first. Ask them now:"
FILLERS = re.compile(
    r"^(uh|um|er|well|oh|ah|hmm?|so|and|please|that'?s|that is|it'?s|thank you|thanks|i said|i mean)\s+"
)


COURTESY = (
    "please thanks thank you yes yeah yep sure ok okay right fine good great very much just now so it it's that that's "
    "this them i i'd i'll i'm we we'd do would will like love want said mean to the a an for me us my with is are in "
    "on at of and all too go ahead let's uh um er hmm well oh"
)
"""Words that add nothing to a yes."""


def agrees(said: str, question: str = "") -> bool | None:
    """Whether that is a yes (True), a no (False), or neither (None). English. A yes says nothing that was not in the
    question: whatever else there is, "but make it two", "let me think", is a condition, a wish or a doubt."""
    words = _letters(said)
    while (shorter := FILLERS.sub("", f"{words} ").strip()) != words:
        words = shorter
    if NO.search(words):
        return False if not YES.match(words) else None
    if not YES.match(words) or said.rstrip().endswith("?"):
        return None
    known = {*COURTESY.split(), *_letters(question).split()}
    return True if known.issuperset(YES.sub(" ", words).split()) else None


def _letters(text: str) -> str:
    return " ".join(re.sub(r"[^\w' ]+|_", " ", text.lower().replace("’", "'")).split())


@dataclass(frozen=True, slots=True)
class _PendingQuestion:
    """A question that was put in `turn`."""

    arguments: str
    turn: int


class Consent:
    """What was asked, by tool. Only the very next turn can agree, and only to the same arguments."""

    def __init__(self) -> None:
        self._asked: dict[str, _PendingQuestion] = {}

    def refusal(self, tool: Tool, arguments: Mapping[str, Any], turn: int, said: str) -> str | None:
        """None if the tool may run; else what the model is told: to ask, or to leave it."""
        wanted = json.dumps(_whole(tool, arguments), sort_keys=True, default=repr)
        before = self._asked.pop(tool.name, None)
        if before is not None and before.turn + 1 == turn and before.arguments == wanted:
            answer = agrees(said, f"{tool.name} {wanted} {question(tool, arguments)}")
            if answer:
                return None
            if answer is False:
                return "Not done: the user said no. Do not do it, and do not ask again unless they want to."
        self._asked[tool.name] = _PendingQuestion(wanted, turn)
        return (
            f"{UNASKED} {question(tool, arguments)}\nIf they say yes, call {tool.name} again with the same arguments; "
            "if not, do not."
        )


def question_in(told: str) -> str | None:
    """The question that the model is told to ask, None if it is told something else."""
    return told.removeprefix(UNASKED).partition("\n")[0].strip() if told.startswith(UNASKED) else None


def question(tool: Tool, arguments: Mapping[str, Any]) -> str:
    """What the user is asked."""
    shown = {
        name: plain(str(value), limit=200, one_line=True) for name, value in _whole(tool, arguments).items()
    }
    if isinstance(tool.confirm, str):
        try:
            return tool.confirm.format(**shown)
        except (KeyError, IndexError, ValueError, AttributeError):  # a text with other braces in it
            return tool.confirm
    told = ", ".join(f"{name} {value}" for name, value in shown.items())
    return f"Shall I {tool.name.replace('_', ' ')}{f', with {told}' if told else ''}?"


def _whole(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the defaults of those that were left out."""
    if tool.schema is not None:
        return dict(arguments)
    parameters = inspect.signature(tool.function).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
    return {**defaults, **arguments}
