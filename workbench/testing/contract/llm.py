"""`check_llm`: what the engine relies on in a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from workbench.engine.interfaces import Llm, Progress, Retraction, Text
from workbench.model.conversation import Message, ToolCall, ToolSpec, Usage
from workbench.plugin.values import ProviderOptions
from workbench.testing.contract.check import LONG_TEXTS, ODD_TEXTS, Factory, resolve, short_repr
from workbench.testing.contract.model import BRIEF, ModelCheck
from workbench.testing.contract.rules import Report, Rule

SYSTEM = Message("system", "You are a friendly assistant. Keep answers short.")
QUESTION = [SYSTEM, Message("user", "What is the capital of France?")]
ONE_WORD = [Message("system", "Answer with one word."), Message("user", "Say yes.")]
WEATHER = ToolSpec(
    "weather",
    "How the weather is in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
TOOL_CALL_AND_RESULT = [
    *QUESTION,
    Message("assistant", "Let me see.", calls=(ToolCall("call_1", "weather", '{"city": "Paris"}'),)),
    Message("tool", '{"celsius": 20}', call_id="call_1"),
]
TURNS = [Message("user", "And?"), Message("assistant", "More.")]
MEMBERS = {"name": str, "sees": bool, "starts": int, "warm": None, "reply": None}
ODD = {
    **{f"{label} as a message": [SYSTEM, Message("user", text)] for label, text in ODD_TEXTS.items()},
    "no instructions": [Message("user", "Hello.")],
    "a reply that was cut": [*QUESTION, Message("assistant", "Par", cut=True), Message("user", "What?")],
    "a call of a tool and its result": TOOL_CALL_AND_RESULT,
}
LONG = {
    **{f"{label} as a message": [SYSTEM, Message("user", text)] for label, text in LONG_TEXTS.items()},
    "a history of 100 messages": [SYSTEM, *TURNS * 49, Message("user", "Hello.")],
}


def check_llm(
    make: Factory[Llm],
    *,
    options: ProviderOptions | None = None,
    failing: Callable[[], Llm] | None = None,
    deadline_s: float = 30.0,
) -> Report:
    """Check a language model. Raises BrokenRule.

    `failing` gives one whose calls have to fail (a server that is not there, a wrong key), to see that it says why. No
    call may take longer than `deadline_s`.
    """
    return LlmCheck("llm", deadline_s, MEMBERS, ODD, LONG).run(resolve(make, "llm", options), failing)


class LlmCheck(ModelCheck[Llm]):
    """Asks an LLM for answers, and checks the format of their parts."""

    async def call(self, provider: Llm) -> None:
        """Ask an ordinary question."""
        parts = await self._reply(provider, QUESTION)
        self.require(parts, Rule.ANSWERS, "it answered an ordinary question with nothing")
        self._require_whole(parts)

    async def call_briefly(self, provider: Llm) -> object:
        """Ask, and leave after two parts."""
        return await self._reply(provider, QUESTION, take=BRIEF)

    async def call_with(self, provider: Llm, odd: Sequence[Message]) -> object:
        """Ask with these messages, and leave after two parts."""
        return await self._reply(provider, odd, take=BRIEF)

    async def check_stage(self, provider: Llm) -> None:
        """Check a call with a tool, that messages stay as they are, leaving, and that nothing is remembered."""
        parts = await self.complete("a call with a tool", self._reply(provider, QUESTION, (WEATHER,)))
        self._require_whole(parts)
        messages = list(QUESTION)
        await self.complete("a call", self._reply(provider, messages, take=BRIEF))
        self.require(messages == QUESTION, Rule.UNTOUCHED, "it changed the list of messages")
        self.keep(Rule.UNTOUCHED, len(messages), "messages")
        await self.check_leaving(lambda: provider.reply(QUESTION), "reply()")
        await self._check_memory(provider)

    async def _check_memory(self, llm: Llm) -> None:
        """Require that the same messages cost the same: the model gets nothing that the provider remembers."""
        costs: list[int] = []
        for _ in range(2):
            parts = await self.complete("a call", self._reply(llm, ONE_WORD))
            costs += [part.input_tokens for part in parts if isinstance(part, Usage)]
        text = f"the same messages cost {costs} tokens in calls one after another"
        self.require(len(set(costs)) <= 1, Rule.FORGETS, text)
        self.keep(Rule.FORGETS, max(costs, default=0), "tokens, twice the same")

    async def _reply(
        self,
        llm: Llm,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        take: int | None = None,
    ) -> list[Any]:
        return await self.items_of(llm.reply(messages, tools), "reply()", take, self._require_part)

    def _require_part(self, part: object) -> None:
        match part:
            case Text(text=text) | Progress(text=text):
                fits = isinstance(text, str)
                self.require(fits, Rule.FORMAT, f"a text must be a str, not {short_repr(text)}")
            case ToolCall(id=id_, name=name, arguments=arguments):
                strings = all(isinstance(value, str) for value in (id_, name, arguments))
                fits = strings and bool(id_ and name)
                expected = "a tool call needs an id, a name and its arguments as JSON text"
                self.require(fits, Rule.FORMAT, f"{expected}: {short_repr(part)}")
            case Usage():
                counts = (part.input_tokens, part.output_tokens)
                fits = all(isinstance(number, int) and number >= 0 for number in counts)
                self.require(fits, Rule.FORMAT, f"usage must count tokens: {short_repr(part)}")
            case Retraction():
                pass
            case _:
                text = f"it streamed {short_repr(part)}, not Text, ToolCall or Usage"
                raise self.broken(Rule.FORMAT, text)

    def _require_whole(self, parts: Sequence[Any]) -> None:
        """Require of a whole answer that usage comes once and last, and no two calls have the same id."""
        usage = [number for number, part in enumerate(parts) if isinstance(part, Usage)]
        last = not usage or usage == [len(parts) - 1]
        self.require(last, Rule.FORMAT, "usage must come once, at the end")
        ids = [part.id for part in parts if isinstance(part, ToolCall)]
        unique = len(set(ids)) == len(ids)
        self.require(unique, Rule.FORMAT, "two tool calls of one answer have the same id")
        self.keep(Rule.FORMAT, len(parts), "parts")
