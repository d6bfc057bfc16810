"""`check_llm`: what the engine relies on in a language model."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from workbench.engine.interfaces import Llm, Text
from workbench.model.conversation import Message, ToolCall, ToolSpec, Usage
from workbench.plugin.hookspecs import ProviderOptions
from workbench.testing.contract.rules import Ledger, Maker, Report, Rule, factory, shown
from workbench.testing.contract.stage import Use, check
from workbench.testing.contract.stream import BRIEF, is_over_when_left, items_of
from workbench.testing.contract.texts import LONG, ODD
from workbench.testing.contract.trial import Trial

MEMBERS = {"name": str, "sees": bool, "starts": int, "warm": None, "reply": None}
SYSTEM = Message("system", "You are a friendly assistant. Keep answers short.")
QUESTION = [SYSTEM, Message("user", "What is the capital of France?")]
GREETED = [Message("system", "Answer with one word."), Message("user", "Say yes.")]
TOOL = ToolSpec(
    "weather",
    "How the weather is in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CALLED = [
    *QUESTION,
    Message("assistant", "Let me see.", calls=(ToolCall("call_1", "weather", '{"city": "Paris"}'),)),
    Message("tool", '{"celsius": 20}', call_id="call_1"),
]
TURNS = [Message("user", "And?"), Message("assistant", "More.")]
HISTORIES: dict[str, Sequence[Message]] = {
    **{f"{what} as a message": [SYSTEM, Message("user", text)] for what, text in ODD.items()},
    "no instructions": [Message("user", "Hello.")],
    "a reply that was cut": [*QUESTION, Message("assistant", "Par", cut=True), Message("user", "What?")],
    "a call of a tool and its result": CALLED,
}

LONG_HISTORIES: dict[str, Sequence[Message]] = {
    **{f"{what} as a message": [SYSTEM, Message("user", text)] for what, text in LONG.items()},
    "a history of 100 messages": [SYSTEM, *TURNS * 49, Message("user", "Hello.")],
}


def check_llm(
    make: Maker[Llm],
    *,
    options: ProviderOptions | None = None,
    failing: Callable[[], Llm] | None = None,
    deadline_s: float = 30.0,
) -> Report:
    """Check a language model. Raises BrokenRule.

    `failing` gives one whose calls have to fail (a server that is not there, a wrong key), to see that it says why. No
    call may take longer than `deadline_s`.
    """
    ledger = Ledger("llm")

    async def whole(llm: Llm) -> None:
        parts = await _reply(ledger, llm, QUESTION)
        ledger.need(parts, Rule.ANSWERS, "it answered an ordinary question with nothing")
        _whole(ledger, parts)

    async def more(trial: Trial, llm: Llm) -> None:
        _whole(ledger, await trial.done("a call with a tool", _reply(ledger, llm, QUESTION, (TOOL,))))
        given, messages = list(QUESTION), list(QUESTION)
        await trial.done("a call", _reply(ledger, llm, messages, take=BRIEF))
        ledger.need(messages == given, Rule.UNTOUCHED, "it changed the list of messages")
        ledger.kept(Rule.UNTOUCHED, len(given), "messages")
        await is_over_when_left(trial, lambda: llm.reply(QUESTION), "reply()")
        await _forgets(trial, llm)

    def odd(messages: Sequence[Message]) -> Callable[[Llm], Coroutine[Any, Any, Any]]:
        return lambda llm: _reply(ledger, llm, messages, take=BRIEF)

    use = Use(
        MEMBERS,
        whole,
        lambda llm: _reply(ledger, llm, QUESTION, take=BRIEF),
        {what: odd(messages) for what, messages in HISTORIES.items()},
        {what: odd(messages) for what, messages in LONG_HISTORIES.items()},
        more,
    )
    return check(factory(make, "llm", options), use, ledger, failing, deadline_s)


async def _reply(
    ledger: Ledger,
    llm: Llm,
    messages: Sequence[Message],
    tools: Sequence[ToolSpec] = (),
    take: int | None = None,
) -> list[Any]:
    stream = llm.reply(messages, tools)
    return await items_of(ledger, stream, "reply()", take, lambda part: _check_part(ledger, part))


async def _forgets(trial: Trial, llm: Llm) -> None:
    """The same messages cost the same: it is shown them, and nothing that it remembers."""
    ledger, costs = trial.ledger, []
    for _ in range(2):
        parts = await trial.done("a call", _reply(ledger, llm, GREETED))
        costs += [part.input_tokens for part in parts if isinstance(part, Usage)]
    ledger.need(
        len(set(costs)) <= 1,
        Rule.FORGETS,
        f"the same messages cost {costs} tokens in calls one after another",
    )
    ledger.kept(Rule.FORGETS, max(costs, default=0), "tokens, twice the same")


def _check_part(ledger: Ledger, part: object) -> None:
    match part:
        case Text(text=text):
            ledger.need(isinstance(text, str), Rule.FORMAT, f"a text must be a str, not {shown(text)}")
        case ToolCall(id=id_, name=name, arguments=arguments):
            strings = all(isinstance(value, str) for value in (id_, name, arguments))
            ledger.need(
                strings and id_ and name,
                Rule.FORMAT,
                f"a tool call needs an id, a name and its arguments as JSON text: {shown(part)}",
            )
        case Usage():
            counts = (part.input_tokens, part.output_tokens)
            fits = all(isinstance(count, int) and count >= 0 for count in counts)
            ledger.need(fits, Rule.FORMAT, f"usage must count tokens: {shown(part)}")
        case _:
            raise ledger.broken(Rule.FORMAT, f"it streamed {shown(part)}, not Text, ToolCall or Usage")


def _whole(ledger: Ledger, parts: Sequence[Any]) -> None:
    """A whole answer: usage comes once and last, and no two calls have the same id."""
    usage = [number for number, part in enumerate(parts) if isinstance(part, Usage)]
    ledger.need(not usage or usage == [len(parts) - 1], Rule.FORMAT, "usage must come once, at the end")
    ids = [part.id for part in parts if isinstance(part, ToolCall)]
    ledger.need(len(set(ids)) == len(ids), Rule.FORMAT, "two tool calls of one answer have the same id")
    ledger.kept(Rule.FORMAT, len(parts), "parts")
