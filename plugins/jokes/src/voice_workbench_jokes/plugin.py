"""The tool `joke`: one that was not told in this session."""

from __future__ import annotations

from typing import Any, Literal

from workbench import RunContext, hookimpl, tool

Topic = Literal["computers", "animals", "music"]

JOKES: dict[Topic, tuple[str, ...]] = {
    "computers": (
        "Why do programmers mix up Halloween and Christmas? Because Oct 31 equals Dec 25.",
        "There are two hard things in computing: naming things, cache invalidation, and being off by one.",
        "My computer sings. It is a Dell.",
    ),
    "animals": (
        "What do you call a fish without eyes? A fsh.",
        "Why do cows wear bells? Because their horns do not work.",
    ),
    "music": (
        "What is the difference between a piano and a fish? You can not tuna fish.",
        "How do you make a band stand? Take away their chairs.",
    ),
}


@tool(idempotent=True)
def joke(context: RunContext[Any], topic: Topic = "computers") -> str:
    """A joke that was not told yet. Tell it as it is.

    Args:
        topic: What it is about.
    """
    old: set[str] = context.state.setdefault("jokes told", set())
    fresh = [text for text in JOKES[topic] if text not in old]
    if not fresh:
        return f"There are no more jokes about {topic}. Offer another topic."
    old.add(fresh[0])
    return fresh[0]


@hookimpl
def workbench_tools() -> list[Any]:
    """Contribute the tool."""
    return [joke]
