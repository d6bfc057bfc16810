"""Removes words and stretches of time from a recording: its sound, its events, its pictures and its cassette."""
