from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import ipywidgets as widgets
import pytest

from tests.waiting import until
from workbench.config import load_settings
from workbench.model.errors import UsageError
from workbench.notebook import knob, knobs
from workbench.notebook.widget import slider_bounds
from workbench.session import Session, open_session
from workbench.transports.browser.transport import EchoDuplex


@pytest.fixture
def session() -> Iterator[Session]:
    settings = load_settings(
        {
            "profile": "scripted",
            "audio.source": "none",
            "audio.sink": "none",
            "tts.provider": "none",
            "record.enabled": False,
        }
    )
    with open_session(settings) as session:
        yield session


def test_a_knob_has_the_bounds_and_the_sentence_of_its_setting() -> None:
    slider = knob("turn.silence_ms")
    assert isinstance(slider, widgets.FloatSlider)
    assert (slider.value, slider.min, slider.max, slider.step) == (350, 50, 5000, 10)
    assert "Silence that ends a turn" in slider.tooltip
    assert slider.description == "turn.silence_ms"


def test_knobs_of_every_kind() -> None:
    assert isinstance(knob("turn.adapt"), widgets.Checkbox)
    assert isinstance(knob("bargein.min_words"), widgets.IntSlider)
    assert isinstance(knob("limits.retries", 3), widgets.IntSlider)
    assert isinstance(knob("limits.tool_ms"), widgets.FloatText)
    assert knob("bargein.mode").options == ("full", "half")
    assert knob("llm.voice").value == ""
    assert knob("vad.threshold").step == 0.01
    assert (knob("turn.silence_ms", 400, max=900).value, knob("turn.silence_ms", max=900).max) == (400, 900)


def test_what_is_no_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"did you mean turn\.silence_ms"):
        knob("turn.silence")
    with pytest.raises(UsageError, match="no widget"):
        knob("script")
    nothing: list[Any] = [3, None, ["turn.silence_ms"]]
    for name in nothing:
        with pytest.raises(UsageError, match="is no setting"):
            knob(name)


@pytest.mark.parametrize(
    ("value", "options", "reason"),
    [
        ("abc", {}, "turn.silence_ms = 'abc': should be a valid number.* – allowed: ≥ 50 and ≤ 5000"),
        (99999, {}, "turn.silence_ms = 99999: should be less than .* – allowed: ≥ 50 and ≤ 5000"),
        (float("nan"), {}, "turn.silence_ms = nan: not a number to work with"),
        (None, {"min": 900, "max": 100}, "turn.silence_ms: min = 900 is above max = 100"),
        (None, {"max": 99999}, "max: turn.silence_ms = 99999: should be less than"),
        (None, {"min": "abc"}, "min: turn.silence_ms = 'abc': should be a valid number"),
        (1000, {"max": 900}, "turn.silence_ms = 1000 is not between min and max"),
        (None, {"step": "abc"}, "turn.silence_ms has no such widget"),
    ],
)
def test_what_a_knob_cannot_be_is_refused_with_its_bounds(value: Any, options: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        knob("turn.silence_ms", value, **options)


def test_a_value_of_no_kind_is_refused_and_a_default_is_moved_in() -> None:
    with pytest.raises(UsageError, match=r"bargein\.mode = 'fulll'.*did you mean full"):
        knob("bargein.mode", "fulll")
    with pytest.raises(UsageError, match=r"turn\.adapt"):
        knob("turn.adapt", "perhaps")
    assert knob("turn.silence_ms", min=600).value == 600
    assert knob("turn.silence_ms", "400").value == 400


def test_knobs_compose_with_interact() -> None:
    seen: list[float] = []
    made = widgets.interactive(lambda silence: seen.append(silence), silence=knob("turn.silence_ms"))
    made.update()
    made.children[0].value = 800
    assert seen[-1] == 800


def test_knobs_set_a_running_session_and_follow_it(session: Session) -> None:
    box = knobs(session, "turn.silence_ms", "bargein.mode")
    silence, mode, _ = box.children
    silence.value = 700
    assert session.settings.turn.silence_ms == 700
    mode.value = "half"
    assert session.settings.bargein.mode == "half"
    session.set(turn_silence_ms=250)
    until(lambda: silence.value == 250)
    changes = [entry for entry in session.trace.since(0) if type(entry.event).__name__ == "SettingChanged"]
    assert len(changes) == 3, "a widget that follows sets nothing"


def test_knobs_follow_what_the_page_does_not_cancel_and_no_observer_ends_that(session: Session) -> None:
    def fails(change: object) -> None:
        raise ValueError("not today")

    box = knobs(session, "bargein.mode", "turn.silence_ms")
    mode, silence, said = box.children
    mode.observe(fails, names="value")
    duplex = EchoDuplex(session.settings, session.trace)
    duplex.begin_capture(False)
    until(lambda: mode.value == "half")
    until(lambda: "an observer of bargein.mode raised ValueError: not today" in said.value)
    session.set(turn_silence_ms=250)
    until(lambda: silence.value == 250)
    duplex.begin_capture(True)
    until(lambda: mode.value == "full")
    assert session.settings.origin("bargein.mode") == "default", "a widget that follows chooses nothing"


def test_observers_run_in_the_context_of_the_cell_where_their_output_goes(session: Session) -> None:
    """Jupyter keeps the cell that output belongs to in a context variable."""
    cell: ContextVar[str] = ContextVar("cell", default="lost")
    cell.set("first")
    box = knobs(session, "turn.silence_ms")
    cell.set("second")
    seen: list[str] = []
    box.children[0].observe(lambda _: seen.append(cell.get()), names="value")
    session.set(turn_silence_ms=250)
    until(lambda: seen == ["first"])


def test_a_knob_of_the_page_has_the_bounds_and_the_step_of_a_knob() -> None:
    for name, page in slider_bounds().items():
        slider = knob(name)
        assert (slider.min, slider.max, slider.step) == (page["low"], page["high"], page["step"])


def test_what_the_session_refuses_is_said_and_taken_back(session: Session) -> None:
    before = session.settings.limits.tool_ms
    box = knobs(session, "limits.tool_ms")
    number, said = box.children
    number.value = 1
    assert "limits.tool_ms" in said.value
    assert number.value == session.settings.limits.tool_ms == before
    number.value = 500
    assert said.value == ""


def test_knobs_by_default_and_those_that_cannot_be(session: Session) -> None:
    assert len(knobs(session).children) == 6
    assert len(knobs(SimpleNamespace(session=session)).children) == 6, "a widget stands for its session"
    for other in ("session", None):
        with pytest.raises(UsageError, match="is no session – write knobs"):
            knobs(other)
    with pytest.raises(UsageError, match="swap"):
        knobs(session, "llm.provider")
    with pytest.raises(UsageError, match="no setting"):
        knobs(session, "turn.nothing")
