"""Sound files in place of a microphone and a speaker."""
