"""The conversation as it grows: partial words grey, unheard words struck through, failures with what to do."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from workbench.model.text import plain
from workbench.readers.folds.conversation import ConversationLine
from workbench.views.format import ms

ROWS = 120
"""Rows kept on the screen: each costs three or four widgets."""

MARKS = {"failed": "✗", "error": "✗", "warning": "!", "info": "·"}
"""What a note begins with, so that its kind is readable without colour."""
WHO = {"user": "you", "agent": "agent", "tool": "⚙"}


class ConversationView(VerticalScroll):
    """The lines of a conversation, followed at its end unless the user has scrolled up."""

    lines: reactive[tuple[ConversationLine, ...]] = reactive((), layout=False, repaint=False)

    can_focus = False

    def on_mount(self) -> None:
        """Stay at the end, also where rows grow after they were drawn."""
        self.watch(self, "virtual_size", self.on_resize)

    def on_resize(self) -> None:
        """Look whether there is an end to follow."""
        self.call_after_refresh(self.follow)

    def follow(self) -> None:
        """Stay at the end of lines that are more than there is room for; fewer would be moved down."""
        if any(line.chosen for line in self.lines):  # a recording is looked at there, not at its end
            return
        overflows = self.max_scroll_y > 0
        if overflows != self.is_anchored:
            self.anchor(overflows)
            if not overflows:
                self.scroll_home(animate=False)

    async def watch_lines(self, lines: tuple[ConversationLine, ...]) -> None:
        """Change only the rows that changed."""
        latest = {line.key: line for line in lines[-ROWS:]}
        rows = {row.line.key: row for row in self.query(ConversationRow)}
        same = [key for key in latest if key in rows]
        if same != list(latest)[: len(same)]:  # something came in between
            same = []
        with self.app.batch_update():
            await self.remove_children([row for key, row in rows.items() if key not in same])
            for key in same:
                rows[key].line = latest[key]
            await self.mount_all(ConversationRow(line) for key, line in latest.items() if key not in same)
        chosen = [row for row in self.query(ConversationRow) if row.line.chosen]
        if chosen:
            self.release_anchor()
            self.call_after_refresh(self.scroll_to_widget, chosen[0], animate=False, center=True)


class ConversationRow(Horizontal):
    """One line: who, the words, and how late the answer was heard."""

    line: reactive[ConversationLine] = reactive(
        ConversationLine("", "note", "info"), init=False, layout=False, repaint=False
    )

    def __init__(self, line: ConversationLine) -> None:
        super().__init__(classes=f"{line.who} {line.state}")
        self.set_reactive(ConversationRow.line, line)

    def compose(self) -> ComposeResult:
        """Yield a label, the words, and a place for the figure."""
        yield Static(label(self.line), classes="who", markup=False)
        yield Static(words(self.line), classes="words")
        if self.line.who == "agent":  # beside the words: within them, a line's end would part figure and unit
            yield Static(figures(self.line), classes="figures", markup=False)

    def watch_line(self, line: ConversationLine) -> None:
        """Draw the line anew."""
        self.set_classes(f"{line.who} {line.state}")
        self.query_one(".who", Static).update(Content(label(line)))
        self.query_one(".words", Static).update(words(line))
        for static in self.query(".figures").results(Static):
            static.update(figures(line))


def label(line: ConversationLine) -> str:
    """Return who speaks, or the mark of a note; with an arrow where a recording is at this turn."""
    who = MARKS.get(line.state, "·") if line.who == "note" else WHO[line.who]
    return f"{who} ▸" if line.chosen else who


def words(line: ConversationLine) -> Content:
    """Return the text of a line, what was not heard struck through."""
    pending = line.state in ("partial", "prepared")
    parts = [Content.styled(plain(line.text), "$pending" if pending else "")]
    if pending:
        parts.append(Content.styled(" …", "$pending"))
    if line.unheard:
        gap = "" if not line.text or line.unheard[:1].isspace() or line.text[-1:].isspace() else " "
        parts.append(Content(gap) + Content.styled(plain(line.unheard), "$unheard strike"))
    if line.state == "cut":
        estimated = " (estimated)" if line.estimated else ""
        parts.append(Content.styled(f"\n✂ interrupted{estimated}", "$quiet italic"))
    if line.hint:
        parts.append(Content.styled(f"\n→ {plain(line.hint)}", "$quiet"))
    return Content("").join(parts)


def figures(line: ConversationLine) -> str:
    """Return the heard latency of the turn, once it is known."""
    return "" if line.heard_ms is None else ms(line.heard_ms)
