"""`workbench compare --tui`: two or more recordings turn by turn, with both sounds to hear."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from workbench.model.audio import SILENCE_DB, Samples, block_levels
from workbench.model.errors import MissingError, UsageError
from workbench.model.events import TrackName
from workbench.model.text import plain
from workbench.readers.pairs import SessionFigures, TurnPair, pair_turns, words_changed
from workbench.readers.timeline import Turn
from workbench.tui.player import Player
from workbench.tui.widgets.latency_chart import EIGHTHS
from workbench.tui.widgets.level_meters import share
from workbench.views.comparison import pair_changes, pair_latency, pair_numbers, pair_parts, summary_rows
from workbench.views.format import DASH, marks, money, ms, signed_ms
from workbench.views.trace import OpenTrace

LABEL_CELLS, FIGURE_CELLS = 18, 10
WORDS = 4000
"""Characters of what was said that are compared on the screen."""


class ComparisonScreen(Screen[None]):
    """The pairs of turns of the first recording and another, and the chosen pair in full."""

    other: reactive[int] = reactive(1, init=False)
    """Which recording is set beside the first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "play(0)", "Play A", id="compare.play_a", tooltip="Play this turn of A, or stop."),
        Binding("b,space", "play(1)", "Play B", id="compare.play_b", tooltip="Play this turn of B, or stop."),
        Binding("n,right", "go(1)", "Next recording", id="compare.next", tooltip="Compare with the next."),
        Binding("p,left", "go(-1)", "Previous", id="compare.previous", tooltip="Compare with the one before."),
    ]  # fmt: skip

    def __init__(
        self, names: Sequence[str], traces: Sequence[OpenTrace], figures: Sequence[SessionFigures]
    ) -> None:
        """Of two or more recordings: their names, traces and figures, in one order."""
        super().__init__()
        self._names = names
        self._traces = traces
        self._figures = figures
        self._player = Player()
        self._playing: tuple[int, int] | None = None
        """The recording, and the turn of it, that was played last."""
        self._pairs: list[TurnPair] = []

    def compose(self) -> ComposeResult:
        """A line on both, the pairs, and the chosen one."""
        yield Static(id="overview", markup=False)
        with Horizontal(id="body"):
            yield PairList()
            with VerticalScroll(id="pair"):
                yield Static(id="words", markup=False)
                yield Static(id="sounds", markup=False)
                yield Static(id="parts", markup=False)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Show the first pair."""
        self.query_one(PairList).focus()
        self.watch_other()

    def watch_other(self) -> None:
        """Set another recording beside the first."""
        a, b = self._figures[0], self._figures[self.other]
        self._pairs = list(pair_turns(a.turns, b.turns))
        figures = (
            f"{name} {f'{before} → {after} ' if before else ''}{change}".rstrip()
            for name, before, after, change in summary_rows(a, b)
        )
        told = " · ".join(
            line for line in figures if line.startswith(("heard after", "paired", "cutoffs", "cost"))
        )
        self.query_one("#overview", Static).update(f"{self._names[0]} → {self._names[self.other]} · {told}")
        self.query_one(PairList).show([pair_line(pair) for pair in self._pairs])
        self._show_pair()

    def on_option_list_option_highlighted(self) -> None:
        """Show the pair that is chosen."""
        self._player.stop()
        self._show_pair()

    def on_resize(self) -> None:
        """Draw the sounds as wide as there is room."""
        self._show_pair()

    def _show_pair(self) -> None:
        pair = self._chosen
        words, sounds, parts = (self.query_one(f"#{name}", Static) for name in ("words", "sounds", "parts"))
        if pair is None:
            words.update("There is no turn in these recordings.")
            return
        words.update(said(pair))
        room = max(10, self.query_one("#pair").content_size.width - LABEL_CELLS - 1)
        sounds.update(
            Content("\n").join(
                [*self._sound_lines(0, pair.a, room), *self._sound_lines(self.other, pair.b, room)]
            )
        )
        parts.update(figures_of(pair))

    @property
    def _chosen(self) -> TurnPair | None:
        place = self.query_one(PairList).highlighted
        return None if place is None or place >= len(self._pairs) else self._pairs[place]

    def _sound_lines(self, recording: int, turn: Turn | None, room: int) -> list[Content]:
        """Return the waveforms of both sides of a turn, a line each."""
        name = plain(self._names[recording], LABEL_CELLS - 6, one_line=True)
        if turn is None:
            return [Content.styled(f"{name}: no such turn", "$quiet")]
        trace = self._traces[recording]
        sides: tuple[tuple[TrackName, str, str], ...] = (
            ("user", "you", "$user"),
            ("agent", "agent", "$agent"),
        )
        return [
            Content.assemble(
                (f"{name} {who}"[:LABEL_CELLS].ljust(LABEL_CELLS), "$quiet"),
                (_bars(trace, track, turn, room), colour),
            )
            for track, who, colour in sides
            if track in trace.tracks
        ] or [Content.styled(f"{name}: no sound was recorded", "$quiet")]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer other recordings where there are more than two."""
        return action != "go" or len(self._traces) > 2

    def action_go(self, by: int) -> None:
        """Set another recording beside the first."""
        self.other = min(max(1, self.other + by), len(self._traces) - 1)

    def action_play(self, side: int) -> None:
        """Play a side of the pair, or stop it; say why where it cannot be played."""
        pair, recording = self._chosen, 0 if side == 0 else self.other
        turn = None if pair is None else (pair.a, pair.b)[side]
        if turn is None:
            return
        again = self._player.at_s is not None and self._playing == (recording, turn.turn)
        self._player.stop()
        if again:
            return
        try:
            self._player.play(self._sound(recording, turn))
            self._playing = recording, turn.turn
        except MissingError as error:
            self.notify(plain(error.hint), title=plain(error.reason), severity="warning", markup=False)

    def _sound(self, recording: int, turn: Turn) -> Samples:
        return self._traces[recording].audio(turn=turn.turn)

    def leave(self, code: int, reason: str) -> None:
        """Stop playing, and leave."""
        self._player.stop()
        self.app.exit(return_code=code)


