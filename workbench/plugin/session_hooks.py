"""What plugins are told of a session, and what they may change in it.

Every call runs in a thread of its plugin, under a deadline. One that raises, hangs or gives something wrong is named
(`PluginFailed`), and that hook of that plugin is not called again in this session; the text goes on as it was. A hook
that nobody implements costs nothing: no thread, no await.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from workbench.engine.hooks import Hooks
from workbench.handle import SessionHandle
from workbench.model.conversation import Message, ToolCall
from workbench.model.events import PluginFailed
from workbench.plugin.foreign_calls import HookError, WrongValueError, call_from_loop, describe_value
from workbench.plugin.loading import Plugin
from workbench.plugin.manager import PluginRegistry, call_of
from workbench.plugin.observers import Limits, Observers
from workbench.views.trace import OpenTrace

T = TypeVar("T")

USER_TEXT = "workbench_filter_user_text"
AGENT_TEXT = "workbench_filter_agent_text"
BEFORE_LLM = "workbench_before_llm"
BEFORE_TTS = "workbench_before_tts"


class SessionHooks(Hooks):
    """The hooks of one session, and `run` for plugins that only watch.

    It knows the plugins that were there when it was made.
    """

    def __init__(self, plugins: PluginRegistry, trace: OpenTrace, limits: Limits) -> None:
        self._trace = trace
        self._limits = limits
        self._failed: set[tuple[Plugin, str]] = set()
        hooks = (USER_TEXT, AGENT_TEXT, BEFORE_LLM, BEFORE_TTS)
        self._changing = {hook: plugins.implementations(hook) for hook in hooks}
        self._observers = Observers(plugins, trace, self._ask, limits)

    async def run(self, session: SessionHandle) -> None:
        """Tell plugins what happens in the session, until its trace is closed or this is cancelled. In either case they
        are told all of it, unless that takes longer than a moment."""
        await self._observers.run(session)

    async def user_text(self, text: str) -> str:
        """See `Hooks`."""
        return await self._changed(USER_TEXT, "text", text, {}, _text) if self._changing[USER_TEXT] else text

    async def agent_text(self, text: str) -> str:
        """See `Hooks`."""
        return (
            await self._changed(AGENT_TEXT, "text", text, {}, _text) if self._changing[AGENT_TEXT] else text
        )

    async def before_llm(self, turn: int | None, messages: Sequence[Message]) -> Sequence[Message]:
        """See `Hooks`."""
        if not self._changing[BEFORE_LLM]:
            return messages
        ours = tuple(messages)  # whoever wants others gives others: nobody changes these from a thread
        return await self._changed(BEFORE_LLM, "messages", ours, {"turn": turn}, _messages)

    def after_llm(self, turn: int | None, text: str, calls: Sequence[ToolCall]) -> None:
        """See `Hooks`."""
        self._observers.tell("workbench_after_llm", {"turn": turn, "text": text, "calls": tuple(calls)})

    async def before_tts(self, turn: int | None, text: str) -> str:
        """See `Hooks`."""
        if not self._changing[BEFORE_TTS]:
            return text
        return await self._changed(BEFORE_TTS, "text", text, {"turn": turn}, _text)

    async def _changed(
        self, hook: str, name: str, value: T, given: dict[str, Any], fits: Callable[[Any], T]
    ) -> T:
        """The value after each plugin in turn, each given what the one before made of it."""
        impls = self._changing[hook]
        for one in list(impls):
            plugin, impl = one
            call = call_of(impl, {**given, name: value})
            try:
                answer = await self._ask(plugin, hook, call, self._limits.hook_ms, fits)
            except HookError:
                if one in impls:  # another reply may have found out meanwhile
                    impls.remove(one)
            else:
                value = value if answer is None else answer
        return value

    async def _ask(
        self, plugin: Plugin, hook: str, call: Callable[[], Any], limit_ms: float, fits: Callable[[Any], T]
    ) -> T | None:
        """What a plugin answers, None for nothing. Raises HookError once the failure is in the trace."""

        def job() -> T | None:
            answer = call()
            return None if answer is None else fits(answer)

        try:
            return await call_from_loop(plugin.threads, job, limit_ms)
        except HookError as error:
            if (plugin, hook) not in self._failed:  # two replies at once find the same
                self._failed.add((plugin, hook))
                self._trace.emit(PluginFailed(plugin.name, hook, error.reason, error.took_ms))
            raise


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
