"""One running conversation: its verbs, its lifetime, and how its parts are built from settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.session.session import FIXED as FIXED
    from workbench.session.session import Session as Session
    from workbench.session.session import open_session as open_session
else:
    __getattr__, __dir__ = lazy_exports(__name__)
