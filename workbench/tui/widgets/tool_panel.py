"""The tool panel: calls on the left, the one that is looked at on the right."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from workbench.model.text import plain
from workbench.readers.folds.calls import MARKS, CallRecord, CallSpan, outcome, pretty, seconds, signature
from workbench.readers.folds.tools import ToolActivity

NAMES_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class ToolPanelState:
    """What the panel shows: the tools, and the time on the session's clock, ms."""

    tools: ToolActivity = ToolActivity()  # noqa: RUF009 - frozen
    now_ms: float = 0.0


class ToolPanel(Horizontal):
    """Follows the newest call until another one is chosen; the last one chosen means following again."""

    BORDER_TITLE = "Tools"

    state: reactive[ToolPanelState] = reactive(ToolPanelState(), layout=False, repaint=False)

    def __init__(self) -> None:
        super().__init__(id="tools")
        self._chosen: str | None = None

    def compose(self) -> ComposeResult:
        """Yield a list and the details."""
        yield CallList()
        with VerticalScroll(id="details", can_focus=False):
            yield Static(id="call")

    @property
    def chosen(self) -> CallRecord | None:
        """The call that is looked at."""
        calls = self.state.tools.calls
        return next(
            (call for call in reversed(calls) if call.key == self._chosen), calls[-1] if calls else None
        )

    def choose(self, key: str | None) -> None:
        """Look at this call; None: follow the newest."""
        calls = self.state.tools.calls
        self._chosen = None if calls and key == calls[-1].key else key
        self.query_one("#details", VerticalScroll).scroll_home(animate=False)
        self._draw()

    def step(self, by: int) -> None:
        """Look at a later call, or an earlier one."""
        keys = [call.key for call in self.state.tools.calls]
        if keys and (call := self.chosen) is not None:
            self.choose(keys[min(max(0, keys.index(call.key) + by), len(keys) - 1)])

    def scroll_details(self, by: int) -> None:
        """Read on in the details, by lines."""
        self.query_one("#details", VerticalScroll).scroll_relative(y=by, animate=False)

    def watch_state(self) -> None:
        """Draw what changed."""
        self._draw()

    def on_resize(self) -> None:
        """A line is as long as there is room, once that has been divided."""
        self.call_after_refresh(self._draw)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.choose(event.option_id)

    def _draw(self) -> None:
        if not self.is_mounted or not self.display:
            return
        state, call = self.state, self.chosen
        self.border_title = title(state.tools)
        calls, details = self.query_one(CallList), self.query_one("#call", Static)
        calls.display = call is not None
        calls.draw(state, call)
        width = max(10, self.query_one("#details").scrollable_content_region.width)
        details.update(
            no_calls(state.tools) if call is None else Content("\n").join(describe(call, state.now_ms, width))
        )


@dataclass(frozen=True, slots=True)
class _DrawnCall:
    """A line as it was drawn: three hundred anew, ten times a second, would be 5 % of a core."""

    call: CallRecord
    width: int
    text: Content


class CallList(OptionList):
    """One line a call; the newest at the end."""

    can_focus = False

    def __init__(self) -> None:
        super().__init__(compact=True, markup=False)
        self._drawn: dict[str, _DrawnCall] = {}
        self._latest: tuple[ToolPanelState, CallRecord | None] = (ToolPanelState(), None)

    def on_resize(self) -> None:
        """A line is as long as there is room."""
        self.draw(*self._latest)
        self.call_after_refresh(self.scroll_to_highlight)

    def draw(self, state: ToolPanelState, chosen: CallRecord | None) -> None:
        """Change only the lines that changed, and keep the chosen one in sight."""
        self._latest = state, chosen
        width = max(8, self.scrollable_content_region.width - 2)
        before, drawn = self._drawn, {}
        for call in state.tools.calls:
            old = before.get(call.key)
            same = old is not None and old.call is call and old.width == width and not call.open
            drawn[call.key] = (
                old if old and same else _DrawnCall(call, width, line(call, state.now_ms, width))
            )
        keys = list(before)
        if list(drawn)[: len(keys)] == keys:
            for key in keys:
                if drawn[key] is not before[key] and drawn[key].text != before[key].text:
                    self.replace_option_prompt(key, drawn[key].text)
            self.add_options(Option(drawn[key].text, key) for key in list(drawn)[len(keys) :])
        else:  # an old one has gone
            self.set_options(Option(call.text, key) for key, call in drawn.items())
        self._drawn = drawn
        index = None if chosen is None else list(drawn).index(chosen.key)
        if index != self.highlighted or len(drawn) != len(before):
            self.highlighted = index
            self.call_after_refresh(self.scroll_to_highlight)  # the size may be about to change


