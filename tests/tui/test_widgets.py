"""What the instruments draw, as text."""

from __future__ import annotations

import pytest

from workbench.readers.folds.status import LOST, ProviderStatus, RoomStatus, SessionStatus
from workbench.readers.latency import LatencyHistory, LatencyPoint
from workbench.readers.timeline import Turn
from workbench.tui import themes
from workbench.tui.widgets import latency_chart, status_bar, waterfall
from workbench.tui.widgets.header import HeaderState, headline
from workbench.tui.widgets.level_meters import meter
from workbench.views.format import NBSP
from workbench.views.waterfall import lay_out

TURN = lay_out(
    Turn(
        1,
        "done",
        "",
        "",
        400.0,
        {"endpointing": 200.0, "llm_first_token": 100.0, "tts_first_byte": 110.0, "unexplained": -10.0},
        {
            "endpointing": (0.0, 200.0),
            "stt": (-900.0, 100.0),
            "llm_first_token": (100.0, 300.0),
            "tts_first_byte": (300.0, 410.0),
            "floor": (300.0, 300.2),
        },
    )
)


def test_a_waterfall_shows_part_bar_and_ms() -> None:
    assert [line.plain for line in waterfall.lines(TURN, 43)] == [
        "endpointing     ██████████             200 ",
        "STT             ╌╌╌╌╌                 (100)",
        "LLM first token      ╌╌╌╌╌█████        100 ",
        "TTS first byte                 █████   110 ",
        "unexplained                        ▒   -10 ",
        "heard after                          400 ms",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [12, 30, 43, 90])
def test_a_waterfall_is_as_wide_as_its_place(width: int) -> None:
    lines = waterfall.lines(TURN, width)
    assert {line.cell_length for line in lines} == {max(27, width)}


def test_a_typed_turn_has_lanes_only() -> None:
    lanes = {"llm_first_token": (0.0, 80.0), "tts_first_byte": (80.0, 100.0)}
    typed = lay_out(Turn(1, "done", "", "", lanes_ms=lanes))
    lines = [line.plain for line in waterfall.lines(typed, 33)]
    assert lines == [
        "LLM first token ╌╌╌╌╌╌╌╌     (80)",
        "TTS first byte          ╌╌   (20)",
        "heard after       typed or silent",
    ]


def test_latencies_are_columns_over_turns() -> None:
    points = (LatencyPoint(1, 800.0, "cold"), LatencyPoint(2, 400.0), LatencyPoint(3, 200.0))
    history = LatencyHistory(points, 300.0, 390.0, 2)
    assert latency_chart.figures(history).plain.replace(NBSP, " ") == "p50 300 ms   p95 390 ms   n 2"
    assert [row.plain for row in latency_chart.columns(history, 16, 4)] == [
        "  800 ░         ",
        "      ░         ",
        "  p50 ░╌█╌╌╌╌╌╌╌",
        "    0 ░ █ █     ",
    ]


def test_turns_that_are_not_in_the_percentiles_have_a_legend() -> None:
    points = (
        LatencyPoint(1, 800.0, "cold"),
        LatencyPoint(2, 400.0),
        LatencyPoint(3, 200.0, "cut"),
        LatencyPoint(4, 100.0, "cut"),
    )
    assert latency_chart.legend(LatencyHistory(points)).plain == "░ 1 cold, 2 cut: not in p50 and p95"
    assert not latency_chart.legend(LatencyHistory((LatencyPoint(1, 400.0),)))


def test_the_chosen_turn_is_pointed_at() -> None:
    history = LatencyHistory((LatencyPoint(1, 400.0), LatencyPoint(2, 400.0)), 400.0, 400.0, 2, chosen=1)
    assert latency_chart.columns(history, 16, 2)[-1].plain == "    0 █◂█       "


