"""The demo's page in a real browser with a microphone that plays speech, over a real server."""

from __future__ import annotations
