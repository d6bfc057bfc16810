"""Tools that look into a calendar, and two that change it: those need the user's yes, and are finished once begun."""

from __future__ import annotations

from datetime import date, time
from typing import Any

from workbench import RunContext, ToolError, hookimpl, tool

from .calendar import OPEN, Calendar


def _calendar(context: RunContext[Any]) -> Calendar:
    """Return the agent's own calendar (`Agent(data=Calendar())`), else one of this session."""
    if isinstance(context.data, Calendar):
        return context.data
    calendar: Calendar = context.state.setdefault("calendar", Calendar())
    return calendar


@tool(idempotent=True)
def free_tables(context: RunContext[Any], day: date) -> str:
    """When there is a table on a day.

    Args:
        day: The day, like 2026-03-01.
    """
    free = _calendar(context).free(day)
    return ", ".join(f"{at:%H:%M}" for at in free) or f"Everything is taken on {day}."


@tool(confirm="Shall I book a table for {name} on {day} at {at}?", on_interrupt="finish")
def book_table(context: RunContext[Any], day: date, at: time, name: str) -> str:
    """Book a table.

    Args:
        day: The day, like 2026-03-01.
        at: The time, like 19:30.
        name: For whom.
    """
    calendar = _calendar(context)
    if at not in OPEN:
        raise ToolError(f"Tables are from {OPEN[0]:%H:%M} to {OPEN[-1]:%H:%M}, every half hour.")
    if not calendar.book(day, at, name):
        free = ", ".join(f"{other:%H:%M}" for other in calendar.free(day))
        raise ToolError(f"Nothing is free on {day} at {at:%H:%M}. Free: {free or 'nothing that day'}.")
    return f"Booked for {name} on {day} at {at:%H:%M}."


@tool(confirm="Shall I cancel the table of {name} on {day}?", on_interrupt="finish")
def cancel_table(context: RunContext[Any], day: date, name: str) -> str:
    """Cancel a table.

    Args:
        day: The day, like 2026-03-01.
        name: Who has it.
    """
    at = _calendar(context).cancel(day, name)
    if at is None:
        raise ToolError(f"{name} has no table on {day}.")
    return f"The table of {name} at {at:%H:%M} is cancelled."


@hookimpl
def workbench_tools() -> list[Any]:
    """Contribute all three."""
    return [free_tables, book_table, cancel_table]
