"""The registry of the tools of a session, by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from workbench.model.conversation import ToolSpec
from workbench.model.errors import UsageError
from workbench.model.events import ToolMocked, ToolsChanged
from workbench.model.text import plain
from workbench.tools.tool import Tool, as_tool
from workbench.trace.trace import Trace


class Toolbox:
    """What `session.tools` is: tools may be added, removed, mocked and called while the session runs, from any thread.

    `perform` calls a tool on the session's loop; `first` are there from the beginning. UsageError for two of one name,
    and for a tool that has no schema: at once, not in the middle of a turn.
    """

    def __init__(self, trace: Trace, perform: Callable[[str, str], None], first: Iterable[Tool] = ()) -> None:
        self._trace = trace
        self._perform = perform
        self._lock = threading.Lock()
        self._tools: dict[str, Tool] = {}
        self.specs: Sequence[ToolSpec] = ()
        """What the model may choose from."""
        self.mocks: dict[str, str] = {}
        """Answers that take the place of tools, by name."""
        self.on_change: Callable[[Sequence[Tool], str], None] = lambda tools, change: None
        """Called with all tools, and in words with what became of them."""
        self.on_mock: Callable[[str, str | None], None] = lambda name, answer: None
        self._put(list(first))

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they came."""
        return tuple(self._tools)

    def __iter__(self) -> Any:
        return iter(self._tools.values())

    def __repr__(self) -> str:
        return f"<tools: {', '.join(self._tools) or 'none'}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from workbench.tools.html import tools_html

        return tools_html(self._tools.values(), self.mocks)

    def get(self, name: str) -> Tool | None:
        """Return the tool of that name, None if there is none."""
        return self._tools.get(name)

    def find(self, name: str) -> Tool:
        """Return the tool of that name; UsageError says which there are."""
        tool = self._tools.get(name)
        if tool is None:
            raise UsageError(f"there is no tool called {plain(name, limit=60)!r}", self.hint(name))
        return tool

    def hint(self, name: str) -> str:
        """Return what to call instead of an unknown name."""
        near = get_close_matches(name, self._tools, n=1)
        listed = f"there are: {', '.join(self._tools)}" if self._tools else "there are none"
        return f"did you mean {near[0]}? {listed}" if near else listed

    def add(self, *tools: Any, origin: str = "") -> None:
        """Add tools (or functions), all or none. UsageError for what is none, and for two of one name, naming both."""
        new = [as_tool(tool, origin) for tool in tools]
        if not new:
            return
        with self._lock:
            self._put([*self._tools.values(), *new])
        self._announce(new, "added")

    def remove(self, *names: str) -> None:
        """Take tools away; calls that run go on. UsageError for an unknown name."""
        with self._lock:
            removed = [self.find(name) for name in names]
            self._put([tool for tool in self._tools.values() if tool not in removed])
        self._announce(removed, "removed")

    def exchange(self, old: Iterable[Tool], new: Iterable[Tool], why: str) -> None:
        """Put `new` tools in the place of `old` ones, those that are there; the event says `why`, with the names of the
        new. UsageError for two of one name."""
        old, new = list(old), list(new)
        with self._lock:
            rest = [tool for tool in self._tools.values() if not any(tool is other for other in old)]
            self._put([*rest, *new])
        if old or new:
            self._announce(new, why)

    def mock(self, name: str, answer: str | None) -> None:
        """Let the tool answer this without being run; None: run it again. UsageError for an unknown name."""
        self.find(name)
        if answer is None:
            self.mocks.pop(name, None)
        else:
            self.mocks[name] = answer
        self.on_mock(name, answer)
        self._trace.emit(ToolMocked(name, answer))

    def call(self, name: str, arguments: str = "{}") -> None:
        """Call a tool as the model would, with arguments as JSON; what comes of it is in the trace. The developer who
        calls has said yes, and the conversation does not know of it. UsageError for an unknown name."""
        self.find(name)
        self._perform(name, arguments)

    def _put(self, tools: list[Tool]) -> None:
        named: dict[str, Tool] = {}
        for tool in tools:
            other = named.setdefault(tool.name, tool)
            if other.function is not tool.function:  # an agent may name a tool that a plugin brings too
                origins = f"one from {other.origin or 'somewhere'}, one from {tool.origin or 'somewhere'}"
                hint = 'rename one with @tool(name="…"), or leave one out'
                raise UsageError(f"two tools are called {tool.name!r}: {origins}", hint)
        specs = tuple(tool.spec for tool in named.values())
        self._tools, self.specs = named, specs
        for name in self.mocks.keys() - named.keys():
            del self.mocks[name]

    def _announce(self, tools: Sequence[Tool], change: str) -> None:
        names = ", ".join(f"{tool.name} ({tool.origin})" if tool.origin else tool.name for tool in tools)
        self._tell(f"{change}: {names or 'none'}")

    def become(self, tools: Iterable[Tool], change: str) -> None:
        """Have these tools and no others; `change` says why, nothing where nobody needs to know."""
        with self._lock:
            self._put(list(tools))
        if change:
            self._tell(change)

    def _tell(self, change: str) -> None:
        self.on_change(list(self), change)
        self._trace.emit(ToolsChanged(self.names, change))
