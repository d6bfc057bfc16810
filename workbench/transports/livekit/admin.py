"""Requests to a LiveKit server about its rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from workbench.model.errors import MissingError, UsageError, WorkbenchError
from workbench.transports.livekit.join_errors import from_http_answer
from workbench.transports.livekit.probe import probe
from workbench.transports.livekit.sdk import api, error_text
from workbench.transports.livekit.token import Access

TIMEOUT_S = 10.0
"""The longest that an answer may take, s."""


async def rooms(access: Access) -> list[dict[str, Any]]:
    """Return every room, the newest first: name, sid, created (s since 1970), participants, publishers, metadata."""
    async with _client(access) as server:
        listed = await server.room.list_rooms(api().ListRoomsRequest())
    return sorted((_room(room) for room in listed.rooms), key=lambda room: -room["created"])


async def participants(access: Access, name: str) -> dict[str, Any]:
    """Return one room, with those who are in it. UsageError if there is no such room."""
    async with _client(access) as server:
        listed = await server.room.list_rooms(api().ListRoomsRequest(names=[name]))
        if not listed.rooms:
            raise UsageError(f"there is no room {name!r}", "`workbench room list` lists those there are")
        answer = await server.room.list_participants(api().ListParticipantsRequest(room=name))
    return {**_room(listed.rooms[0]), "people": [_participant(info) for info in answer.participants]}


async def create(access: Access, name: str, *, empty_timeout_s: int, most: int) -> dict[str, Any]:
    """Make a room, or find the one of that name."""
    request = api().CreateRoomRequest(name=name, empty_timeout=empty_timeout_s, max_participants=most)
    async with _client(access) as server:
        return _room(await server.room.create_room(request))


async def delete(access: Access, name: str) -> None:
    """End a room: everybody in it is sent out. UsageError if there is no such room."""
    await participants(access, name)
    async with _client(access) as server:
        await server.room.delete_room(api().DeleteRoomRequest(room=name))


@asynccontextmanager
async def _client(access: Access) -> AsyncIterator[Any]:
    """Give a client of the server; its errors come out as ours."""
    import aiohttp  # comes with livekit-api: 0.1 s
    from google.protobuf.message import DecodeError  # too

    sdk = api()
    parts = urlsplit(access.url)
    host = parts.netloc.rpartition("@")[2]
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with sdk.LiveKitAPI(
        urlunsplit(parts._replace(scheme=scheme)), access.api_key, access.api_secret, timeout=timeout
    ) as server:
        try:
            yield server
        except sdk.TwirpError as error:
            if (
                error.code == "unknown" and not error.message and error.status not in (401, 403)
            ):  # whoever answered does not speak this protocol
                raise from_http_answer(host, error.status, "") from None
            raise _refused(error) from None
        except DecodeError:
            raise from_http_answer(host, 200, "") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise (await probe(access.url)).error or MissingError(
                f"{host} cannot be reached ({error_text(error)})",
                "is the LiveKit server running, and the url right?",
            ) from None


def _refused(error: Any) -> WorkbenchError:
    if error.status in (401, 403) or error.code in ("unauthenticated", "permission_denied"):
        return UsageError(
            "the server does not know this key and secret",
            "are LIVEKIT_API_KEY and LIVEKIT_API_SECRET those of this server?",
        )
    return UsageError(f"the server refused: {error_text(error)}", "see `workbench room list`")


def _room(room: Any) -> dict[str, Any]:
    return {
        "name": room.name,
        "sid": room.sid,
        "created": room.creation_time,
        "participants": room.num_participants,
        "publishers": room.num_publishers,
        "metadata": room.metadata,
    }


def _participant(info: Any) -> dict[str, Any]:
    sdk = api()
    return {
        "identity": info.identity,
        "name": info.name,
        "kind": sdk.ParticipantInfo.Kind.Name(info.kind).lower(),
        "state": sdk.ParticipantInfo.State.Name(info.state).lower(),
        "joined": info.joined_at,
        "attributes": dict(info.attributes),
        "tracks": [
            {
                "sid": track.sid,
                "name": track.name,
                "kind": sdk.TrackType.Name(track.type).lower(),
                "source": sdk.TrackSource.Name(track.source).lower(),
                "muted": track.muted,
            }
            for track in info.tracks
        ],
    }
