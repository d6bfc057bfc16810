"""A trace as users hold it: turns, sound, figures and HTML, of a scripted conversation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from tests.views.pages import HARMLESS, HOSTILE, Page, size, spoken, traced
from workbench import Agent, open_trace
from workbench.config import load_settings
from workbench.model.errors import UsageError
from workbench.model.events import (
    PARTS,
    ClockMapped,
    Levels,
    SessionStarted,
    TurnDecided,
    TurnEnded,
)
from workbench.readers.timeline import Turn
from workbench.session import open_session
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import Score
from workbench.trace.track import LiveTrack
from workbench.views.figures import ROWS, draw_latencies, rows
from workbench.views.format import ms
from workbench.views.html import safe
from workbench.views.trace import OpenTrace, Turns


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two spoken turns, the second of which is interrupted by a third."""
    place = tmp_path_factory.mktemp("opened")
    score = (
        Score()
        .silence(0.5)
        .say("Good morning.")
        .silence(3)
        .say("What else?")
        .silence(1)
        .say("Stop it, please.")
    )
    settings = load_settings(
        {
            "profile": "scripted",
            "audio.source": str(score.silence(3).write_wav(place / "user.wav")),
            "audio.sink": "none",
            "record.folder": place / "session",
            "script": {
                "user": ["Good morning.", "What else?", "Stop it, please."],
                "agent": ["It is a fine day.", "Nothing else at all, not a thing.", "Gladly."],
                "first_token_ms": 400,
                "first_byte_ms": 90,
            },
        },
        environ={},
    )

    async def talk() -> None:
        async with open_session(settings) as session:
            await session.ended()

    run_virtual(talk())
    return place / "session"


@pytest.fixture
def trace(folder: Path) -> OpenTrace:
    return open_trace(folder)


# --- turns -----------------------------------------------------------------------------------------------------------


def test_turns_are_typed_values_in_order(trace: OpenTrace) -> None:
    turns = trace.turns
    assert [turn.user_text for turn in turns] == ["Good morning.", "What else?", "Stop it, please."]
    assert [turn.status for turn in turns] == ["done", "cut", "done"]
    assert isinstance(turns[0], Turn)
    assert turns[1:] == Turns([turns[1], turns[2]])
    assert turns[-1] == turns[2]
    assert trace.turns == turns
    assert repr(turns).startswith("<3 turns · heard after p50 ")
    assert "1 cut" in repr(turns)
    assert turns != [*turns]


def test_turns_as_a_table(trace: OpenTrace) -> None:
    table = trace.turns.to_pandas()
    assert list(table.index) == [1, 2, 3]
    assert list(table["status"]) == ["done", "cut", "done"]
    parts = [f"parts_ms.{part}" for part in (*PARTS, "unexplained")]
    sums = table[parts].sum(axis=1)
    assert np.allclose(sums, table["heard_latency_ms"], atol=0.01)
    assert table["usage.output_tokens"].gt(0).all()


def test_no_turns_are_a_table_with_the_same_names() -> None:
    empty = Turns([])
    assert len(empty.to_pandas()) == 0
    assert "parts_ms.stt" in empty.to_pandas().columns
    assert repr(empty) == "<0 turns>"


def test_a_failed_turn_says_why_in_the_table_and_in_html() -> None:
    (turn,) = traced(
        TurnDecided(1, 1), TurnEnded(1, "failed", "hi", "", stage="llm", reason="no key", hint="set one")
    ).turns
    assert list(Turns([turn]).to_pandas()["error"]) == ["llm: no key"]
    for part in ("<b>llm</b>: no key", "→ set one", "failed"):
        assert part in turn._repr_html_()


def test_turns_grow_with_a_live_trace_and_outlive_its_memory() -> None:
    trace = OpenTrace(lambda: 0.0, keep=50)
    for turn in range(1, 4):
        for event in spoken(turn):
            trace.emit(event)
        assert [each.turn for each in trace.turns] == list(range(1, turn + 1))
        for _ in range(100):
            trace.emit(Levels("user", 0, -20.0, -10.0))
        trace.catch_up()
    assert trace.start > 0
    assert len(trace.turns) == 3