@pytest.mark.parametrize("width", [30, 38, 50, 100])
def test_a_meter_is_as_wide_as_its_place(width: int) -> None:
    for rms, peak in ((-100.0, -100.0), (-60.0, -20.0), (-20.0, -19.0), (0.0, 0.0), (-3.0, 6.0)):
        assert meter("you", rms, peak, "● speech", width, "$user").cell_length <= width


def line_of(status: SessionStatus, width: int) -> str:
    facts = status_bar.pipeline(status)
    return status_bar.line(
        [*facts, *status_bar.with_recording(status, width - status_bar.cells(facts))], width
    ).plain


def test_the_status_bar_fits_and_ends_with_the_recording() -> None:
    providers = {
        "vad": ProviderStatus("silero"),
        "stt": ProviderStatus("whisper/tiny.en"),
        "llm": ProviderStatus("llama/x"),
    }
    status = SessionStatus(
        providers=providers, lag_max_ms=2.0, echo_db=31.0, recording="/var/lib/sessions/20260301T101500Z-7f3a"
    )
    for width in (30, 60, 78, 118, 200):
        assert len(line_of(status, width)) <= width
    assert line_of(status, 118).endswith("● rec /var/lib/sessions/20260301T101500Z-7f3a")
    assert (
        line_of(status, 78)
        == "whisper → llama │ full duplex │ host 2 ms │ ● rec …sions/20260301T101500Z-7f3a"
    )


def test_trouble_is_readable_without_colour() -> None:
    status = SessionStatus(
        providers={"llm": ProviderStatus("x/y", 9.0, "breaker open")},
        devices={"mic": LOST},
        duplex="half",
        glitches=3,
        lag_max_ms=80.0,
    )
    assert (
        line_of(status, 118)
        == "x │ llm ! breaker open │ ○ not recorded │ half duplex │ ! host 80 ms │ ! glitches 3"
    )
    assert ("in lost", "$error") in status_bar.stages(status)


def test_the_theme_suits_the_background_of_the_terminal() -> None:
    assert themes.preferred({"COLORFGBG": "0;15"}) == themes.LIGHT
    assert themes.preferred({"COLORFGBG": "15;0"}) == themes.DARK
    assert themes.preferred({}) == themes.DARK


def test_both_themes_have_the_same_variables() -> None:
    dark, light = themes.themes()
    assert dark.variables.keys() == light.variables.keys()


def test_the_header_says_that_nobody_hears_you_while_a_room_reconnects() -> None:
    state = HeaderState("listening", SessionStatus(room=RoomStatus("demo", "reconnecting", 2)))
    assert headline(state) == (
        "◌",
        "Reconnecting (2)",
        "room demo: nobody hears you; the answer waits",
    )


@pytest.mark.parametrize(
    ("room", "told"),
    [
        (RoomStatus("demo", "connected"), "room demo connected"),
        (RoomStatus("demo", "reconnecting", 3), "! room demo reconnecting (3)"),
        (RoomStatus("demo", "lost"), "! room demo lost"),
        (RoomStatus("\x1b[31mred", "connecting", 1), "! room red connecting"),
    ],
)
def test_the_room_is_the_first_fact_after_the_models(room: RoomStatus, told: str) -> None:
    assert status_bar.health(SessionStatus(room=room))[0][0] == told


@pytest.mark.parametrize(
    ("spent", "shown"),
    [
        ({}, None),
        ({"cost": 0.0, "cost_at_least": 0.0}, None),
        ({"cost": 0.0042, "cost_at_least": 0.0042}, "cost $0.0042"),
        ({"cost": None, "cost_at_least": 0.0042}, f"cost ≥{NBSP}$0.0042"),
        ({"cost": None, "cost_at_least": 0.0}, "cost –"),
    ],
)
def test_the_status_bar_shows_what_a_session_costs(spent: dict[str, float | None], shown: str | None) -> None:
    costs = [text for text, _ in status_bar.health(SessionStatus(spent=spent)) if text.startswith("cost")]
    assert costs == ([shown] if shown else [])
