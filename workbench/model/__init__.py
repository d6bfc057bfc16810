"""Values: audio, events, conversation, errors. Standard library and numpy only."""
