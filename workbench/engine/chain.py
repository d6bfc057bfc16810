"""A chain of providers, of which the next one takes over where one fails.

`Guard` (`engine/guard.py`) calls one of them, with its deadlines and its circuit breaker. Here is who is asked: all in
their order and at once, the first again as soon as its breaker lets it be probed; after a wait, where all failed and
that can help. With `limits.hedge_ms` the next one is asked beside one that is slow (`engine/hedge.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import ClassVar, Generic, TypeVar

from workbench.engine.guard import Answer, Failures, Guard
from workbench.engine.hedge import HeldStreams, race
from workbench.engine.interfaces import ModelProvider
from workbench.engine.settings import EngineSettings
from workbench.engine.tasks import companions
from workbench.model.errors import OpenBreakerError, StageError
from workbench.model.events import FallbackStarted, ProviderRetried, Stage, VoiceChanged
from workbench.trace.trace import Trace

T = TypeVar("T")
P = TypeVar("P", bound=ModelProvider)


class Guarded(Generic[P]):
    """The providers of a model stage, in the order in which they are asked; it is held and swapped whole."""

    stage: ClassVar[Stage]

    def __init__(self, provider: P | Mapping[str, P], settings: EngineSettings, trace: Trace) -> None:
        """`provider` may be several, by the names that the trace has for them."""
        chain = provider if isinstance(provider, Mapping) else {provider.name: provider}
        self._settings = settings
        self._trace = trace
        self.guards = [Guard(name, one, self.stage, settings.limits, trace) for name, one in chain.items()]
        self._asked = self.guards[0]
        self._unwarmed = Failures()
        self.lost = False
        """Nobody of an STT or a TTS was left at the last request: the conversation goes on by text."""

    @property
    def provider(self) -> P:
        """Who was asked last."""
        return self._asked.provider

    @property
    def name(self) -> str:
        """The name of who was asked last."""
        return self._asked.name

    @property
    def starts(self) -> int:
        """How often models were loaded."""
        return sum(guard.provider.starts for guard in self.guards)

    def replaces(self, name: str, error: StageError, failures: Failures) -> bool:
        """Note that an answer of `name` broke off; return whether anybody else may be asked to go on."""
        failures.note(name, error)
        alternatives = [guard for guard in self.guards if guard.name != name and guard.refusal() is None]
        return any(guard.name not in failures or not failures.pardoned for guard in alternatives)

    def warmed(self, name: str, error: StageError | None) -> None:
        """Note how the first call of one of them went: where nobody answers, nobody is left."""
        if error is not None:
            self._unwarmed[name] = error
        if len(self._unwarmed) == len(self.guards):
            self._lose(_joint(self.stage, self._unwarmed))

    def _lose(self, error: StageError) -> None:
        if self.stage in ("stt", "tts") and not self.lost:
            self.lost = True
            self._trace.emit(VoiceChanged(self.stage, "lost", error.reason, error.hint))

    async def call(self, request: Callable[[P], Awaitable[T]], deadline_ms: float) -> T:
        """Return the result of a request, each try within `deadline_ms`, by the first provider that gives one."""
        return await self._ask(lambda guard: guard.call(request, deadline_ms), Failures())

    def stream(
        self,
        request: Callable[[P], AbstractAsyncContextManager[AsyncIterator[T]]],
        first_ms: float | str,
        gap_ms: float | str,
        is_valid: Callable[[T], bool] = lambda item: True,
        failures: Failures | None = None,
    ) -> AbstractAsyncContextManager[Answer[P, T]]:
        """Open a stream of items by the first provider that has one: another is asked until the first item is there,
        never after.

        The first item must come within `first_ms`, each of the next within `gap_ms` (a number, or the name of a limit).
        An invalid one is a GarbageError. Those that have `failures` are not asked.
        """

        def opened(guard: Guard[P]) -> AbstractAsyncContextManager[Answer[P, T]]:
            return guard.stream(request, first_ms, gap_ms, is_valid)

        return self._open(opened, Failures() if failures is None else failures)

    @asynccontextmanager
    async def _open(
        self, opened: Callable[[Guard[P]], AbstractAsyncContextManager[Answer[P, T]]], failures: Failures
    ) -> AsyncIterator[Answer[P, T]]:
        if not self._hedges:
            async with AsyncExitStack() as stack:
                yield await self._ask(lambda guard: stack.enter_async_context(opened(guard)), failures)
            return
        async with companions() as start:
            streams = HeldStreams[P, T](start)
            answer = await self._ask(lambda guard: streams.open(guard, opened(guard)), failures)
            streams.leave_others(answer.name)
            yield answer

    async def _ask(
        self,
        ask: Callable[[Guard[P]], Awaitable[T]],
        failures: Failures,
        slow: Callable[[], Awaitable[float]] | None = None,
    ) -> T:
        """Return the first answer: of those without `failures` in their order, then of the others; after a wait of some
        again."""
        broken, attempt = failures.last, 0
        guards = [guard for guard in self.guards if guard.name not in failures]
        alternatives = [guard for guard in self.guards if guard.name in failures and guard.name != broken]
        while True:
            if answers := await self._round(guards, ask, failures, slow or self._slow):
                if self.lost:
                    self.lost = False
                    self._trace.emit(VoiceChanged(self.stage, "back"))
                return answers[0]
            if alternatives and not failures.pardoned:
                failures.pardoned, guards, alternatives = True, alternatives, []
                continue
            attempt += 1
            waits = [(guard, guard.wait_s(failures[guard.name], attempt)) for guard in guards]
            again = {guard: wait_s for guard, wait_s in waits if wait_s is not None}
            if not again:
                error = _joint(self.stage, failures)
                self._lose(error)
                raise error
            wait_s, guards, failures.last = min(again.values()), list(again), None
            for guard in guards:
                reason, wait_ms = failures[guard.name].reason, round(wait_s * 1000, 1)
                self._trace.emit(ProviderRetried(self.stage, guard.name, attempt, wait_ms, reason))
            await asyncio.sleep(wait_s)

    async def _round(
        self,
        guards: Sequence[Guard[P]],
        ask: Callable[[Guard[P]], Awaitable[T]],
        failures: Failures,
        slow: Callable[[], Awaitable[float]],
    ) -> list[T]:
        """Ask everybody who may be asked, once. Return the first answer, or nothing."""
        for number, guard in enumerate(guards):
            if (refusal := guard.refusal()) is not None:
                failures.note(guard.name, refusal)
                continue
            rest = [other for other in guards[number + 1 :] if other.refusal() is None]
            if self._hedges and rest:
                for other in guards[number + 1 :]:
                    if (refusal := other.refusal()) is not None:
                        failures[other.name] = refusal
                self._take(guard, failures)
                answers = await race([guard, *rest], ask, slow, self._take, failures)
                for self._asked, answer in answers:
                    return [answer]
                return []
            self._take(guard, failures)
            try:
                return [await ask(guard)]
            except StageError as error:
                failures.note(guard.name, error)
        return []

    @property
    def _hedges(self) -> bool:
        return self._settings.limits.hedge_ms > 0 and len(self.guards) > 1

    async def _slow(self) -> float:
        """Wait until an answer counts as slow."""
        ms = self._settings.limits.hedge_ms
        await asyncio.sleep(ms / 1000)
        return ms

    def _take(self, guard: Guard[P], failures: Failures) -> None:
        """Note who is asked, and in whose place."""
        self._asked = guard
        if failures.last is not None:
            reason = failures[failures.last].reason
            self._trace.emit(FallbackStarted(self.stage, failures.last, guard.name, reason))
            failures.last = None


def _joint(stage: Stage, failures: Failures) -> StageError:
    """Return one error of all that failed: that of the only one as it is."""
    if len(failures) == 1:
        return next(iter(failures.values()))
    reasons = (
        error.reason if name in error.reason else f"{name}: {error.reason}"
        for name, error in failures.items()
    )
    hint = next((error.hint for error in failures.values() if not isinstance(error, OpenBreakerError)), "")
    return StageError(
        "; ".join(reasons),
        hint or "they are tried again by themselves; or choose another provider",
        stage=stage,
    )
