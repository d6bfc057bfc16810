"""What plugins are notified of in a session, and what they may change in it.

Every call runs in a thread of its plugin, under a deadline. A hook that raises, hangs or returns something wrong is
named (`PluginFailed`) and not called again in this session; the text goes on as it was. A hook that nobody implements
costs nothing: no thread, no await.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from workbench.engine.hooks import Hooks
from workbench.handle import SessionHandle
from workbench.model.conversation import Message, ToolCall
from workbench.plugin.foreign_calls import HookError, WrongValueError, describe_value
from workbench.plugin.hook_caller import HookCaller, HookLimits
from workbench.plugin.manager import PluginRegistry, bind
from workbench.plugin.observers import Observers
from workbench.views.trace import OpenTrace

T = TypeVar("T")

USER_TEXT = "workbench_filter_user_text"
AGENT_TEXT = "workbench_filter_agent_text"
BEFORE_LLM = "workbench_before_llm"
BEFORE_TTS = "workbench_before_tts"


class SessionHooks(Hooks):
    """The hooks of one session, with the plugins that are registered when it is made."""

    def __init__(self, plugins: PluginRegistry, trace: OpenTrace, limits: HookLimits) -> None:
        self._caller = HookCaller(trace, limits)
        hooks = (USER_TEXT, AGENT_TEXT, BEFORE_LLM, BEFORE_TTS)
        self._filters = {hook: plugins.implementations(hook) for hook in hooks}
        self._observers = Observers(plugins, trace, self._caller)

    async def run(self, session: SessionHandle) -> None:
        """Notify plugins of what happens, until the session's trace is closed or this is cancelled.

        In either case they learn of all of it, unless that takes longer than a moment.
        """
        await self._observers.run(session)

    async def user_text(self, text: str) -> str:
        """See `Hooks`."""
        return await self._filter(USER_TEXT, "text", text, {}, _text) if self._filters[USER_TEXT] else text

    async def agent_text(self, text: str) -> str:
        """See `Hooks`."""
        return await self._filter(AGENT_TEXT, "text", text, {}, _text) if self._filters[AGENT_TEXT] else text

    async def before_llm(self, turn: int | None, messages: Sequence[Message]) -> Sequence[Message]:
        """See `Hooks`."""
        if not self._filters[BEFORE_LLM]:
            return messages
        frozen = tuple(messages)  # a plugin returns other messages: nobody changes these from a thread
        return await self._filter(BEFORE_LLM, "messages", frozen, {"turn": turn}, _messages)

    def after_llm(self, turn: int | None, text: str, calls: Sequence[ToolCall]) -> None:
        """See `Hooks`."""
        self._observers.notify("workbench_after_llm", {"turn": turn, "text": text, "calls": tuple(calls)})

    async def before_tts(self, turn: int | None, text: str) -> str:
        """See `Hooks`."""
        if not self._filters[BEFORE_TTS]:
            return text
        return await self._filter(BEFORE_TTS, "text", text, {"turn": turn}, _text)

    async def _filter(
        self, hook: str, name: str, value: T, others: dict[str, Any], check: Callable[[Any], T]
    ) -> T:
        """Return the value after each plugin in turn: each gets what the one before made of it."""
        filters = self._filters[hook]
        for plugin, impl in list(filters):
            job = bind(impl, {**others, name: value})
            try:
                answer = await self._caller.call(plugin, hook, job, self._caller.limits.hook_ms, check)
            except HookError:
                if (plugin, impl) in filters:  # another reply may have failed on it meanwhile
                    filters.remove((plugin, impl))
            else:
                value = value if answer is None else answer
        return value


def _text(answer: Any) -> str:
    if not isinstance(answer, str):
        raise WrongValueError(f"gave {describe_value(answer)} and no text")
    return answer


def _messages(answer: Any) -> tuple[Message, ...]:
    if not isinstance(answer, list | tuple) or not answer:
        raise WrongValueError(f"gave {describe_value(answer)} and no list of messages")
    for message in answer:
        if not isinstance(message, Message) or not isinstance(message.text, str):
            raise WrongValueError(f"gave {describe_value(message)} among the messages")
    return tuple(answer)
