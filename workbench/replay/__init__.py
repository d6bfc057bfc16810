"""What is made of a recorded session: the same moment again, and what is found out by it."""

SAVED_TURN = "workbench-test.toml"
"""The file by which pytest knows a saved turn."""
