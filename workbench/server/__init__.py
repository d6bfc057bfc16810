"""Servers on loopback over what the workbench has: an OpenAI-compatible API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.lazy import lazy_exports

if TYPE_CHECKING:
    from workbench.server.openai import create_app, serving

__all__ = ["create_app", "serving"]

__getattr__, __dir__ = lazy_exports(__name__)
