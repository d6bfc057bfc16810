"""The terminal screen: reads a trace, live or recorded, and calls verbs on a session; nothing else."""
