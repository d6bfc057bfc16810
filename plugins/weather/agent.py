"""A weather agent.

workbench tui plugins/weather/agent.py --config plugins/weather/workbench.toml   # a script chooses the tool
workbench tui plugins/weather/agent.py --profile openai                           # a model does
"""

from workbench import Agent

agent = Agent(
    instructions="You tell people about the weather, in one short sentence. Ask for the city if you do not know it.",
    greeting="Hello! Where do you want to know the weather?",
)
