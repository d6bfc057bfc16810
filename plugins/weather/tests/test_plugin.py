"""The tool against a server on loopback that answers as Open-Meteo does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from voice_workbench_weather.plugin import ADDRESS, weather, workbench_tools

from workbench.testing import call_tool, check_tool

FOUND = {"Oslo": {"name": "Oslo", "latitude": 59.91, "longitude": 10.75}}
FORECAST = {
    "current": {"temperature_2m": 3.4, "weather_code": 61},
    "daily": {
        "temperature_2m_min": [1.2, -4.5, *[0.0] * 6],
        "temperature_2m_max": [4.0, 2.6, *[5.0] * 6],
        "weather_code": [61, 71, *[0] * 6],
    },
}


async def places(request: web.Request) -> web.Response:
    found = FOUND.get(request.query["name"])
    return web.json_response({"results": [found]} if found else {"generationtime_ms": 0.5})


async def forecast(request: web.Request) -> web.Response:
    assert (request.query["latitude"], request.query["longitude"]) == ("59.91", "10.75")
    return web.json_response(FORECAST)


@pytest.fixture(autouse=True)
def open_meteo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server, in a thread of its own."""
    up, over = threading.Event(), asyncio.Event()
    where: list[Any] = []

    async def serve() -> None:
        app = web.Application()
        app.add_routes([web.get("/v1/search", places), web.get("/v1/forecast", forecast)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        where.extend((runner.addresses[0][1], asyncio.get_running_loop()))
        up.set()
        await over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(10)
    port, loop = where
    monkeypatch.setenv(ADDRESS, f"http://127.0.0.1:{port}")
    yield
    loop.call_soon_threadsafe(over.set)
    thread.join(10)


def test_the_tool_passes_the_contract_checks() -> None:
    check_tool(weather, arguments={"city": "Oslo"})


def test_the_plugin_contributes_the_tool() -> None:
    assert workbench_tools() == [weather]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"city": "Oslo"}, "In Oslo it is light rain and 3 degrees celsius."),
        (
            {"city": "Oslo", "days": 1},
            "In Oslo it will be light snow tomorrow, between -4 and 3 degrees celsius.",
        ),
        ({"city": "Oslo", "days": 3}, "In Oslo it will be clear in 3 days, between 0 and 5 degrees celsius."),
        ({"city": "Nowhere"}, "No place is called 'Nowhere'. Ask the user for the name of a city."),
    ],
)
def test_what_the_tool_answers(asked: dict[str, Any], told: str) -> None:
    assert call_tool(weather, asked).told == told
