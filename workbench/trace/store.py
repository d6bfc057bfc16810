"""A session on disk: a folder that can be read whenever its writer may have died.

    session.json    what it is: format, date, versions, settings without secrets, rate of each track
    events.jsonl    the trace, one entry a line (`codec`)
    mic.wav         the microphone, if it differs from what the engine used
    user.wav        what the engine used
    agent.wav       what was played
    pictures/       what the user showed, as far as a model was to see it

The folder is 0700 and its files 0600: they hold somebody's voice. What is in `session.json` is never used as a path, a
wav's length is that of the file and not what its header says, and nothing is held in memory but an index with one place
for each 64 KiB of events.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any, TypeVar, get_args

from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.errors import UsageError
from workbench.model.events import ReplyEnded, TrackName, TurnEnded
from workbench.trace.archive import EventFile, lines_from
from workbench.trace.codec import decode, plain
from workbench.trace.files import open_new, open_regular
from workbench.trace.trace import Trace
from workbench.trace.wav import RecordedTrack

FORMAT = 1
"""Of the folder. One with a higher number cannot be read."""
TRACKS: tuple[TrackName, ...] = get_args(TrackName)
ABOUT, EVENTS = "session.json", "events.jsonl"

T = TypeVar("T", bound=Trace)

_ABOUT_LIMIT = 4 * 1024 * 1024
_SECRET = re.compile(r"key|token|secret|password|authorization", re.IGNORECASE)


# --- what a session is -----------------------------------------------------------------------------------------------


def _rates() -> dict[str, int]:
    return {"mic": INPUT_RATE, "user": INPUT_RATE, "agent": OUTPUT_RATE}


@cache
def installed_versions() -> dict[str, str]:
    """Version of Python, of workbench and of each package it uses that is installed. Costs 20 ms, once."""
    found = {"python": python_version()}
    try:
        found["workbench"] = metadata.version("voice-workbench")
        wanted = metadata.requires("voice-workbench") or []
    except metadata.PackageNotFoundError:  # run from a checkout
        return found
    for requirement in wanted:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def new_session_id() -> str:
    """Eight hexadecimal digits."""
    return secrets.token_hex(4)


def utc_now() -> str:
    """The wall clock, ISO 8601 UTC to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class About:
    """What `session.json` says. `rates` in Hz by track; `settings` are written without anything that looks secret."""

    session: str = field(default_factory=new_session_id)
    date: str = field(default_factory=utc_now)
    agent: str = ""
    profile: str = ""
    rates: dict[str, int] = field(default_factory=_rates)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=installed_versions)

    @property
    def folder_name(self) -> str:
        """The name of its folder among others: when it was, and its id."""
        return f"{re.sub(r'[^0-9TZ]', '', self.date)}-{self.session}"


# --- the folder ------------------------------------------------------------------------------------------------------


def default_root() -> Path:
    """Where sessions are kept: `$XDG_DATA_HOME/workbench/sessions`."""
    home = os.environ.get("XDG_DATA_HOME", "")
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "share"
    return base / "workbench" / "sessions"


@dataclass(frozen=True, slots=True)
class SessionFolder:
    """The folder of one session."""

    path: Path
    about: About

    @classmethod
    def create(cls, about: About, record: Path | None = None) -> SessionFolder:
        """Make the folder and its `session.json`: `record` itself (new or empty), else one under `default_root()`.

        Raises UsageError where that cannot be.
        """
        path = record if record is not None else default_root() / about.folder_name
        hint = "choose a new or empty folder, or do not record"
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise UsageError(f"cannot record into {path}: the folder is not empty", hint)
            _write_about(path, about)
        except OSError as error:
            raise UsageError(f"cannot record into {path}: {error.strerror}", hint) from error
        return cls(path, about)

    @classmethod
    def open(cls, path: Path) -> SessionFolder:
        """The folder of a recording. Raises UsageError with the reason where it is none, or one from a later format."""
        return cls(path, _read_about(path))

    @property
    def events(self) -> Path:
        """The file of events."""
        return self.path / EVENTS

    def sound(self, track: TrackName) -> Path:
        """The file of a track."""
        return self.path / f"{track}.wav"


