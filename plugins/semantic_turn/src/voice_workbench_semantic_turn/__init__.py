"""Endpointing by words: who stops after an "and" has not finished."""
