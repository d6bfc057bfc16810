"""The one append-only record of everything that a session says about itself, and the sound of its tracks."""
