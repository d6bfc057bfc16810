"""Servers on loopback over what the workbench has: an OpenAI-compatible API."""
