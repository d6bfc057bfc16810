"""`workbench room`: LiveKit rooms. The answer is on standard output."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import webbrowser
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workbench.model.text import plain

if TYPE_CHECKING:
    from workbench.agent import Agent
    from workbench.config import Settings
    from workbench.config.room import RoomSettings
    from workbench.transports.livekit.server import LocalServer
    from workbench.transports.livekit.token import Access

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
config_option = click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path), help="Settings instead of workbench.toml."
)
url_option = click.option("--url", metavar="URL", help="The LiveKit server.  [default: LIVEKIT_URL]")


@click.group()
def room() -> None:
    """LiveKit rooms: look into them, make and end them, sign tokens, try an agent in one.

    The server and its keys come from LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or from [room] in
    workbench.toml. An agent joins a room with `workbench tui AGENT.py --room NAME` or `workbench run --room NAME`.

    \b
    Example:
      workbench room demo my_agent.py          # a server, a room, the agent, and a page to talk from
      workbench room token demo --identity ann
    """


@room.command("list")
@url_option
@config_option
@json_option
def list_rooms(url: str | None, config: Path | None, as_json: bool) -> None:
    """The server's rooms, the newest first.

    \b
    Example:
      workbench room list --json
    """
    from workbench.transports.livekit import admin

    found = asyncio.run(admin.rooms(_access(url, config)))
    if as_json:
        for one in found:
            click.echo(json.dumps(one))
        return
    if not found:
        click.echo("no rooms; a room is made when somebody joins it, or by `workbench room create`", err=True)
    for one in found:
        people = f"{one['participants']} there, {one['publishers']} of them with a track"
        click.echo(f"{_shown(one['name']):<30}  {people}")


@room.command()
@click.argument("name")
@url_option
@config_option
@json_option
def show(name: str, url: str | None, config: Path | None, as_json: bool) -> None:
    """Who is in a room, with their tracks and attributes.

    \b
    Example:
      workbench room show demo
    """
    from workbench.transports.livekit import admin

    found = asyncio.run(admin.participants(_access(url, config), name))
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{_shown(found['name'])} ({found['sid']})")
    for one in found["people"]:
        click.echo(f"  {_shown(one['identity'])}  {one['kind']}, {one['state']}")
        for key, value in sorted(one["attributes"].items()):
            click.echo(f"    {_shown(key)} = {_shown(value)}")
        for track in one["tracks"]:
            muted = ", muted" if track["muted"] else ""
            click.echo(f"    {track['kind']} {_shown(track['name'])} ({track['source']}{muted})")


@room.command()
@click.argument("name")
@click.option("--identity", metavar="ID", help="Who it is for.  [default: something random]")
@click.option(
    "--minutes", default=10.0, show_default=True, type=click.FloatRange(0.1, 1440), help="To join within."
)
@config_option
@json_option
def token(name: str, identity: str | None, minutes: float, config: Path | None, as_json: bool) -> None:
    """Sign a token with which somebody may join a room: to speak, hear and send data there, nothing else.

    \b
    Example:
      workbench room token demo --identity ann
    """
    from workbench.transports.livekit.token import access, mint

    opened = access(_settings(None, config), keys=True)
    who = identity or f"guest-{secrets.token_hex(3)}"
    signed = mint(opened.api_key, opened.api_secret, room=name, identity=who, life_s=minutes * 60)
    if as_json:
        click.echo(json.dumps({"url": opened.url, "room": name, "identity": who, "token": signed}))
    else:
        click.echo(signed)


@room.command()
@click.argument("name")
@click.option(
    "--empty-minutes",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0),
    help="How long it lasts empty.",
)
@click.option(
    "--most", default=0, type=click.IntRange(0), help="Participants at most.  [default: any number]"
)
@url_option
@config_option
@json_option
def create(
    name: str, empty_minutes: float, most: int, url: str | None, config: Path | None, as_json: bool
) -> None:
    """Make a room before anybody joins it.

    \b
    Example:
      workbench room create demo --empty-minutes 60
    """
    from workbench.transports.livekit import admin

    made = asyncio.run(
        admin.create(_access(url, config), name, empty_timeout_s=round(empty_minutes * 60), most=most)
    )
    click.echo(json.dumps(made) if as_json else f"{_shown(made['name'])} ({made['sid']})")


@room.command()
@click.argument("name")
@url_option
@config_option
def delete(name: str, url: str | None, config: Path | None) -> None:
    """End a room: everybody in it is sent out, agents too.

    \b
    Example:
      workbench room delete demo
    """
    from workbench.transports.livekit import admin

    asyncio.run(admin.delete(_access(url, config), name))
    click.echo(f"room {_shown(name)} is deleted", err=True)


@room.command()
@click.argument("agent_file", metavar="[AGENT.py]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--profile", metavar="NAME", help="embedded, scripted, openai, or your own.  [default: embedded]"
)
@click.option("--room", "name", metavar="NAME", help="The room.  [default: something random]")
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Of the page.  [default: any free one]"
)
@click.option("--no-browser", is_flag=True, help="Only print the page's address.")
@click.option(
    "--record", metavar="DIR", type=click.Path(path_type=Path), help="Record into DIR (new or empty)."
)
@click.option(
    "--set", "changes", metavar="KEY=VALUE", multiple=True, help="Any setting, like turn.silence_ms=300."
)
@url_option
@config_option
@click.option("--json", "as_json", is_flag=True, help='First a line {"page": …}, then one a turn.')
def demo(agent_file: Path | None, no_browser: bool, as_json: bool, port: int, **given: Any) -> None:
    """Talk to an agent in a room, from a page in your browser. Ctrl-C ends it.

    Without a server in the settings, one is started here: `livekit-server` must be on the path. Nothing leaves this
    machine then.

    \b
    Example:
      workbench room demo my_agent.py
    """
    from workbench.cli.flags import agent_and_settings, ends
    from workbench.cli.signals import until_signal
    from workbench.config import load

    chosen = given["name"] or f"demo-{secrets.token_hex(3)}"
    flags = {
        "profile": given["profile"],
        **ends(None, None, chosen),
        "room.url": given["url"],
        "record.enabled": given["record"] is not None,
        "record.folder": given["record"],
    }
    local = not load({"room.url": given["url"]}, config_path=given["config"]).room.url
    keys = {}
    server = None
    if local:
        from workbench.transports.livekit.server import LocalServer, new_keys

        pair = new_keys()
        server = LocalServer(keys=pair)
        keys = {"room.url": server.claim(), "room.api_key": pair.api_key, "room.api_secret": pair.api_secret}
    agent, settings = agent_and_settings(agent_file, {**flags, **keys}, given["changes"], given["config"])
    work = _demo(settings, agent, server, port, not no_browser, as_json)
    raise SystemExit(asyncio.run(until_signal(work)))  # whenever it comes: nobody else would end the server


async def _demo(
    settings: Settings,
    agent: Agent | None,
    server: LocalServer | None,
    port: int,
    browser: bool,
    as_json: bool,
) -> int:
    """Server, page and agent, until a signal comes; the exit code."""
    from workbench.cli.run import err, out, talk
    from workbench.transports.livekit.demo import page
    from workbench.transports.livekit.token import access

    async with AsyncExitStack() as stack:
        if server is not None:
            err(f"starting a LiveKit server at {server.url}")
            await stack.enter_async_context(server)
        address = await stack.enter_async_context(
            page(access(settings.room, keys=True), settings.room.name, port=port)
        )
        if as_json:
            out(
                json.dumps({"page": address, "room": settings.room.name, "url": settings.room.url}),
                sys.stdout,
            )
        err(f"talk at {address}")
        if browser:
            await asyncio.get_running_loop().run_in_executor(None, webbrowser.open, address)
        return await talk(settings, agent, as_json, sys.stdout)


def _settings(url: str | None, config: Path | None) -> RoomSettings:
    from workbench.config import load

    return load({"room.url": url}, config_path=config).room


def _access(url: str | None, config: Path | None) -> Access:
    from workbench.transports.livekit.token import access

    return access(_settings(url, config), keys=True)


def _shown(text: str) -> str:
    return plain(text, 80, one_line=True)