def line(call: CallRecord, now_ms: float, width: int) -> Content:
    """Return sign, call, and at the right end how long and how it ended; `width` cells."""
    end = set_cell_size(text, min(cell_len(text), width // 2)) if (text := outcome(call, now_ms)) else ""
    room = max(4, width - 3 - cell_len(end))
    called = set_cell_size(signature(call, room), room)
    return Content.assemble((f"{MARKS[call.state]} ", f"$call-{call.state}"), called, (f" {end}", "$quiet"))


def describe(call: CallRecord, now_ms: float, width: int) -> list[Content]:
    """Return everything about a call, over several lines."""
    spent = call.spent_ms(now_ms)
    tags = [f"attempt {call.attempt}"] if call.attempt > 1 else []
    tags += ["mocked"] if call.mocked else []
    tags += ["by you"] if call.reply is None else []
    lines = [
        Content.assemble(
            (f"{MARKS[call.state]} ", f"bold $call-{call.state}"),
            (plain(call.name, 60, one_line=True), "bold"),
            (f"  {call.state}", f"$call-{call.state}"),
            f"  {seconds(spent)}" if spent is not None else "",
            (f"  {' · '.join(tags)}" if tags else "", "$quiet"),
        )
    ]
    if call.place is not None and call.turn is not None:
        lines.append(Content.styled(where(call.turn, call.place), "$quiet"))
        lines += [lane(call.place, width)] if call.started_ms is not None else []
    if call.state == "running" and (call.progress or call.fraction is not None):
        lines.append(_progress(call, width))
    lines += _part("arguments", call.arguments, width)
    if call.error:
        lines += [Content.styled("error", "$quiet"), Content.styled(pretty(call.error, width), "$error")]
    if not call.open and (call.result or not call.error):
        lines += _part(_result_label(call), call.result, width)
    return lines


def where(turn: int, place: CallSpan) -> str:
    """Return `turn 3 · 442 to 850 ms after speech`."""
    span = _signed(place.start_ms)
    if place.end_ms is not None:
        end = _signed(place.end_ms)
        span = f"{span.removesuffix(' ms') if end.endswith(' ms') else span} to {end}"
    return f"turn {turn} · {span} after {'typing' if place.typed else 'speech'}"


def lane(place: CallSpan, width: int) -> Content:
    """Return the call between the end of speech and when the answer was heard, as in the waterfall; `width` cells."""
    end = "" if place.heard_ms is None else f"▶ {_signed(place.heard_ms)}"
    room = max(4, width - len(end))
    low = min(0.0, place.start_ms)
    high = max(place.start_ms, place.end_ms or 0.0, place.heard_ms or 0.0, low + 1.0)
    scale = room / (high - low)
    first = min(room - 1, round((place.start_ms - low) * scale))
    last = room if place.end_ms is None else min(room, max(first + 1, round((place.end_ms - low) * scale)))
    cells = [("╌", "$track")] * room
    cells[first:last] = [("━", "$part-tools")] * (last - first)
    return Content.assemble(*cells, (end, "$quiet"))


def title(tools: ToolActivity) -> str:
    """Return how many tools there are, and which are mocked, safe as a title."""
    count = f"{len(tools.names)} tool{'' if len(tools.names) == 1 else 's'}" if tools.names else "Tools"
    mocked = f"mocked: {', '.join(tools.mocks)}" if tools.mocks else ""
    return plain(" · ".join(filter(None, (count, mocked))), 60, one_line=True).replace("[", "\\[")


def no_calls(tools: ToolActivity) -> Content:
    """Return what is shown before the first call."""
    if not tools.names:
        return Content.styled(
            "This agent has no tools: write a function with @tool above it in the agent file.", "$quiet"
        )
    names = plain(", ".join(tools.names), NAMES_CHARS, one_line=True)
    return Content.assemble(("No tool was called yet. There are:\n", "$quiet"), names)


def _progress(call: CallRecord, width: int) -> Content:
    text = plain(call.progress, 200, one_line=True)
    if call.fraction is None:
        return Content(text)
    room = max(4, min(20, width // 3))
    done = round(room * min(1.0, max(0.0, call.fraction)))
    bar = Content.styled("━" * done, "$part-tools") + Content.styled("─" * (room - done), "$track")
    return bar + Content(f" {100 * min(1.0, max(0.0, call.fraction)):.0f} %  {text}")


def _part(label: str, text: str, width: int) -> list[Content]:
    return [Content.styled(label, "$quiet"), Content(pretty(text, width) or "–")]


def _result_label(call: CallRecord) -> str:
    size = f", {call.result_chars:,} characters" if call.result_chars > 1_000 else ""
    part = "" if call.shown is None else f", the model was given {call.shown:,} of them"
    return f"result{size}{part}"


def _signed(ms: float) -> str:
    return seconds(ms) if ms >= 0 else f"−{seconds(-ms)}"