def test_a_live_trace_keeps_the_last_turns_only() -> None:
    trace = OpenTrace(lambda: 0.0, keep_turns=2)
    for turn in range(1, 5):
        for event in spoken(turn):
            trace.emit(event)
    assert [turn.turn for turn in trace.turns] == [3, 4]
    with pytest.raises(UsageError, match="turns 3 to 4"):
        trace.moment(1)


# --- sound -----------------------------------------------------------------------------------------------------------


def test_the_sound_of_a_turn_holds_both_sides(trace: OpenTrace) -> None:
    user, agent = trace.audio("user", turn=1), trace.audio("agent", turn=1)
    assert (user.dtype.name, user.ndim) == ("int16", 1)
    assert (trace.rate("user"), trace.rate("agent"), trace.rate()) == (16_000, 24_000, 24_000)
    moment = trace.moment(1)
    assert len(user) / 16_000 == pytest.approx((moment.end_ms - moment.start_ms) / 1000, abs=0.001)
    said = round((moment.zero_ms - moment.start_ms) * 16)
    assert np.abs(user[:said]).max() > 1000
    assert np.abs(user[said + 160 :]).max() < 10, "the user is silent while the agent answers"
    assert np.abs(agent[: said * 3 // 2]).max() == 0
    both = trace.audio(turn=1)
    assert len(both) == pytest.approx(len(agent), abs=2)
    assert np.abs(both).max() > 1000


def test_the_sound_of_everything(trace: OpenTrace) -> None:
    assert len(trace.audio("user")) == trace.tracks["user"].end
    assert len(trace.audio()) / 24_000 == pytest.approx(trace.end_ms / 1000, abs=0.01)


def test_what_is_not_there_is_said(trace: OpenTrace) -> None:
    with pytest.raises(UsageError, match="no turn 9 – there are turns 1 to 3"):
        trace.audio(turn=9)
    with pytest.raises(UsageError, match="no track 'mic' – there are: user, agent"):
        trace.audio("mic")
    with pytest.raises(UsageError, match="no turn has ended"):
        traced().audio(turn=1)
    with pytest.raises(UsageError, match="no sound was recorded"):
        traced().rate("user")
    assert len(traced(*spoken(1)).audio(turn=1)) == 0
    with pytest.raises(UsageError, match="no turn 9"):
        trace.plot.waterfall(9)


# --- figures ---------------------------------------------------------------------------------------------------------


def test_every_figure_is_drawn(trace: OpenTrace) -> None:
    plot = trace.plot
    for figure in (plot.latency(), plot.waterfall(), plot.waterfall(2), plot.timeline(), plot.timeline(2)):
        assert min(size(figure.png())) > 100


def test_a_waterfall_has_a_bar_for_what_was_waited_for(trace: OpenTrace) -> None:
    turn = trace.turns[0]
    (axes,) = trace.plot.waterfall(1).axes
    drawn = sum(
        bar.get_bbox().width for bar in axes.patches if isinstance(bar, Rectangle) and bar.get_alpha() is None
    )
    assert drawn == pytest.approx(turn.heard_latency_ms, abs=1)
    assert axes.get_title(loc="left") == f"Turn 1: heard after {ms(turn.heard_latency_ms)}"


def test_a_timeline_shows_each_turn_once_where_it_was(trace: OpenTrace) -> None:
    (axes,) = trace.plot.timeline().axes
    labels = {
        text.get_text().split(" ")[0]: text.get_position()[0]
        for text in axes.texts
        if "ms" in text.get_text() and text.get_text()[0].isdigit()
    }
    assert labels == {f"{turn.turn}": trace.moment(turn.turn).zero_ms / 1000 for turn in trace.turns}
    assert [text.get_text() for text in axes.texts].count("cut · 45\N{NO-BREAK SPACE}ms overlap") == 1


@pytest.mark.parametrize("seconds", [1, 14, 15, 16, 100, 3_600, 20_000])
def test_rows_cover_everything_and_are_few(seconds: float) -> None:
    found = rows(500.0, 500.0 + seconds * 1000)
    assert found[0][0] == 500.0
    assert found[-1][1] >= 500.0 + seconds * 1000
    assert all(before[1] == after[0] for before, after in pairwise(found))
    assert 1 <= len(found) <= ROWS + 1


def test_what_has_nothing_to_show_is_drawn_empty() -> None:
    trace = traced(TurnDecided(1, 1, True), TurnEnded(1, "done", "typed", "answer"))
    for figure in (
        trace.plot.latency(),
        trace.plot.waterfall(),
        trace.plot.waterfall(1),
        trace.plot.timeline(),
    ):
        assert size(figure.png())


def test_a_waveform_stands_where_it_was_said() -> None:
    """A pulse at 2 s on a track that began at 500 ms of the clock."""
    trace = traced(ClockMapped("user", 0, 500.0, 16_000.0), *spoken(1), clock=[4000.0])
    track = LiveTrack("user", 16_000, 10)
    wave = np.zeros(16_000 * 3, dtype=np.int16)
    wave[24_000:24_160] = 10_000
    track.append(wave)
    trace.tracks["user"] = track
    (axes,) = trace.plot.timeline().axes
    (path,) = axes.collections[0].get_paths()
    points = np.asarray(path.vertices)
    tall = points[np.abs(points[:, 1] - 1.0) > 0.3]
    assert tall[:, 0].min() == pytest.approx(2.0, abs=0.02)
    assert tall[:, 0].max() == pytest.approx(2.01, abs=0.02)


# --- html ------------------------------------------------------------------------------------------------------------


def test_hostile_text_stays_text() -> None:
    trace = traced(
        SessionStarted("<img src=x>", "now", "scripted", HOSTILE, {}, {}),
        *spoken(1, HOSTILE, HOSTILE),
        TurnDecided(2, 2),
        TurnEnded(2, "failed", HOSTILE, HOSTILE, stage=HOSTILE, reason=HOSTILE, hint=HOSTILE),
    )
    shown = [trace, trace.turns, *trace.turns, Agent(instructions=HOSTILE, greeting=HOSTILE, name=HOSTILE)]
    for value in shown:
        html = value._repr_html_()
        page = Page(html)
        assert page.tags <= HARMLESS
        assert page.attributes <= {"class", "style", "title"}
        assert "<script>alert(1)</script>" in page.text
        assert "\x1b" not in html
        assert "\u202e" not in html
        assert "$x" not in html, "no formula"
        assert "\\(" not in html
        assert len(html) < 30_000, "a huge line is cut"
    assert trace.plot.timeline().png()


def test_an_agent_shows_what_it_was_given_by_name() -> None:
    text = Page(Agent(instructions="Be\nkind.", tools=(len, max), speakable=str.upper)._repr_html_()).text
    assert "toolslen, max" in text
    assert "speakableupper" in text
    assert "greeting" not in text


def test_html_shows_figures_and_words(trace: OpenTrace) -> None:
    page = Page(trace._repr_html_())
    assert "scripted" in page.text
    assert "Stop it, please." in page.text
    turn = trace.turns[0]
    assert f"{turn.heard_latency_ms:.0f} ms" in page.text
    assert "endpointing" in Page(turn._repr_html_()).text
    assert safe("one\ntwo") == "one two"


def test_a_single_point_lies_within_its_figure() -> None:
    for heard_ms in (600.0, 0.0, -50.0):
        (axes,) = draw_latencies([Turn(3, "done", "", "", heard_latency_ms=heard_ms)]).axes
        low, high = axes.get_ylim()
        assert low <= heard_ms < high
        assert axes.get_xlim() == (2.5, 7.5)
