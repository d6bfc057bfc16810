"""A joke teller.

workbench tui plugins/jokes/agent.py --config plugins/jokes/workbench.toml   # a script chooses the tool
workbench tui plugins/jokes/agent.py --profile openai                         # a model does
"""

from workbench import Agent

agent = Agent(
    instructions="You tell jokes. Use the tool for every joke, and tell it word by word.",
    greeting="Hello! Shall I tell you a joke?",
)