class PairList(OptionList):
    """A pair of turns a line."""

    def __init__(self) -> None:
        super().__init__(compact=True, markup=False)

    def show(self, lines: list[Content]) -> None:
        """Show other lines; the place stays where it can."""
        before = self.highlighted or 0
        self.clear_options()
        self.add_options([Option(line) for line in lines])
        self.highlighted = min(before, len(lines) - 1) if lines else None


def pair_line(pair: TurnPair) -> Content:
    """Return a pair as a line: its numbers, both latencies, and whether anything else differs."""
    differs = "≠ " if any(True for _ in pair_changes(pair)) else "  "
    turn = pair.a or pair.b
    words = plain(turn.user_text, 60, one_line=True) if turn else ""
    return Content.assemble(
        (f"{pair_numbers(pair):<7}", "$quiet"),
        (differs, "$warning"),
        f"{pair_latency(pair)}  ",
        (words, "$quiet"),
    )


def said(pair: TurnPair) -> Content:
    """Return what both said in both, with what is different marked as wdiff marks it, and in colour."""
    lines = list[Content]()
    for who, texts in (
        ("you", [None if turn is None else turn.user_text for turn in (pair.a, pair.b)]),
        ("agent", [None if turn is None else turn.agent_text for turn in (pair.a, pair.b)]),
    ):
        before, after = (None if text is None else plain(text, WORDS, one_line=True) for text in texts)
        lines.append(
            Content.assemble((f"{who:<6}", "$user" if who == "you" else "$agent"), _diff(before, after))
        )
    ends = [(marks(turn) or "done") if turn else DASH for turn in (pair.a, pair.b)]
    lines.append(
        Content.styled(f"{'ended':<6}{ends[0] if ends[0] == ends[1] else ' → '.join(ends)}", "$quiet")
    )
    return Content("\n").join(lines)


def _diff(before: str | None, after: str | None) -> Content:
    if before is None or after is None:
        return Content.assemble(before or after or "", ("  (only in one of them)", "$quiet"))
    pieces = list[Content]()
    for old, new in words_changed(before, after):
        if old == new:
            pieces.append(Content(old))
            continue
        pieces += [Content.styled(f"[-{old}-]", "$error")] if old else []
        pieces += [Content.styled(f"{{+{new}+}}", "$success")] if new else []
    return Content(" ").join(pieces)


def figures_of(pair: TurnPair) -> Content:
    """Return the parts of the waterfall, heard latency, discarded replies and cost of both, a line each."""
    head = f"{'':<{LABEL_CELLS}}{'A':>{FIGURE_CELLS}}{'B':>{FIGURE_CELLS}}{'change':>{FIGURE_CELLS}}"
    lines = [Content.styled(head, "$quiet")]
    for name, before, after in pair_parts(pair):
        change = signed_ms(after - before) if before is not None and after is not None else ""
        style = "$quiet" if not change or abs((after or 0.0) - (before or 0.0)) < 1 else ""
        cells = "".join(f"{cell:>{FIGURE_CELLS}}" for cell in (ms(before), ms(after), change))
        lines.append(Content.assemble(f"{name:<{LABEL_CELLS}}", (cells, style)))
    for name, values in (
        ("discarded replies", [turn and f"{turn.discarded_replies}" for turn in (pair.a, pair.b)]),
        ("cost", [turn and money(turn.usage) for turn in (pair.a, pair.b)]),
    ):
        lines.append(
            Content(
                f"{name:<{LABEL_CELLS}}" + "".join(f"{value or DASH:>{FIGURE_CELLS}}" for value in values)
            )
        )
    return Content("\n").join(lines)


def _bars(trace: OpenTrace, track: TrackName, turn: Turn, room: int) -> str:
    """Return a side of a turn as so many bars, each as high as its loudest level."""
    try:
        levels = block_levels(trace.audio(track, turn=turn.turn), trace.rate(track))
    except UsageError:
        return ""
    if not len(levels):
        return ""
    edges = [column * len(levels) // room for column in range(room + 1)]
    loudest = [
        float(levels[low : max(low + 1, high)].max(initial=SILENCE_DB)) for low, high in pairwise(edges)
    ]
    return "".join(EIGHTHS[round(8 * share(db))] for db in loudest)
