"""A joke teller: a tool for voice agents, and an agent that uses it."""
