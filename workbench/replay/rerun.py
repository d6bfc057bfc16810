"""Run a recorded session again: the same engine on its cassette, under the virtual clock, without a key.

    again = rerun("before", into="after", swap={"llm": "openai/gpt-6-luna"})
    again.trace.turns                     # an OpenTrace, as `open_trace(again.folder)` gives it
    again.changes                         # requests that the cassette had no answer to

The user's sound comes when it came, the sink pulls when it pulled, verbs are called when they were called, and each
provider answers piece by piece when it answered. So the engine decides again, on the same inputs. A stage that is
swapped runs for real, and time is real while it is waited for.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, TypeVar

from workbench.agent import Agent
from workbench.config.settings import MODEL_STAGES, NONE, chain_of
from workbench.engine.tasks import beside
from workbench.handle import SessionHandle
from workbench.model.clock import running_loop
from workbench.model.errors import UsageError, WorkbenchError
from workbench.replay.answers import Change
from workbench.replay.playback import PlaybackBoundary, Today
from workbench.replay.played_session import PlayedTransport, recorded_agent
from workbench.replay.recorded_settings import recorded_settings, with_changes, with_swaps
from workbench.session import Session
from workbench.session.boundary import BuiltProvider
from workbench.session.build import make_provider
from workbench.simulation.clock import run_virtual
from workbench.trace.cassette import Cassette, open_cassette
from workbench.trace.store import SessionFolder
from workbench.transports.base import TransportOptions
from workbench.views.trace import OpenTrace, open_trace

T = TypeVar("T")
Progress = Callable[[float, float], None]
"""Called with the seconds of the session that are done, and all there are."""
SWAPPED = (*MODEL_STAGES, "vad", "turn")
"""Stages that can be swapped."""
JUST_BEFORE_S = 0.001
"""How long before a turn begins what is changed from there on is changed, s."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came of it."""

    folder: Path
    """The session folder of the rerun: events, tracks, and a cassette of its own."""
    trace: OpenTrace
    """The recording of the rerun, opened."""
    original: OpenTrace
    """The recording that was run again, opened."""
    changes: tuple[Change, ...]
    """Requests that were not in the cassette, in their order; empty where nothing was changed."""
    error: WorkbenchError | None = None
    """Why the session failed, where it did: as when it was recorded, for example."""


def rerun(
    folder: Path | str,
    *,
    into: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
    agent: Agent | None = None,
    instructions: str | None = None,
    swap: Mapping[str, Any] | None = None,
    from_turn: int | None = None,
    live: bool = False,
    progress: Progress = lambda done_s, total_s: None,
) -> Rerun:
    """Run the session of `folder` again, and return what came of it.

    `into` is the folder of the rerun (new or empty); a temporary one, gone with `trace`, if absent. `settings` are
    changed ones by dotted name (`{"turn.silence_ms": 300}`), `agent` takes the recorded one's place, `instructions`
    only those of its prompt. `swap` names providers by stage (stt, llm, tts, vad, turn) that run for real, with the
    settings and keys of today; with `from_turn` all of this holds from the beginning of that turn on, and the turns
    before are as recorded. A request that the cassette cannot answer fails its turn, and is among `changes`; with
    `live` the recorded provider is asked for real. `progress` is called now and then with the seconds of the session
    that are done, and all there are.

    Raises UsageError for a folder without a readable cassette (an older recording), for a turn that is not there, and
    for settings that cannot be; MissingError for a provider whose key or weights are missing.
    """
    original = open_trace(folder)
    cassette = open_cassette(Path(folder), original.end_ms / 1000)
    if "user" not in original.tracks:
        raise UsageError(
            f"{folder} has no user.wav that can be read", "the sound of the user is run again from it"
        )
    changed = _Changes(dict(settings or {}), agent, instructions, _checked(swap or {}), live, None)
    if from_turn is not None:
        changed.fork_s = _start_of(original, from_turn)
    place = Path(into) if into is not None else Path(mkdtemp(prefix="workbench-rerun-"))
    try:
        play = _Play(original, cassette, SessionFolder.open(Path(folder)), changed, place, progress)
        error = _run(play.run())
        trace = open_trace(place)
    except BaseException:
        if into is None:
            rmtree(place, ignore_errors=True)
        raise
    if into is None:
        weakref.finalize(trace, rmtree, place, ignore_errors=True)
    return Rerun(place, trace, original, tuple(play.changes), error)


def _start_of(original: OpenTrace, turn: int) -> float:
    return original.moment(turn).start_ms / 1000 - JUST_BEFORE_S


def _checked(swap: Mapping[str, Any]) -> dict[str, Any]:
    for stage in swap:
        if stage not in SWAPPED:
            raise UsageError(f"{stage} cannot be swapped", f"these can: {', '.join(SWAPPED)}")
    return dict(swap)


