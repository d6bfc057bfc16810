"""A panel for the terminal: who talks how much."""
