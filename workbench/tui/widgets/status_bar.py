"""The line of facts: providers, room, devices, duplex, echo, host lag, recording; what fits of them."""

from __future__ import annotations

from pathlib import Path

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from workbench.model.text import plain
from workbench.readers.folds.status import LOST, ProviderStatus, SessionStatus
from workbench.views.format import money

SLOW_HOST_MS = 20.0
"""A loop that wakes later than this is worth a mark: sound is handed over in frames of 10 or 20 ms."""

SEPARATOR = " │ "
RECORD_CELLS = len("● rec ")
LEAST_PATH_CELLS = 18

Fact = tuple[str, str]
"""Text and style."""


class StatusBar(Widget):
    """One line of the most needed, or two lines of all where there is room."""

    status: reactive[SessionStatus] = reactive(SessionStatus())

    def render(self) -> Content:
        """Draw as many facts as fit; the path of the recording is shortened from its left."""
        status, (width, height) = self.status, self.content_size
        if height > 1:
            return Content("\n").join(
                [line(stages(status), width), line(with_recording(status, width), width)]
            )
        return line([*(models := pipeline(status)), *with_recording(status, width - cells(models))], width)


def stages(status: SessionStatus) -> list[Fact]:
    """Return every stage's provider and every device, in full."""
    facts = [
        _stage(f"{stage} {one_line(provider.name)}", provider) for stage, provider in status.providers.items()
    ]
    ways = (
        (f"{'out' if track == 'agent' else 'in'} {one_line(name)}", name)
        for track, name in status.devices.items()
    )
    return facts + [(text, "$error" if name == LOST else "$quiet") for text, name in ways]


def pipeline(status: SessionStatus) -> list[Fact]:
    """Return the models in one short fact, `whisper → llama → piper`, then those in trouble."""
    models = {stage: provider for stage, provider in status.providers.items() if stage not in ("vad", "turn")}
    names = " → ".join(one_line((it.answers or it.name).partition("/")[0]) for it in models.values())
    troubled = [_stage(stage, it) for stage, it in models.items() if it.trouble or it.loading or it.answers]
    return ([(names, "$quiet")] if names else []) + troubled


def health(status: SessionStatus) -> list[Fact]:
    """Return lost voices, room, duplex, cost unless all is on board, host lag, glitches, echo."""
    lost = [(f"! {status.by_text}", "$error")] if status.lost else []
    facts = [
        *lost,
        *room(status),
        (f"{status.duplex} duplex", "$quiet" if status.duplex == "full" else "$warning"),
    ]
    if status.spent.get("cost") != 0 and status.spent:
        facts.append((f"cost {money(status.spent)}", "$quiet"))
    if status.lag_max_ms is not None:
        slow = status.lag_max_ms > SLOW_HOST_MS
        facts.append(
            (f"{'! ' if slow else ''}host {status.lag_max_ms:.0f} ms", "$warning" if slow else "$quiet")
        )
    if status.glitches:
        facts.append((f"! glitches {status.glitches}", "$warning"))
    if status.echo_db is not None:
        facts.append((f"echo −{status.echo_db:.0f} dB", "$quiet"))
    return facts


def room(status: SessionStatus) -> list[Fact]:
    """Return the room and its connection; a sign says without colour that it is not as it should be."""
    if status.room is None:
        return []
    text = f"room {plain(status.room.name, 30, one_line=True)} {status.room.word}"
    if status.room.state == "connected":
        return [(text, "$quiet")]
    if status.room.state == "lost":
        return [(f"! {text}", "$error")]
    return [(f"! {text}", "$warning") if status.room.waiting else (text, "$quiet")]


def with_recording(status: SessionStatus, width: int) -> list[Fact]:
    """Return health, and where the recording is; what is least needed of both gives way."""
    facts = health(status)
    if status.recording is None:
        return [("○ not recorded", "$quiet"), *facts]
    path = one_line(_short(Path(status.recording)))
    least = RECORD_CELLS + min(LEAST_PATH_CELLS, cell_len(path))
    while len(facts) > 2 and cells(facts) + least > width:
        facts.pop()
    room = max(LEAST_PATH_CELLS, width - cells(facts) - RECORD_CELLS)
    if cell_len(path) > room:
        path = "…" + path[1 - room :]
    return [*facts, (f"{'■' if status.ended else '●'} rec {path}", "")]


def _stage(text: str, provider: ProviderStatus) -> Fact:
    if provider.answers:
        return f"{text} ! {one_line(provider.answers)} answers", "$warning"
    if provider.trouble:
        return f"{text} ! {one_line(provider.trouble)}", "$warning"
    return f"{text} {provider.loading}".rstrip(), "$quiet"


def _short(path: Path) -> str:
    home = Path("~").expanduser()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def one_line(text: str) -> str:
    """Return text from outside, made safe for this line."""
    return plain(text, one_line=True)


def cells(facts: list[Fact]) -> int:
    """Return how many cells the facts take, their separators included."""
    return sum(cell_len(text) + len(SEPARATOR) for text, _ in facts)


def line(facts: list[Fact], width: int) -> Content:
    """Return the facts that fit, in order."""
    line = Content("")
    for text, style in facts:
        separator = SEPARATOR if line else ""
        if cell_len(text) <= width - line.cell_length - len(separator):
            line = line + Content.styled(separator, "$track") + Content.styled(text, style)
    return line