def _write_about(folder: Path, about: About) -> None:
    found = {"format": FORMAT, **asdict(about), "settings": _without_secrets(plain(about.settings))}
    part = folder / f"{ABOUT}.part"
    with os.fdopen(open_new(part), "w", encoding="utf-8") as file:
        json.dump(found, file, indent=2)
    part.replace(folder / ABOUT)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "…" if isinstance(item, str) and item and _SECRET.search(name) else _without_secrets(item)
            for name, item in value.items()
        }
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def _read_about(folder: Path) -> About:
    try:
        with open_regular(folder / ABOUT) as file:
            found = json.loads(file.read(_ABOUT_LIMIT))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _unreadable(folder, f"there is no {ABOUT} in it") from error
    except OSError as error:
        raise _unreadable(folder, f"{ABOUT}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(folder, f"{ABOUT} is damaged") from error
    return _checked(folder, found)


def _checked(folder: Path, found: Any) -> About:
    if not isinstance(found, dict) or type(found.get("format")) is not int:
        raise _unreadable(folder, f"{ABOUT} is damaged")
    if found["format"] > FORMAT:
        raise UsageError(
            f"{folder} was recorded by a later workbench", "install that version, or a later one"
        )
    example = About(versions={})
    known = {
        item.name: found[item.name]
        for item in fields(About)
        if isinstance(found.get(item.name), type(getattr(example, item.name)))
    }
    rates = {name: rate for name, rate in known.get("rates", {}).items() if type(rate) is int and rate > 0}
    return About(**{"session": "", "date": "", "versions": {}, **known, "rates": _rates() | rates})


def _unreadable(folder: Path, reason: str) -> UsageError:
    return UsageError(
        f"{folder} is not a readable session folder: {reason}", "`workbench sessions` lists those there are"
    )


# --- reading a session -----------------------------------------------------------------------------------------------


def open_trace(path: Path | str) -> Trace:
    """The trace of a recorded session: closed, its entries and sound read from disk when asked for.

    A track whose file is absent or damaged is left out. Raises UsageError with the reason where the folder is none of a
    session, or is damaged beyond reading.
    """
    return open_as(Trace, path)


def open_as(kind: Callable[[Callable[[], float]], T], path: Path | str) -> T:
    """The same as a trace of that kind."""
    folder = SessionFolder.open(Path(path))
    archive = EventFile(folder.events)
    try:
        last = archive.last()
    except OSError as error:
        raise _unreadable(folder.path, f"{EVENTS}: {error.strerror}") from error
    end_ms = last.t_ms if last else 0.0
    trace = kind(lambda: end_ms)
    trace.archive = archive
    trace.end = last.i + 1 if last else 0
    for track in TRACKS:
        with contextlib.suppress(OSError, ValueError):
            trace.tracks[track] = RecordedTrack(folder.sound(track), track, folder.about.rates[track])
    trace.close()
    return trace


# --- all of them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A line in the list of sessions; `problem` says why a folder could not be read, everything else is empty then."""

    path: Path
    session: str = ""
    date: str = ""
    agent: str = ""
    profile: str = ""
    turns: int = 0
    duration_s: float = 0.0
    size_bytes: int = 0
    problem: str | None = None


def sessions(root: Path | None = None, *, search: str = "") -> Iterator[SessionInfo]:
    """The sessions under `root` (default `default_root()`), newest first, what is no session last.

    With `search` only those where the user or the agent said that, in any case of letters. Each folder is looked into
    when its turn comes, so that the first few are cheap.
    """
    root = default_root() if root is None else root
    try:
        paths = [path for path in root.iterdir() if path.is_dir()]
    except OSError:
        return
    listed = (_listed(path) for path in paths)
    for info in sorted(listed, key=lambda info: (info.problem is None, info.date, info.path), reverse=True):
        looked = info if info.problem else _look_into(info, search.casefold())
        if looked is not None and not (search and looked.problem):
            yield looked


def _listed(path: Path) -> SessionInfo:
    try:
        about = _read_about(path)
    except UsageError as error:
        return SessionInfo(path, problem=error.reason.rpartition(": ")[2])
    return SessionInfo(path, about.session, about.date, about.agent, about.profile)


def _look_into(info: SessionInfo, search: str) -> SessionInfo | None:
    """Count turns and look for words: a pass over the bytes that decodes only the lines with texts."""
    turns, found = 0, not search
    try:
        last = EventFile(info.path / EVENTS).last()
        for line in _lines(info.path / EVENTS) if last else ():
            if b'"type":"turn_ended"' in line:
                turns += 1
                found = found or search in _texts(line)
            elif not found and b'"type":"reply_ended"' in line:
                found = search in _texts(line)
        size = sum(file.stat().st_size for file in info.path.rglob("*") if file.is_file())
    except OSError as error:
        return SessionInfo(info.path, problem=f"{EVENTS}: {error.strerror}")
    duration_s = last.t_ms / 1000 if last else 0.0
    return replace(info, turns=turns, duration_s=duration_s, size_bytes=size) if found else None


def _lines(path: Path) -> Iterator[bytes]:
    with open_regular(path) as file:
        for _, line in lines_from(file, 0):
            yield line


def _texts(line: bytes) -> str:
    entry = decode(line)
    match entry and entry.event:
        case TurnEnded(user_text=user, agent_text=agent):
            return f"{user}\n{agent}".casefold()
        case ReplyEnded(heard=heard):
            return heard.casefold()
        case _:
            return ""
