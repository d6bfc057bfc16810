"""The context of a tool call: what a tool may know and do beside its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.model.conversation import Message, Picture

Data = TypeVar("Data")


class ToolError(Exception):
    """Raised by a tool: its text is for the model. Other exceptions reach the model with their type, as a failure."""


class NoRoom:
    """What `context.room` is where there is none: false, and good for nothing."""

    def __init__(self, tool: str) -> None:
        self.__tool = tool

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions, of whoever looks at objects
            raise AttributeError(name)
        raise ToolError(f"{self.__tool} needs a LiveKit room, and this session is in none")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext(Generic[Data]):
    """The first parameter of a tool that wants it: `def book(context: RunContext, day: str)`.

    Everything may be used from any thread and returns at once. `RunContext[Shop]` tells a type checker what `data` is.
    """

    tool: str
    """The tool's name."""
    call: str
    """Tells this call from all others of the session."""
    turn: int | None
    """The turn that it is called in; None while that is not decided, and where the developer calls."""
    said: str
    """What the user said in it."""
    session: Any
    """The `Session`, with its verbs and its trace; None outside of one (`workbench tools call`)."""
    data: Data
    """What the agent was given as `Agent(data=…)`: a database, a client, whatever its tools share."""
    state: dict[str, Any]
    """A place to put what tools remember from one call to the next, in this session."""
    _conversation: Callable[[], Sequence[Message]] = field(repr=False)
    _say: Callable[[str], None] = field(repr=False)
    _progress: Callable[[str, float | None], None] = field(repr=False)
    _show: Callable[[Picture], None] = field(repr=False)
    _cancelled: Event = field(repr=False)

    @property
    def room(self) -> Any:
        """The LiveKit room that the session is in, to `call` a method of the user's page, `send` data, `send_text`,
        `send_bytes`, `send_file`, `set_attribute`, and `look` at what the user shows. Outside of one it is false
        (`if context.room:`), and any use of it tells the model that the tool needs a room.

        `await` them in an async tool; a plain one asks for the `.result()`, or does not wait.
        """
        return getattr(self.session, "room", None) or NoRoom(self.tool)

    @property
    def conversation(self) -> tuple[Message, ...]:
        """What was said and heard so far, oldest first; what the user says in this turn is its last message."""
        return tuple(self._conversation())

    def say(self, text: str) -> None:
        """Let the agent say something meanwhile: "one moment, I am looking it up". The answer follows it."""
        if words := str(text).strip():
            self._say(words)

    def progress(self, text: str = "", fraction: float | None = None) -> None:
        """Tell the screen how far the tool is, in words and as a fraction (0…1) of the whole."""
        if fraction is not None:
            fraction = None if fraction != fraction else min(1.0, max(0.0, float(fraction)))
        self._progress(plain(str(text), limit=200, one_line=True), fraction)

    def show(self, picture: Picture) -> None:
        """Let a model that sees see this picture with the result, like one from `room.look()`."""
        self._show(picture)

    @property
    def cancelled(self) -> bool:
        """Nobody waits for the result any more. A plain function that works long looks here from time to time; an async
        one is cancelled."""
        return self._cancelled.is_set()
