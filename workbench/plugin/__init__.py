"""How providers (ours too) come in."""
