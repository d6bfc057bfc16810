"""Run a recorded session again: the same engine on its cassette, under the virtual clock, without a key.

    again = rerun("before", into="after", swap={"llm": "openai/gpt-6-luna"})
    again.trace.turns                     # an OpenTrace, as `open_trace(again.folder)` gives it
    again.changes                         # requests that the cassette had no answer to

The user's sound comes when it came, the sink pulls when it pulled, verbs are called when they were called, and each
provider answers piece by piece when it answered. So the engine decides again, on the same inputs. A stage that is
swapped runs for real, and time is real while it is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.agent import Agent
from workbench.model.events import Stage
from workbench.views.trace import OpenTrace

Miss = Literal["missing", "used up", "cut off"]
"""Why the cassette has no answer to a request: there is no such request in it; it was made more often than recorded;
its answer was recorded as cut off, and now more of it was wanted."""


@dataclass(frozen=True, slots=True)
class Change:
    """A request to a stage that the cassette could not answer, as its input is not what was recorded."""

    stage: Stage
    miss: Miss
    t_ms: float
    """When it was made, on the session's clock of the rerun."""
    request: str
    """What was asked, in words; plain text."""
    live: bool
    """A provider was asked in its place; else the turn failed."""


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
    progress: Callable[[float, float], None] = lambda done_s, total_s: None,
) -> Rerun:
    """Run the session of `folder` again, and return what came of it.

    `into` is the folder of the rerun (new or empty); a temporary one, gone with the process, if absent. `settings` are
    changed ones by dotted name (`{"turn.silence_ms": 300}`), `agent` takes the recorded one's place, `instructions`
    only those of its prompt. `swap` names providers by stage (stt, llm, tts, vad, turn) that run for real; with
    `from_turn` all of this holds from the beginning of that turn on, and the turns before are as recorded. A request
    that the cassette cannot answer fails its turn, and is among `changes`; with `live` the recorded provider is asked
    for real. `progress` is called now and then with the seconds of the session that are done, and all there are.

    Raises UsageError for a folder without a readable cassette (an older recording), for a turn that is not there, and
    for settings that cannot be; MissingError for a provider whose key or weights are missing.
    """
    raise NotImplementedError
