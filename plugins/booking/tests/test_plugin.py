"""Booking by conversation: nothing is booked without a yes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time

import pytest
from voice_workbench_booking.calendar import TABLES, Calendar
from voice_workbench_booking.plugin import book_table, cancel_table, free_tables

from workbench import Agent, hookimpl, load_settings, open_session
from workbench.simulation import Answer, ScriptedLlm, run_virtual
from workbench.spi import Message, Provider, ToolCall, events, manager
from workbench.testing import check_tool

DAY, SEVEN = date(2026, 3, 1), time(19)
WANTED = '{"day": "2026-03-01", "at": "19:00", "name": "Ada"}'


def test_the_tools_pass_the_contract_checks() -> None:
    check_tool(free_tables, arguments={"day": "2026-03-01"})
    check_tool(book_table, arguments={"day": "2026-03-01", "at": "19:00", "name": "Ada"})
    calendar = Calendar()
    calendar.book(DAY, SEVEN, "Ada")
    check_tool(cancel_table, arguments={"day": "2026-03-01", "name": "Ada"}, data=calendar)


def test_a_table_is_booked_once() -> None:
    calendar = Calendar()
    assert all(calendar.book(DAY, SEVEN, f"guest {number}") for number in range(TABLES))
    assert not calendar.book(DAY, SEVEN, "one too many")
    assert SEVEN not in calendar.free(DAY)
    assert calendar.cancel(DAY, "guest 0") == SEVEN
    assert SEVEN in calendar.free(DAY)


class Eager:
    """A model that wants to book whatever the user says."""

    @hookimpl
    def workbench_providers(self) -> list[Provider]:
        """See the hook."""

        def answer(messages: Sequence[Message]) -> Answer:
            last = messages[-1]
            return last.text if last.role == "tool" else [ToolCall("1", "book_table", WANTED)]

        return [
            Provider(
                "llm", "eager", "books", lambda options: ScriptedLlm(answer), models=("any",), onboard=True
            )
        ]


@pytest.mark.parametrize(
    ("answer", "booked"), [("Yes, please.", True), ("No.", False), ("How much is it?", False)]
)
def test_nothing_is_booked_without_a_yes(answer: str, booked: bool) -> None:
    calendar, said = Calendar(), iter(["A table for Ada on Sunday at seven.", answer])
    name = manager().register(Eager())

    async def talk() -> None:
        agent = Agent(instructions="", tools=[book_table], data=calendar)
        settings = load_settings(
            {
                "profile": "scripted",
                "llm.provider": "eager",
                "audio.source": "none",
                "audio.sink": "none",
                "record.enabled": False,
            }
        )
        async with open_session(settings, agent=agent) as session:
            async for entry in session.trace.follow():
                if isinstance(entry.event, events.ListeningStarted | events.TurnEnded):
                    text = next(said, None)
                    if text is None:
                        break
                    session.type(text)

    try:
        run_virtual(talk())
    finally:
        manager().unregister(name)
    assert (calendar.cancel(DAY, "Ada") is not None) == booked
