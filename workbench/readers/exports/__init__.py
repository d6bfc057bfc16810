"""Recordings in formats of other programs, one module each. Each is a function of a trace and of where it goes."""
