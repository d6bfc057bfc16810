"""Tokens: who may join, as what, for how long. Least grants, short life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from workbench.config.room import RoomSettings
from workbench.model.errors import MissingError
from workbench.transports.livekit.sdk import api

Kind = Literal["standard", "agent"]

LIFE_S = 600
"""A token is good for joining this long, s; the server renews that of whoever is in the room."""
ADMIN_S = 60
"""One that manages rooms, s."""


@dataclass(frozen=True, slots=True)
class Access:
    """A server and what opens it."""

    url: str
    api_key: str
    api_secret: str
    ready: str = ""
    """A token that somebody else signed."""

    def __repr__(self) -> str:
        return f"Access({self.url!r}, …)"

    def token(self, **claims: Any) -> str:
        """Return a new one (see `mint`); the ready one where there are no keys."""
        return mint(self.api_key, self.api_secret, **claims) if self.api_secret else self.ready


def access(settings: RoomSettings, *, keys: bool = False) -> Access:
    """Return server and keys of the settings. MissingError for what is not there; `keys`: a ready token will not do."""
    hint = "set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or [room] in workbench.toml; "
    hint += "`workbench room demo` starts a server here"
    if not settings.url:
        raise MissingError("no LiveKit server is named", hint)
    key, secret, ready = (
        value.get_secret_value() if value else ""
        for value in (settings.api_key, settings.api_secret, settings.token)
    )
    if not (key and secret) and (keys or not ready):
        lacking = " and ".join(name for name, value in (("key", key), ("secret", secret)) if not value)
        raise MissingError(f"the LiveKit server's API {lacking} is missing", hint)
    return Access(settings.url, key, secret) if key and secret else Access(settings.url, "", "", ready)


def mint(
    api_key: str,
    api_secret: str,
    *,
    room: str,
    identity: str,
    kind: Kind = "standard",
    name: str = "",
    attributes: Mapping[str, str] | None = None,
    life_s: float = LIFE_S,
) -> str:
    """Return a token to join one room: to speak, hear and send data there, and nothing else."""
    grants = api().VideoGrants(
        room_join=True,
        room=room,
        can_publish_sources=["microphone"] if kind == "agent" else None,
        can_update_own_metadata=True if kind == "agent" else None,
    )
    token = api().AccessToken(api_key, api_secret).with_identity(identity).with_kind(kind).with_grants(grants)
    token = token.with_ttl(timedelta(seconds=life_s)).with_name(name)
    if attributes:
        token = token.with_attributes(dict(attributes))
    signed: str = token.to_jwt()
    return signed
