"""Suggestions of services on this machine that could be used and are not; none is ever taken silently."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping

from workbench.config import Settings
from workbench.config.settings import MODEL_STAGES

OLLAMA = ("127.0.0.1", 11434)


def suggestions(
    settings: Settings, environ: Mapping[str, str] = os.environ, ollama: tuple[str, int] = OLLAMA
) -> Iterator[str]:
    """Return a sentence for each thing that the user may want to use. Asks this machine only; takes at most 0.2 s."""
    chains = [settings.chain(stage) for stage in MODEL_STAGES]
    providers = [settings.choice(item).partition("/")[0] for chain in chains for item in chain]
    if environ.get("OPENAI_API_KEY") and "openai" not in providers:
        yield "there is an OPENAI_API_KEY in the environment, and nothing uses it: --profile openai would"
    address = f"{ollama[0]}:{ollama[1]}"
    servers = [settings.llm.base_url, *(table.base_url for table in settings.providers.values())]
    if not any(address in (server or "") for server in servers) and _answers(ollama):
        yield f"an Ollama seems to run at {address}, and nothing uses it: `workbench config init --for ollama` would"


def _answers(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=0.2):
            return True
    except OSError:
        return False
