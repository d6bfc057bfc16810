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

from workbench.cli.options import (
    agent_and_settings,
    agent_argument,
    changes_option,
    config_option,
    json_option,
    profile_option,
    record_option,
)
from workbench.cli.output import err, out, short

if TYPE_CHECKING:
    from workbench.agent import Agent
    from workbench.config import Settings
    from workbench.config.room import RoomSettings
    from workbench.transports.livekit.server import LocalServer
    from workbench.transports.livekit.token import Access

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
@json_option()
def list_rooms(url: str | None, config: Path | None, as_json: bool) -> None:
    """The server's rooms, the newest first.

    \b
    Example:
      workbench room list --json
    """
    from workbench.transports.livekit import admin

    rooms = asyncio.run(admin.rooms(_access(url, config)))
    if not rooms and not as_json:
        err("no rooms; a room is made when somebody joins it, or by `workbench room create`")
    for room in rooms:
        people = f"{room['participants']} there, {room['publishers']} of them with a track"
        click.echo(json.dumps(room) if as_json else f"{short(room['name']):<30}  {people}")


@room.command()
@click.argument("name")
@url_option
@config_option
@json_option()
def show(name: str, url: str | None, config: Path | None, as_json: bool) -> None:
    """Who is in a room, with their tracks and attributes.

    \b
    Example:
      workbench room show demo
    """
    from workbench.transports.livekit import admin

    room = asyncio.run(admin.participants(_access(url, config), name))
    if as_json:
        click.echo(json.dumps(room))
        return
    click.echo(f"{short(room['name'])} ({room['sid']})")
    for person in room["people"]:
        click.echo(f"  {short(person['identity'])}  {person['kind']}, {person['state']}")
        for key, value in sorted(person["attributes"].items()):
            click.echo(f"    {short(key)} = {short(value)}")
        for track in person["tracks"]:
            muted = ", muted" if track["muted"] else ""
            click.echo(f"    {track['kind']} {short(track['name'])} ({track['source']}{muted})")


@room.command()
@click.argument("name")
@click.option("--identity", metavar="ID", help="Who it is for.  [default: something random]")
@click.option(
    "--minutes", default=10.0, show_default=True, type=click.FloatRange(0.1, 1440), help="To join within."
)
@config_option
@json_option()
def token(name: str, identity: str | None, minutes: float, config: Path | None, as_json: bool) -> None:
    """Sign a token with which somebody may join a room: to speak, hear and send data there, nothing else.

    \b
    Example:
      workbench room token demo --identity ann
    """
    from workbench.transports.livekit.token import access, mint

    server = access(_settings(None, config), keys=True)
    identity = identity or f"guest-{secrets.token_hex(3)}"
    signed = mint(server.api_key, server.api_secret, room=name, identity=identity, life_s=minutes * 60)
    answer = {"url": server.url, "room": name, "identity": identity, "token": signed}
    click.echo(json.dumps(answer) if as_json else signed)


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
@json_option()
def create(
    name: str, empty_minutes: float, most: int, url: str | None, config: Path | None, as_json: bool
) -> None:
    """Make a room before anybody joins it.

    \b
    Example:
      workbench room create demo --empty-minutes 60
    """
    from workbench.transports.livekit import admin

    empty_s = round(empty_minutes * 60)
    room = asyncio.run(admin.create(_access(url, config), name, empty_timeout_s=empty_s, most=most))
    click.echo(json.dumps(room) if as_json else f"{short(room['name'])} ({room['sid']})")


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
    err(f"room {short(name)} is deleted")


@room.command()
@agent_argument
@profile_option()
@click.option("--room", "name", metavar="NAME", help="The room.  [default: something random]")
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Of the page.  [default: any free one]"
)
@click.option("--no-browser", is_flag=True, help="Only print the page's address.")
@record_option
@changes_option
@url_option
@config_option
@json_option('First a line {"page": …}, then one a turn.')
def demo(
    name: str | None,
    no_browser: bool,
    as_json: bool,
    port: int,
    url: str | None,
    record: Path | None,
    **options: Any,
) -> None:
    """Talk to an agent in a room, from a page in your browser. Ctrl-C ends it.

    Without a server in the settings, one is started here: `livekit-server` must be on the path. Nothing leaves this
    machine then.

    \b
    Example:
      workbench room demo my_agent.py
    """
    from workbench.cli.signals import until_signal

    flags: dict[str, Any] = {"room.url": url, "record.enabled": record is not None}
    server = None
    if not _settings(url, options["config"]).url:
        from workbench.transports.livekit.server import LocalServer, new_keys

        keys = new_keys()
        server = LocalServer(keys=keys)
        flags |= {
            "room.url": server.claim(),
            "room.api_key": keys.api_key,
            "room.api_secret": keys.api_secret,
        }
    room_name = name or f"demo-{secrets.token_hex(3)}"
    agent, settings = agent_and_settings(room=room_name, record=record, settings=flags, **options)
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
    """Run server, page and agent until a signal comes; return the exit code."""
    from workbench.cli.run import run_session
    from workbench.transports.livekit.demo_page import page
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
        return await run_session(settings, agent, as_json, sys.stdout)


def _settings(url: str | None, config: Path | None) -> RoomSettings:
    from workbench.config import load_settings

    return load_settings({"room.url": url}, config_path=config).room


def _access(url: str | None, config: Path | None) -> Access:
    from workbench.transports.livekit.token import access

    return access(_settings(url, config), keys=True)
