"""LiveKit's own React components, as their starter apps use them, in a real browser whose microphone plays speech."""

from __future__ import annotations
