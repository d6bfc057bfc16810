"""Tools that the user must agree to: a call is refused until the question was put and the next words are a yes."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
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
    """Decide whether that is a yes (True), a no (False), or neither (None). English.

    A yes says nothing that was not in the question: whatever else there is, "but make it two", "let me think", is a
    condition, a wish or a doubt.
    """
    words = _letters(said)
    while (shorter := FILLERS.sub("", f"{words} ").strip()) != words:
        words = shorter
    if NO.search(words):
        return False if not YES.match(words) else None
    if not YES.match(words) or said.rstrip().endswith("?"):
        return None
    neutral = {*COURTESY.split(), *_letters(question).split()}
    return True if neutral.issuperset(YES.sub(" ", words).split()) else None


def _letters(text: str) -> str:
    return " ".join(re.sub(r"[^\w' ]+|_", " ", text.lower().replace("’", "'")).split())


class Consent:
    """What the user was asked, by tool. Only the very next turn can agree, and only to the same arguments."""

    def __init__(self) -> None:
        self._pending: dict[str, tuple[str, int]] = {}
        """Arguments and turn of the question that was put for a tool."""

    def refusal(self, tool: Tool, arguments: Mapping[str, Any], turn: int, said: str) -> str | None:
        """Return None if the tool may run; else what the model should do: ask, or leave it."""
        request = json.dumps(_with_defaults(tool, arguments), sort_keys=True, default=repr)
        if self._pending.pop(tool.name, None) == (request, turn - 1):
            answer = agrees(said, f"{tool.name} {request} {question(tool, arguments)}")
            if answer:
                return None
            if answer is False:
                return "Not done: the user said no. Do not do it, and do not ask again unless they want to."
        self._pending[tool.name] = request, turn
        return (
            f"{UNASKED} {question(tool, arguments)}\nIf they say yes, call {tool.name} again with the same arguments; "
            "if not, do not."
        )


def question_in(result: str) -> str | None:
    """Return the question in a result that makes the model ask the user; None if the result is another one."""
    return result.removeprefix(UNASKED).partition("\n")[0].strip() if result.startswith(UNASKED) else None


def question(tool: Tool, arguments: Mapping[str, Any]) -> str:
    """Return what the user is asked."""
    values = _with_defaults(tool, arguments)
    texts = {name: plain(str(value), limit=200, one_line=True) for name, value in values.items()}
    if isinstance(tool.confirm, str):
        try:
            return tool.confirm.format(**texts)
        except (KeyError, IndexError, ValueError, AttributeError):  # a text with other braces in it
            return tool.confirm
    listed = ", ".join(f"{name} {value}" for name, value in texts.items())
    return f"Shall I {tool.name.replace('_', ' ')}{f', with {listed}' if listed else ''}?"


def _with_defaults(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if tool.schema is not None:
        return dict(arguments)
    parameters = inspect.signature(tool.function).parameters
    defaults = {name: about.default for name, about in parameters.items() if about.default is not about.empty}
    return {**defaults, **arguments}
