"""Audio in and out: the sources and sinks that a session can have, and what they share."""
