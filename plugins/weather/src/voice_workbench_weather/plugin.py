"""The tool `weather`: what the weather is and will be, by the free API of Open-Meteo (no key)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import aiohttp
from pydantic import Field

from workbench import RunContext, ToolError, hookimpl, tool

PLACES = "https://geocoding-api.open-meteo.com"
FORECASTS = "https://api.open-meteo.com"
ADDRESS = "OPEN_METEO_URL"
"""A variable that names another server with the same API."""

SKIES = {
    0: "clear", 1: "mostly clear", 2: "partly cloudy", 3: "overcast", 45: "foggy", 48: "foggy with rime",
    51: "light drizzle", 53: "drizzle", 55: "heavy drizzle", 61: "light rain", 63: "rain", 65: "heavy rain",
    66: "freezing rain", 67: "freezing rain", 71: "light snow", 73: "snow", 75: "heavy snow", 77: "snow grains",
    80: "rain showers", 81: "rain showers", 82: "violent rain showers", 85: "snow showers", 86: "snow showers",
    95: "a thunderstorm", 96: "a thunderstorm with hail", 99: "a thunderstorm with hail",
}  # fmt: skip
"""WMO weather codes, as Open-Meteo documents them."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place on the map."""

    name: str
    latitude: float
    longitude: float


@tool(idempotent=True, timeout_s=10, retries=1)
async def weather(
    context: RunContext[Any],
    city: str,
    days: Annotated[int, Field(ge=0, le=7, description="How many days from today; 0 is now.")] = 0,
    unit: Literal["celsius", "fahrenheit"] = "celsius",
) -> str:
    """The weather in a city, now or on one of the next seven days.

    Args:
        city: Name of the city, like "Oslo".
        unit: The unit of temperatures.
    """
    try:
        async with aiohttp.ClientSession(raise_for_status=True) as http:
            context.progress(f"looking for {city}")
            place = await _place(http, city)
            context.progress(f"asking for the weather in {place.name}", 0.5)
            return await _forecast(http, place, days, unit)
    except aiohttp.ClientResponseError as error:
        raise ToolError(f"The weather service refused that ({error.status}). Try another city.") from None


async def _place(http: aiohttp.ClientSession, city: str) -> Place:
    answer = await _get(http, PLACES, "/v1/search", {"name": city, "count": "1"})
    results = answer.get("results")
    if not results:
        raise ToolError(f"No place is called {city!r}. Ask the user for the name of a city.")
    first = results[0]
    return Place(str(first["name"]), float(first["latitude"]), float(first["longitude"]))


async def _forecast(http: aiohttp.ClientSession, place: Place, days: int, unit: str) -> str:
    query = {
        "latitude": str(place.latitude),
        "longitude": str(place.longitude),
        "temperature_unit": unit,
        "timezone": "auto",
        "forecast_days": "8",
        "current": "temperature_2m,weather_code",
        "daily": "temperature_2m_min,temperature_2m_max,weather_code",
    }
    answer = await _get(http, FORECASTS, "/v1/forecast", query)
    if days == 0:
        now = answer["current"]
        return f"In {place.name} it is {_sky(now['weather_code'])} and {now['temperature_2m']:.0f} degrees {unit}."
    daily = answer["daily"]
    low, high = daily["temperature_2m_min"][days], daily["temperature_2m_max"][days]
    sky = _sky(daily["weather_code"][days])
    when = "tomorrow" if days == 1 else f"in {days} days"
    return f"In {place.name} it will be {sky} {when}, between {low:.0f} and {high:.0f} degrees {unit}."


async def _get(http: aiohttp.ClientSession, host: str, path: str, query: dict[str, str]) -> dict[str, Any]:
    async with http.get(os.environ.get(ADDRESS, host) + path, params=query) as response:
        answer: dict[str, Any] = await response.json()
        return answer


def _sky(code: int) -> str:
    return SKIES.get(int(code), "hard to describe")


@hookimpl
def workbench_tools() -> list[Any]:
    """Contribute the tool."""
    return [weather]
