"""What is here and could be used, but is not: offered, never taken silently."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping

from workbench.config import Settings

OLLAMA = ("127.0.0.1", 11434)


def offers(
    settings: Settings, environ: Mapping[str, str] = os.environ, ollama: tuple[str, int] = OLLAMA
) -> Iterator[str]:
    """One sentence for each thing that the user may want to use. Asks this machine only; takes 0.2 s at the most."""
    used = [getattr(settings, stage).provider.partition("/")[0] for stage in ("stt", "llm", "tts")]
    if environ.get("OPENAI_API_KEY") and "openai" not in used:
        yield "there is an OPENAI_API_KEY in the environment, and nothing uses it: --profile openai would"
    served = f"{ollama[0]}:{ollama[1]}"
    if served not in (settings.llm.base_url or "") and _answers(ollama):
        yield (
            f"an Ollama seems to run at {served}, and nothing uses it: set [llm] provider = "
            f'"openai/MODEL" and base_url = "http://{served}/v1"'
        )


def _answers(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=0.2):
            return True
    except OSError:
        return False
