"""Servers on loopback over what the workbench has: an OpenAI-compatible API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.server.openai import create_app as create_app
    from workbench.server.openai import serving as serving
else:
    __getattr__, __dir__ = lazy_exports(__name__)
