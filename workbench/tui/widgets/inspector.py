"""What is known of a turn: why the agent did or did not speak, its events, its waterfall, and how it compares."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from rich.cells import set_cell_size
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import ContentSwitcher, OptionList, Static
from textual.widgets.option_list import Option

from workbench.model.events import Entry, type_name
from workbench.model.text import plain
from workbench.readers.folds.decisions import Account
from workbench.readers.folds.log import log_line
from workbench.tui.widgets.latency_chart import LatencyChart
from workbench.tui.widgets.waterfall import Waterfall
from workbench.views.decisions import account_title, decision_text, outcome_text
from workbench.views.events import event_text

VIEWS = {"why": "Why", "events": "Events", "waterfall": "Waterfall", "latency": "Latency"}
TIME_CELLS, JUDGE_CELLS, WIDE = 8, 12, 52
"""Cells of the columns of decisions; in a narrower place what was decided stands below who decided it."""
OUTCOMES = {"spoke": "$success", "cut": "$warning", "failed": "$error", "dismissed": "$quiet"}


class Inspector(ContentSwitcher):
    """One view of the turn at a time; `step` shows the next."""

    def __init__(self) -> None:
        super().__init__(initial="why", id="inspector")

    def compose(self) -> ComposeResult:
        """Yield the views."""
        yield WhyView(id="why")
        yield EventsView(id="events")
        with VerticalScroll(id="waterfall", can_focus=False):
            yield Waterfall()
        with Vertical(id="latency"):
            yield LatencyChart()

    def step(self, by: int) -> None:
        """Show the next view, or the one before."""
        keys = list(VIEWS)
        self.current = keys[(keys.index(str(self.current)) + by) % len(keys)]

    def on_mount(self) -> None:
        """Name the first view."""
        self._entitle("why")

    def watch_current(self, old: str | None, new: str | None) -> None:
        """Name this view."""
        super().watch_current(old, new)
        self._entitle(new)

    def _entitle(self, current: str | None) -> None:
        """Put the names of the views into the title, that of this one bright."""
        names = [f"[$user b]{name}[/]" if key == current else name for key, name in VIEWS.items()]
        self.border_title = " · ".join(names)

    def scroll(self, by: int) -> None:
        """Read on in what is shown, by lines."""
        view = self.query_one(f"#{self.current}")
        target = view.query_one("#event-scroll") if isinstance(view, EventsView) else view
        target.scroll_relative(y=by, animate=False)


class WhyView(VerticalScroll):
    """What was decided, line by line."""

    accounts: reactive[tuple[Account, ...]] = reactive((), layout=False, repaint=False)

    can_focus = False

    def compose(self) -> ComposeResult:
        """Yield the place of the lines."""
        yield Static(id="decisions")

    def watch_accounts(self) -> None:
        """Draw another turn from its beginning."""
        self._draw()
        self.scroll_home(animate=False)

    def on_resize(self) -> None:
        """Lines are as long as there is room."""
        self._draw()

    def _draw(self) -> None:
        if self.is_mounted:
            width = max(30, self.scrollable_content_region.width)
            parts = [line for account in self.accounts for line in why(account, width)]
            text = (
                Content("\n").join(parts) if parts else Content.styled("Nothing was decided here.", "$quiet")
            )
            self.query_one("#decisions", Static).update(text)


def why(account: Account, width: int) -> list[Content]:
    """Return an account as lines of so many cells: outcome, words, decisions, an empty line."""
    head = f"{account_title(account)}: {outcome_text(account)}"
    lines = [
        Content.styled(row, f"{OUTCOMES.get(account.outcome, '$quiet')} bold") for row in wrap(head, width)
    ]
    if said := plain(account.text.strip(), 300, one_line=True):
        lines += [Content.styled(row, "$user") for row in wrap(f"“{said}”", width)]
    wide = width >= WIDE
    margin = TIME_CELLS + JUDGE_CELLS if wide else TIME_CELLS
    for decision in account.decisions:
        text = decision_text(decision)
        rows = wrap(text, max(12, width - margin)) or [""]
        time, judge = f"{decision.t_ms / 1000:>{TIME_CELLS - 1}.2f} ", f"{decision.judge:<{JUDGE_CELLS}}"
        lines.append(Content.assemble((time, "$quiet"), (judge, "bold"), rows.pop(0) if wide else ""))
        lines += [Content(" " * margin + row) for row in rows]
    return [*lines, Content("")]


class EventsView(Vertical):
    """The events of a turn, and below them the one that is looked at, in full."""

    entries: reactive[Sequence[Entry]] = reactive((), layout=False, repaint=False)
    _chosen = -1
    """Index in the trace of the event that is looked at."""

    def compose(self) -> ComposeResult:
        """Yield the list and the event."""
        yield EventList()
        with VerticalScroll(id="event-scroll", can_focus=False):
            yield Static(id="event", markup=False)

    def watch_entries(self, entries: Sequence[Entry]) -> None:
        """List them, and look at the one that was looked at before if it is there, else at the first."""
        events, before = self.query_one(EventList), self._chosen
        events.clear_options().add_options([Option(Content(_row(entry)), str(entry.i)) for entry in entries])
        places = [at for at, entry in enumerate(entries) if entry.i == before]
        self._look(next(iter(places), 0) if entries else None)

    def choose(self, by: int) -> None:
        """Look at a later event, or an earlier one."""
        at = self.query_one(EventList).highlighted
        if at is not None:
            self._look(min(max(0, at + by), len(self.entries) - 1))

    def look_at(self, i: int) -> None:
        """Look at the event of that index in the trace, or the last before it."""
        at = sum(entry.i <= i for entry in self.entries) - 1
        self._look(max(0, at) if self.entries else None)

    @property
    def chosen(self) -> Entry | None:
        """The event that is looked at."""
        at = self.query_one(EventList).highlighted
        return None if at is None or at >= len(self.entries) else self.entries[at]

    def _look(self, at: int | None) -> None:
        self.query_one(EventList).highlighted = at
        self._chosen = -1 if at is None else self.entries[at].i
        text = "There is no event here." if at is None else plain(event_text(self.entries[at]), 20_000)
        self.query_one("#event", Static).update(text)
        self.query_one("#event-scroll").scroll_home(animate=False)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._look(event.option_index)


class EventList(OptionList):
    """One line an event."""

    can_focus = False

    def __init__(self) -> None:
        super().__init__(compact=True, markup=False)


def _row(entry: Entry) -> str:
    """Return the line of an event, cut to what a list may show."""
    line = log_line(entry) or f"{entry.t_ms / 1000:.3f}  {type_name(type(entry.event))}"
    return set_cell_size(line, 200).rstrip()
