"""The same agent in a LiveKit room: a source and a sink like a microphone and a speaker, and what clients expect."""
