"""The agent that a user writes: `agent = Agent(instructions=…)` in a file of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from workbench.model.errors import UsageError
from workbench.plugin.files import advice, run_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A voice agent. Raises UsageError for a value of the wrong type.

    `stt`, `llm` and `tts` choose providers (`name/model`, like in the settings, which go before them); of a list the
    next one takes over where one fails.
    """

    instructions: str
    """The system prompt."""
    greeting: str | None = None
    """What the agent says first; nothing by default."""
    on_silence: str | None = None
    """What the agent says when the user has been silent for `[reply] silence_after_s`."""
    language: str = "en"
    """The language that is spoken, as STT models name it."""
    stt: str | Sequence[str] | None = None
    llm: str | Sequence[str] | None = None
    tts: str | Sequence[str] | None = None
    name: str | None = None
    """For people; by default the name of its file."""
    speakable: Callable[[str], str] | None = None
    """Makes written text speakable; `workbench.text.speakable.speakable` by default."""
    tools: Sequence[Any] = ()
    """Functions with `@tool` above them, and MCP servers."""
    data: Any = None
    """An object that its tools share, as `context.data`."""

    def __post_init__(self) -> None:
        for name in ("instructions", "language"):
            if not isinstance(getattr(self, name), str):
                raise UsageError(f"Agent: {name} must be a text, not {getattr(self, name)!r:.60}")
        for name in ("stt", "llm", "tts"):
            chain: Any = getattr(self, name)
            if isinstance(chain, list | tuple) and chain and all(isinstance(item, str) for item in chain):
                object.__setattr__(self, name, tuple(chain))
            elif not isinstance(chain, str | None):
                raise UsageError(f"Agent: {name} must be a text, a list of texts or None, not {chain!r:.60}")
        for name in ("greeting", "on_silence", "name"):
            if not isinstance(getattr(self, name), str | None):
                raise UsageError(f"Agent: {name} must be a text or None, not {getattr(self, name)!r:.60}")
        if self.speakable is not None and not callable(self.speakable):
            raise UsageError("Agent: speakable must be a function from text to text")
        tools: Any = self.tools
        if not isinstance(tools, list | tuple):
            raise UsageError(f"Agent: tools must be a list of functions, not {tools!r:.60}")
        object.__setattr__(self, "tools", tuple(tools))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from workbench.views.html import agent_html  # 60 ms with numpy, which an agent's file need not pay

        return agent_html((field.name, getattr(self, field.name)) for field in fields(self))


Names = dict[str, Any]


def load_agent(path: str | Path, otherwise: Callable[[Names], Agent | None] = lambda names: None) -> Agent:
    """Run the file in a module of its own and return its `agent`. UsageError names file, line and reason.

    As with `python FILE`, the file can import its neighbours. `otherwise` may make an agent of the names of a file
    that has none.
    """
    file = Path(path)
    absent = UsageError(f"there is no agent file {file}", f"write one with `workbench init {file}`")
    module = run_file(file, f"workbench_agent_{file.stem}", absent=absent, advise=_advice)
    names = vars(module)
    agent = (None if "agent" in names else otherwise(names)) or _agent_of(file, names)
    return agent if agent.name else replace(agent, name=file.stem)


def _advice(error: BaseException) -> str:
    words = str(error).split("'")
    if isinstance(error, TypeError) and "unexpected keyword argument" in str(error) and "Agent" in words[0]:
        parameters = [field.name for field in fields(Agent)]
        near = get_close_matches(words[1], parameters, n=1)
        return f"did you mean {near[0]}?" if near else f"an Agent takes {', '.join(parameters)}"
    return advice(error)


def _agent_of(file: Path, names: Names) -> Agent:
    agent = names.get("agent")
    if isinstance(agent, Agent):
        return agent
    if agent is not None:
        reason = f"{file}: `agent` is no Agent but {type(agent).__name__}"
        raise UsageError(reason, "write agent = Agent(instructions=…)")
    others = [name for name, value in names.items() if isinstance(value, Agent)]
    if others:
        raise UsageError(f"{file} has no `agent`", f"an Agent is called `{others[0]}` there: call it `agent`")
    public = [name for name in names if not name.startswith("_")]
    reason = f"{file} has no `agent`; it has: {', '.join(public[:10]) or 'nothing'}"
    raise UsageError(reason, "write agent = Agent(instructions=…)")
