"""`workbench serve`: what is on board as an API for other programs."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.options import agent_and_settings, json_option, profile_option, settings_options
from workbench.cli.output import err, out

if TYPE_CHECKING:
    from workbench.config import Settings


@click.command()
@click.option("--openai", is_flag=True, required=True, help="Speak OpenAI's API.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen; beyond this machine with a key only.",
)
@click.option(
    "--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 is any free one."
)
@profile_option("embedded, scripted, or your own.  [default: embedded]")
@json_option('Print one line {"base_url": …} when it is ready.')
@settings_options
def serve(openai: bool, host: str, port: int, as_json: bool, **options: Any) -> None:
    """Serve the models on board (or a script) to other programs on this machine, by OpenAI's API.

    Set WORKBENCH_SERVE_API_KEY to answer only those who send that key. Web pages of this machine may use it, and those
    of serve.origins.

    \b
    Example:
      workbench serve --openai --port 8765
      workbench serve --openai --set serve.origins=https://app.example
      OPENAI_BASE_URL=http://127.0.0.1:8765/v1 OPENAI_API_KEY=none python my_program.py
    """
    from workbench.cli.signals import until_signal

    _, settings = agent_and_settings(**options)
    raise SystemExit(asyncio.run(until_signal(_serve(host, port, settings, as_json))))


async def _serve(host: str, port: int, settings: Settings, as_json: bool) -> int:
    """Serve until cancelled."""
    from workbench.config.settings import SERVE_KEY
    from workbench.plugin.manager import find_provider
    from workbench.server.openai import serving  # aiohttp: 0.15 s
    from workbench.server.openai.access import check_access, is_loopback

    key, origins = settings.serve_key(), settings.serve.origins
    check_access(host, key, origins)
    stages = {}
    for stage in ("stt", "llm", "tts"):
        first = settings.chain(stage)[0]
        provider, model = find_provider(stage, settings.choice(first))
        stages[stage] = provider.make(settings.options(stage, model, "en", first))
    err(f"Loading {', '.join(provider.name for provider in stages.values())} …")
    async with serving(**stages, host=host, port=port, api_key=key, origins=origins) as base_url:
        err(_usage(base_url, f' -H "Authorization: Bearer ${SERVE_KEY}"' if key else ""))
        if not is_loopback(host):
            err("It is not encrypted: put a proxy with TLS in front of it where others can listen.")
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
