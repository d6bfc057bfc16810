"""One running conversation: its verbs, its lifetime, and how its parts are built from settings."""

from workbench.session.session import FIXED, Session, open_session

__all__ = ["FIXED", "Session", "open_session"]
