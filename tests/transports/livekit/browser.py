"""Chromium with a microphone that plays a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE_S

FLAGS = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)


@asynccontextmanager
async def browser(microphone: Path) -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        chromium = await driver.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"],
        )
        try:
            tab: Any = await chromium.new_page()
            tab.set_default_timeout(PATIENCE_S * 1000)
            tab.problems = []
            tab.on("pageerror", lambda error: tab.problems.append(str(error)))
            yield tab
        finally:
            await chromium.close()


async def energy(tab: Any) -> float:
    """Of all that the page has heard of the agent so far (WebRTC's measure: loud speech is about 0.1 a second)."""
    return float(
        await tab.evaluate("""async () => {
            let sum = 0;
            for (const one of room.remoteParticipants.values())
                for (const { track } of one.audioTrackPublications.values())
                    for (const stat of (await track?.receiver?.getStats())?.values() ?? [])
                        if (stat.type === "inbound-rtp") sum += stat.totalAudioEnergy ?? 0;
            return sum;
        }""")
    )
