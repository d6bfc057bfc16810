"""Two dialogs about a tool: call it with arguments of one's own, or give the answer in its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Select, Static, TextArea

from workbench.model.text import plain
from workbench.readers.folds.calls import READ_CHARS, CallRecord, parsed, trouble
from workbench.readers.folds.tools import ToolActivity

DialogKind = Literal["call", "mock"]


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """What a dialog asks for: the tool, and arguments or answer; None: the tool is run again."""

    name: str
    text: str | None


class ArgumentsEditor(TextArea):
    """Enter is for what Enter does everywhere on the screen; a new line has a key of its own.

    (No bindings: those overtake the letters before them where all come at once, over a slow line.)
    """

    def on_key(self, event: Key) -> None:
        """Take these keys before the text area does."""
        screen = self.screen
        if event.key not in ("enter", "ctrl+s", "ctrl+j", "shift+enter") or not isinstance(
            screen, ToolDialog
        ):
            return
        event.stop()
        event.prevent_default()
        if event.key in ("enter", "ctrl+s"):
            screen.action_send(event.key == "ctrl+s")
        else:
            self.insert("\n")


class ToolDialog(ModalScreen[ToolRequest | None]):
    """A tool, a text that is checked while it is typed, and what Enter will do with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send(True)", "Run"),
        Binding("ctrl+r", "unmock", "Run it again"),
        Binding("escape", "dismiss(None)", "Close"),
    ]

    def __init__(
        self,
        kind: DialogKind,
        names: tuple[str, ...],
        name: str,
        initial_text: Callable[[str], str],
        mocks: Container[str],
    ) -> None:
        super().__init__()
        self._kind = kind
        self._names = names
        self._tool = name
        self._initial_text = initial_text
        self._mocks = mocks
        self._unedited = initial_text(name)

    def compose(self) -> ComposeResult:
        """Yield title, tool, text, what is wrong with it, and keys."""
        title = "Call a tool" if self._kind == "call" else "Answer in a tool's place, for this session"
        with Vertical(id="dialog"):
            yield Static(title, id="title", markup=False)
            yield Select(
                [(Text(plain(name, 60, one_line=True)), name) for name in self._names],
                value=self._tool, allow_blank=False, compact=True,
            )  # fmt: skip
            yield ArgumentsEditor(self._unedited, compact=True, soft_wrap=True)
            yield Static(id="verdict")
            yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        """Begin in the text."""
        editor = self.query_one(ArgumentsEditor)
        editor.focus()
        editor.move_cursor(editor.document.end)
        self._check()

    @on(Select.Changed)
    def _tool_changed(self, event: Select.Changed) -> None:
        if event.value == self._tool or not isinstance(event.value, str):
            return
        self._tool = event.value
        editor, before = self.query_one(ArgumentsEditor), self._unedited
        self._unedited = self._initial_text(self._tool)
        if editor.text == before:
            editor.text = self._unedited
        self._check()

    @on(TextArea.Changed)
    def _check(self) -> None:
        text = self.query_one(ArgumentsEditor).text
        self.query_one("#verdict", Static).update(self._verdict(text))
        verb = "Enter calls it" if self._kind == "call" else "Enter answers so"
        verb = "Ctrl+S calls it all the same" if self._kind == "call" and trouble(text) else verb
        again = "  Ctrl+R runs it again" if self._mocked else ""
        self.query_one("#keys", Static).update(f"{verb}{again}  Ctrl+J new line  Esc closes")

    @property
    def _mocked(self) -> bool:
        return self._kind == "mock" and self._tool in self._mocks

    def _verdict(self, text: str) -> Content:
        if self._kind == "mock":
            json = parsed(text) is not None or text.strip() == "null"
            kind = "JSON" if json else f"text of {len(text):,} characters" + _unclosed(text)
            return Content.styled(f"✓ {kind}" if text else "an empty answer", "$quiet")
        problem = trouble(text)
        if not problem:
            return Content.styled("✓ a JSON object", "$success")
        return Content.styled(f"✗ {problem}", "$error")

    def action_send(self, anyway: bool) -> None:
        """Do it; text that is no JSON object is sent as arguments only `anyway`."""
        text = self.query_one(ArgumentsEditor).text
        if self._kind == "call" and not anyway and trouble(text):
            self.app.bell()
            return
        self.dismiss(ToolRequest(self._tool, (text or "{}") if self._kind == "call" else text))

    def action_unmock(self) -> None:
        """Let the tool run again."""
        if self._mocked:
            self.dismiss(ToolRequest(self._tool, None))


def _unclosed(text: str) -> str:
    """Return a word where the text looks like JSON and is none."""
    problem = trouble(text) if text.lstrip()[:1] in ("{", "[") and len(text) <= READ_CHARS else ""
    return f", no JSON: {problem}" if problem else ""


def arguments_for(tools: ToolActivity, chosen: CallRecord | None) -> Callable[[str], str]:
    """Return what a call begins with, by tool: the arguments of the chosen call, else of its last one."""

    def initial_text(name: str) -> str:
        calls = [call for call in tools.calls if call.name == name]
        call = chosen if chosen is not None and chosen.name == name else calls[-1] if calls else None
        return "{}" if call is None else editable(call.arguments)

    return initial_text


def answers_for(tools: ToolActivity, chosen: CallRecord | None) -> Callable[[str], str]:
    """Return what a mock begins with, by tool: the answer that it has, else its last result."""

    def initial_text(name: str) -> str:
        calls = [call for call in tools.calls if call.name == name and call.state == "done"]
        call = chosen if chosen in calls else calls[-1] if calls else None
        if name in tools.mocks:
            return plain(tools.mocks[name])
        return "" if call is None else editable(call.result)

    return initial_text


def editable(text: str) -> str:
    """Return JSON over several lines, anything else as it is, without what would not be seen."""
    value = parsed(text)
    return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else plain(text)
