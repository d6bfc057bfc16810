"""A browser page's microphone and speaker."""