def _run(main: Coroutine[Any, Any, T]) -> T:
    """Run it under the virtual clock; in a thread of its own where a loop runs on this one (a notebook)."""
    if running_loop() is None:
        return run_virtual(main)
    with ThreadPoolExecutor(1, "rerun") as threads:
        return threads.submit(run_virtual, main).result()


@dataclass(slots=True)
class _Changes:
    """What is not as recorded; from the beginning on, or from `fork_s`."""

    settings: dict[str, Any]
    agent: Agent | None
    instructions: str | None
    swap: dict[str, Any]
    live: bool
    fork_s: float | None

    @property
    def forks(self) -> bool:
        """Whether the beginning is as recorded."""
        return self.fork_s is not None

    def agent_after(self, recorded: Agent) -> Agent:
        """Return who speaks with all changes."""
        agent = self.agent or recorded
        return agent if self.instructions is None else replace(agent, instructions=self.instructions)


class _Play:
    """One rerun."""

    def __init__(
        self,
        original: OpenTrace,
        cassette: Cassette,
        folder: SessionFolder,
        changed: _Changes,
        place: Path,
        progress: Progress,
    ) -> None:
        self.changes: list[Change] = []
        self._original, self._cassette, self._changed, self._progress = original, cassette, changed, progress
        self._agent = recorded_agent(cassette)
        recorded = recorded_settings(folder.about)
        after = with_changes(recorded, changed.settings)  # which are looked at now, whenever they hold
        if changed.forks:
            if late := [stage for stage in changed.swap if stage not in MODEL_STAGES]:
                raise UsageError(f"{late[0]} cannot be swapped in mid-conversation", "leave out the turn")
        else:
            recorded = after
        self._recorded = recorded
        self._settings = with_swaps(recorded, changed.swap, live=changed.live, chains=not changed.forks)
        self._settings.record.enabled, self._settings.record.folder = True, place

    async def run(self) -> WorkbenchError | None:
        """Run the session to its end; return why it failed, if it did."""
        changed = self._changed
        agent = self._agent if changed.forks else changed.agent_after(self._agent)
        async with AsyncExitStack() as stack:
            today = Today(
                frozenset(changed.swap),
                await self._prepare(stack, agent.language),
                changed.fork_s,
                agent=changed.agent is not None and not changed.forks,
            )
            self._boundary = boundary = PlaybackBoundary(self._cassette, self._recorded, today)
            boundary.hears_raw = "mic" in self._original.tracks
            self.changes = boundary.answers.changes
            session = Session(self._settings, agent, self._transport, boundary)
            try:
                async with session, beside(self._report(session)):
                    await session.ended()
            except WorkbenchError as error:
                if session.recording is None or error is not session.error:
                    raise
                return error
        return None

    def _transport(self, options: TransportOptions) -> PlayedTransport:
        tracks, boundary = self._original.tracks, self._boundary
        return PlayedTransport(
            self._cassette,
            boundary.clock,
            boundary.played_trace,
            tracks["user"],
            tracks.get("mic"),
            self._fork,
            self._changed.fork_s,
        )

    def _fork(self, session: SessionHandle) -> None:
        """Go on with what is changed."""
        changed = self._changed
        for name, value in changed.settings.items():
            session.set(name, value)
        swaps: dict[str, Any] = dict(changed.swap)
        if changed.agent is not None:
            self._boundary.leave_tools(session.tools)
        if changed.agent is not None or changed.instructions is not None:
            swaps["agent"] = changed.agent_after(self._agent)
        if swaps:
            session.swap(**swaps)

    async def _prepare(self, stack: AsyncExitStack, language: str) -> dict[tuple[str, str], BuiltProvider]:
        """Make, enter and warm what runs for real, before the session's clock begins."""
        wanted = {stage: chain_of(choice) for stage, choice in self._changed.swap.items() if stage != "vad"}
        if self._changed.live:
            wanted = {stage: self._recorded.chain(stage) for stage in MODEL_STAGES} | wanted
        providers: dict[tuple[str, str], BuiltProvider] = {}
        for stage, chain in wanted.items():
            for item in chain:
                if item != NONE:
                    made = await make_provider(self._settings, stage, item, language, _ignore)  # type: ignore[arg-type]
                    await stack.enter_async_context(made.provider)
                    await made.provider.warm()
                    providers[stage, item] = made
        return providers

    async def _report(self, session: Session) -> None:
        while True:
            self._progress(min(session.trace.now() / 1000, self._cassette.end_s), self._cassette.end_s)
            await asyncio.sleep(1.0)


def _ignore(reason: str, hint: str) -> None:
    """What a provider finds out while it is made is no event of the session."""


__all__ = ["Change", "Rerun", "rerun"]
