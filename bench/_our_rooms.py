"""Our agents in many rooms of one process: `python -m bench._our_rooms ROOMS`, run by `rooms`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from contextlib import AsyncExitStack

from bench._figures import settings, spread
from bench._lateness import Lateness
from bench._orders import answer, orders
from workbench.model.events import TurnEnded
from workbench.session import Session, open_session
from workbench.session.process import tuned_process


async def agents(count: int) -> None:
    """Ours: a session in each room."""
    lateness, opened = Lateness(), list[Session]()
    async with AsyncExitStack() as stack:
        stack.enter_context(tuned_process())

        async def one_more() -> None:
            given = settings(
                profile="scripted",
                audio__source="room",
                audio__sink="room",
                record__enabled=False,
                room__name=f"room{len(opened)}",
                room__url=os.environ["URL"],
                room__api_key=os.environ["KEY"],
                room__api_secret=os.environ["SECRET"],
                script={"user": ["Yes."], "agent": [os.environ["ANSWER"]]},
                vad__provider="silero",
                turn__silence_ms=float(os.environ["SILENCE_MS"]),
                turn__adapt=False,
            )
            opened.append(await stack.enter_async_context(open_session(given)))

        await one_more()
        answer("first")
        async for order in orders():
            match order:
                case "go":
                    while len(opened) < count:
                        await one_more()
                    answer("ready")
                case "measure":
                    lateness.on = True
                case "stop":
                    break
        lateness.on = False
        turns = [entry.event for one in opened for entry in one.trace.since(0)]
        ended = Counter(event.status for event in turns if isinstance(event, TurnEnded))
        answer(json.dumps({"late_ms": spread(lateness.late_ms), "turns": ended}))


if __name__ == "__main__":
    asyncio.run(agents(int(sys.argv[1])))
