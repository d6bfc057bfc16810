"""A restaurant's telephone.

workbench tui plugins/booking/agent.py --profile openai
"""

from datetime import date

from voice_workbench_booking.calendar import Calendar

from workbench import Agent

agent = Agent(
    instructions=(
        f"You answer a restaurant's telephone. Today is {date.today():%A, %d %B %Y}. Find out day, time and name, look "
        "whether there is a table, and book it. Answer in one short sentence."
    ),
    greeting="Hello! When would you like to come?",
    data=Calendar(),
)
