"""What is drawn again: in a shell of IPython, whose outputs are looked at."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from tests.views.pages import spoken, traced
from tests.waiting import until
from workbench.model.errors import UsageError
from workbench.model.events import ReplyEnded, ReplyPlaying, SpeechPaused, SpeechResumed
from workbench.views import live_output
from workbench.views.figures import Drawing
from workbench.views.live_output import LiveOutput
from workbench.views.trace import OpenTrace


class Shown:
    """Outputs, as a page would have them: by display id."""

    def __init__(self, captured: Any) -> None:
        self._captured = captured

    def __getitem__(self, kind: str) -> list[Any]:
        return [one["data"][kind] for one in self.messages]

    @property
    def messages(self) -> list[Any]:
        found: list[Any] = self._captured._outputs
        return found


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    shell.parent_header = {"metadata": {"cellId": "first"}, "header": {"msg_id": "1"}}  # type: ignore[attr-defined]
    try:
        yield shell
    finally:
        shell.history_manager.end_session()  # type: ignore[union-attr]
        InteractiveShell.clear_instance()


def following() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "notebook-live-output"]


def counted(trace: OpenTrace) -> LiveOutput:
    return LiveOutput(trace, lambda: {"text/plain": f"{len(trace.turns)} turns, {trace.closed}"})


def talk(trace: OpenTrace, turn: int) -> None:
    for event in spoken(turn):
        trace.emit(event)


def test_it_is_drawn_again_as_turns_end_and_for_the_last_time_with_the_trace(shell: InteractiveShell) -> None:
    trace = traced()
    with capture_output() as captured:
        counted(trace).show()
        shown = Shown(captured)
        assert shown["text/plain"] == ["0 turns, False"]
        talk(trace, 1)
        until(lambda: shown["text/plain"][-1] == "1 turns, False")
        trace.close()
        until(lambda: shown["text/plain"][-1] == "1 turns, True")
        until(lambda: not following())
    assert len({one["transient"]["display_id"] for one in shown.messages}) == 1
    assert [one["update"] for one in shown.messages] == [False, True, True]


def test_it_is_drawn_when_nobody_waits_for_the_agent_or_hears_it(shell: InteractiveShell) -> None:
    trace = traced()
    looks: list[bool] = []

    class Looked(LiveOutput):
        def _quiet(self) -> bool:
            looks.append(super()._quiet())
            return looks[-1]

    with capture_output() as captured:
        Looked(trace, counted(trace)._draw).show()
        shown = Shown(captured)
        for turn, begun, over in (
            (1, SpeechPaused(2, 0), SpeechResumed(2, 0, 200.0)),  # an answer may be decided on
            (2, ReplyPlaying(2, 2, 0), ReplyEnded(2, 2, "done", "", "")),
        ):
            *events, ended = spoken(turn)
            for event in (*events, begun, ended):
                trace.emit(event)
            looks.clear()
            until(lambda: len(looks) > 2)
            assert not any(looks)
            assert shown["text/plain"][-1] == f"{turn - 1} turns, False"
            trace.emit(over)
            until(lambda: shown["text/plain"][-1] == f"{len(trace.turns)} turns, False")
        trace.emit(ReplyPlaying(3, 3, 0))
        trace.close()
        until(lambda: shown["text/plain"][-1] == "2 turns, True")  # the end waits for nobody


def test_what_a_cell_changed_is_drawn_before_it_ends(shell: InteractiveShell) -> None:
    trace = traced()
    with capture_output() as captured:
        counted(trace).show()
        shell.user_ns |= {"talk": talk, "trace": trace}
        shell.run_cell("talk(trace, 1)", store_history=False)
        assert Shown(captured)["text/plain"][-1] == "1 turns, False"
        shell.run_cell("trace.close()", store_history=False)
        assert Shown(captured)["text/plain"][-1] == "1 turns, True"
    until(lambda: not following())


def test_a_trace_that_has_ended_is_shown_once(shell: InteractiveShell) -> None:
    trace = traced(*spoken(1))
    trace.close()
    with capture_output() as captured:
        counted(trace).show()
    assert Shown(captured)["text/plain"] == ["1 turns, True"]
    assert not following()


def test_the_cell_that_runs_again_ends_what_it_showed_before(shell: InteractiveShell) -> None:
    trace = traced()
    with capture_output() as captured:
        first = counted(trace)
        first.show()
        shell.parent_header = {"metadata": {"cellId": "first"}, "header": {"msg_id": "2"}}  # type: ignore[attr-defined]
        counted(trace).show()
        until(lambda: len(following()) == 1)
        talk(trace, 1)
        until(lambda: Shown(captured)["text/plain"][-1] == "1 turns, False")
        first.show()  # in another cell of the same notebook: it goes on
        talk(trace, 2)
        until(lambda: Shown(captured)["text/plain"][-2:] == ["2 turns, False"] * 2)
        trace.close()
        until(lambda: not following())
    ids = [one["transient"]["display_id"] for one in Shown(captured).messages]
    assert len(set(ids)) == 2


def in_cell(shell: InteractiveShell, cell: str, request: str) -> None:
    shell.parent_header = {"metadata": {"cellId": cell}, "header": {"msg_id": request}}  # type: ignore[attr-defined]


def test_drawing_that_raises_is_said_in_its_place_and_tried_again(shell: InteractiveShell) -> None:
    trace = traced()
    errors: list[BaseException | None] = [UsageError("<no>", "later"), ValueError("no"), SystemExit(1), None]

    def draw() -> dict[str, object]:
        if (error := errors[len(trace.turns)]) is not None:
            raise error
        return {"text/plain": "drawn"}

    with capture_output() as captured:
        one = LiveOutput(trace, draw)
        one.show()
        shown = Shown(captured)
        assert shown["text/html"] == ["<b>&lt;no&gt;</b><br>→ later"]
        for turn, said in ((1, "raised ValueError: no"), (2, "raised SystemExit: 1"), (3, "drawn")):
            talk(trace, turn)
            until(lambda said=said: said in shown["text/plain"][-1])  # type: ignore[misc]
        assert len(following()) == 1
        trace.close()
        until(lambda: not following())
    assert live_output._following == set()


def test_one_in_two_cells_goes_on_until_both_show_something_else(shell: InteractiveShell) -> None:
    trace, ended = traced(), traced()
    ended.close()
    with capture_output() as captured:
        one = counted(trace)
        in_cell(shell, "first", "1")
        one.show()
        in_cell(shell, "second", "2")
        one.show()
        in_cell(shell, "first", "3")
        counted(ended).show()
        talk(trace, 1)
        until(lambda: Shown(captured)["text/plain"][-1] == "1 turns, False")
        in_cell(shell, "second", "4")
        counted(ended).show()
        until(lambda: not following())


def test_one_that_was_stopped_begins_again_at_once(shell: InteractiveShell) -> None:
    trace = traced()
    with capture_output() as captured:
        one = counted(trace)
        one.show()
        one.stop()
        one.show()
        talk(trace, 1)
        until(lambda: Shown(captured)["text/plain"][-1] == "1 turns, False")
        assert live_output._following == {one}
        trace.close()
        until(lambda: not following())


def test_two_outputs_of_one_thing_are_drawn_once(shell: InteractiveShell) -> None:
    trace = traced()
    with capture_output() as captured:
        one = counted(trace)
        one.show()
        one.show()
        assert len(following()) == 1
        talk(trace, 1)
        trace.close()
        until(lambda: not following())
    assert len(Shown(captured)["text/plain"]) <= 4


@pytest.mark.parametrize("what", ["latency", "waterfall", "timeline"])
def test_live_figures_are_the_static_ones_and_none_is_kept(shell: InteractiveShell, what: str) -> None:
    trace = traced(clock=[20_000.0])
    before = drawings()
    draw = getattr(trace.plot, what)
    with capture_output() as captured:
        draw(live=True).show()
        talk(trace, 1)
        until(lambda: len(Shown(captured).messages) >= 2)
        trace.close()
        until(lambda: not following())
    assert Shown(captured)["image/png"][-1] == draw().bundle()["image/png"]
    assert drawings() == before


def drawings() -> int:
    """Figures that somebody holds."""
    gc.collect()
    return sum(isinstance(one, Drawing) for one in gc.get_objects())


def test_drawing_takes_a_small_share_of_the_time_and_the_end_waits_for_nothing() -> None:
    """After 1,000 s of drawing nothing is drawn for hours, but for the end."""
    trace = traced()
    one = counted(trace)
    drawn: list[bool] = []
    polls = 0

    class Enough(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal polls
            polls += 1
            if polls == 50:
                trace.close()
            return False

    def update() -> float:
        drawn.append(trace.closed)
        return 1000.0

    one._stopped, one.update = Enough(), update  # type: ignore[method-assign]
    one._follow()
    assert drawn == [False, True]
