"""`workbench serve`: what is on board as an API for other programs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from workbench.cli.options import json_option, load_plugins, plugin_option, profile_option
from workbench.cli.output import err, out

KEY_VARIABLE = "WORKBENCH_SERVE_API_KEY"


@click.command()
@click.option("--openai", is_flag=True, required=True, help="Speak OpenAI's API.")
@click.option("--host", default="127.0.0.1", show_default=True, help="An address of this machine alone.")
@click.option(
    "--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 is any free one."
)
@profile_option("embedded, scripted, or your own.  [default: embedded]")
@json_option('Print one line {"base_url": …} when it is ready.')
@plugin_option
def serve(
    openai: bool, host: str, port: int, profile: str | None, as_json: bool, plugins: tuple[Path, ...]
) -> None:
    """Serve the models on board (or a script) to other programs on this machine, by OpenAI's API.

    Set WORKBENCH_SERVE_API_KEY to answer only those who send that key.

    \b
    Example:
      workbench serve --openai --port 8765
      OPENAI_BASE_URL=http://127.0.0.1:8765/v1 OPENAI_API_KEY=none python my_program.py
    """
    from workbench.cli.signals import until_signal

    raise SystemExit(asyncio.run(until_signal(_serve(host, port, profile, as_json, plugins))))


async def _serve(host: str, port: int, profile: str | None, as_json: bool, plugins: Sequence[Path]) -> int:
    """Serve until cancelled."""
    from workbench.config import load_settings
    from workbench.plugin.manager import find_provider
    from workbench.plugin.values import Secret
    from workbench.server.openai import serving  # aiohttp: 0.15 s

    settings = load_settings({"profile": profile})
    load_plugins(settings, plugins)
    stages = {}
    for stage in ("stt", "llm", "tts"):
        first = settings.chain(stage)[0]
        provider, model = find_provider(stage, settings.choice(first))
        stages[stage] = provider.make(settings.options(stage, model, "en", first))
    key = os.environ.get(KEY_VARIABLE)
    err(f"Loading {', '.join(provider.name for provider in stages.values())} …")
    async with serving(**stages, host=host, port=port, api_key=Secret(key) if key else None) as base_url:
        err(_usage(base_url, f' -H "Authorization: Bearer ${KEY_VARIABLE}"' if key else ""))
        if as_json:
            out(json.dumps({"base_url": base_url}), sys.stdout)
        await asyncio.Event().wait()
    return 0


def _usage(base_url: str, header: str) -> str:
    body = json.dumps({"model": "any", "messages": [{"role": "user", "content": "Hello!"}]})
    return (
        f"OpenAI-compatible API at {base_url}\n\n"
        f"  curl {base_url}/chat/completions{header} -H 'Content-Type: application/json' -d '{body}'\n\n"
        "Ctrl-C stops it."
    )
