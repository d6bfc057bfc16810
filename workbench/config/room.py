"""The settings of a LiveKit room, `[room]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from workbench.engine.settings import SettingsModel

VARIABLES = {
    "room.url": "LIVEKIT_URL",
    "room.api_key": "LIVEKIT_API_KEY",
    "room.api_secret": "LIVEKIT_API_SECRET",
    "room.token": "LIVEKIT_TOKEN",
}
"""What LiveKit's own tools read, by the name of our setting."""
SECRET = ("api_key", "api_secret", "token")
"""Settings whose value is never shown."""
LISTEN = re.compile(r"(first|all|each|(identity|kind):.+|attribute:[^=]+=.*)\Z")


def address_check(schemes: Sequence[str], reason: str) -> Callable[[str], str]:
    """Return a validator of addresses with one of the schemes; an empty text passes, others raise ValueError."""

    def check(text: str) -> str:
        try:
            parts = urlsplit(text)
            valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if text and (not valid or re.search(r"\s", text)):
            raise ValueError(reason)
        return text

    return check


_livekit_address = address_check(
    ("ws", "wss", "http", "https"), "no address of a LiveKit server, like ws://127.0.0.1:7880"
)


def _listen(text: str) -> str:
    if not LISTEN.match(text):
        raise ValueError("who is that? first, all, each, identity:NAME, kind:sip or attribute:KEY=VALUE")
    return text


class RoomSettings(SettingsModel):
    """A LiveKit room in the place of microphone and speaker: `--room NAME`."""

    name: str = Field("", max_length=256)
    """The room to join; it is made if it is not there."""
    url: Annotated[str, AfterValidator(_livekit_address)] = ""
    """The LiveKit server, `wss://…` or `ws://…`; LIVEKIT_URL if absent."""
    api_key: SecretStr | None = None
    """Names the secret that tokens are signed with; LIVEKIT_API_KEY if absent."""
    api_secret: SecretStr | None = None
    """Signs tokens; LIVEKIT_API_SECRET if absent. Better in the environment than in a file."""
    token: SecretStr | None = None
    """A ready token instead of key and secret; LIVEKIT_TOKEN if absent."""
    identity: str = Field("", max_length=256)
    """The agent's identity in the room; `agent-` and something random if absent."""
    listen: Annotated[str, AfterValidator(_listen)] = "first"
    """Who is listened to: `first` (who comes first), `all` (mixed), `each` (`workbench run`: a session with each),
    `identity:NAME`, `kind:sip` or `attribute:KEY=VALUE`."""
    video: Literal["off", "turn", "tool"] = "off"
    """Pictures of the user's screen, or else camera, for models that see: `turn` sends the latest one with each turn,
    `tool` gives the model a tool `look` to ask for one, `off` subscribes to no video."""
    grace_s: float = Field(20, ge=0, le=3600)
    """How long somebody who left may take to come back before somebody else is listened to, s."""
    connect_s: float = Field(15, ge=1, le=3600)
    """How long a server that does not answer is tried at the start, s."""
    reconnect_s: float = Field(180, ge=1, le=86400)
    """How long a lost server is tried again, s; the conversation waits meanwhile."""


def from_livekit(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and variable of each setting that LiveKit's own variables give."""
    for name, variable in VARIABLES.items():
        if value := environ.get(variable):
            yield name, value, variable
