"""A session on disk: a folder that can be read whenever its writer may have died.

    session.json    what it is: format, date, versions, settings without secrets, rate of each track
    events.jsonl    the trace, one entry a line (`codec`)
    mic.wav         the microphone, if it differs from what the engine used
    user.wav        what the engine used
    agent.wav       what was played
    pictures/       what the user showed, as far as a model was to see it
    labels.json     what silences of the user were, corrected by hand: nothing that was recorded

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
from workbench.model.events import Entry, ReplyEnded, TrackName, TurnEnded
from workbench.trace.archive import EventFile, lines_from
from workbench.trace.codec import decode, plain
from workbench.trace.files import open_new, open_regular, size_bytes
from workbench.trace.trace import Trace
from workbench.trace.track import Track
from workbench.trace.wav import RecordedTrack

FORMAT = 1
"""Of the folder. One with a higher number cannot be read."""
TRACKS: tuple[TrackName, ...] = get_args(TrackName)
HOUR_MS = 3_600_000.0
ABOUT, EVENTS = "session.json", "events.jsonl"
DATE_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

T = TypeVar("T", bound=Trace)

_ABOUT_LIMIT = 4 * 1024 * 1024
_SECRET = re.compile(r"key|token|secret|password|authorization", re.IGNORECASE)


# --- what a session is -----------------------------------------------------------------------------------------------


def _rates() -> dict[str, int]:
    return {"mic": INPUT_RATE, "user": INPUT_RATE, "agent": OUTPUT_RATE}


@cache
def installed_versions() -> dict[str, str]:
    """Return the version of Python, of workbench and of each installed package that it uses. Costs 20 ms, once."""
    versions = {"python": python_version()}
    try:
        requirements = metadata.requires("voice-workbench") or []
    except metadata.PackageNotFoundError:  # run from a checkout
        return versions
    for requirement in ("voice-workbench", *requirements):
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions["workbench" if name == "voice-workbench" else name] = metadata.version(name)
    return versions


def new_session_id() -> str:
    """Return eight hexadecimal digits."""
    return secrets.token_hex(4)


def utc_now() -> str:
    """Return the wall clock, ISO 8601 UTC to the second."""
    return datetime.now(UTC).strftime(DATE_FORMAT)


def session_date(text: str) -> datetime | None:
    """Return the date that `utc_now` wrote; None where it is none."""
    try:
        return datetime.strptime(text, DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class About:
    """The content of `session.json`. `rates` in Hz by track; `settings` are written without what looks secret."""

    session: str = field(default_factory=new_session_id)
    date: str = field(default_factory=utc_now)
    agent: str = ""
    profile: str = ""
    rates: dict[str, int] = field(default_factory=_rates)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=installed_versions)
    redacted: bool = False
    """Words or sound were removed from it afterwards."""

    @property
    def folder_name(self) -> str:
        """The name of its folder among others: date and id."""
        return f"{re.sub(r'[^0-9TZ]', '', self.date)}-{self.session}"


# --- the folder ------------------------------------------------------------------------------------------------------


def default_root() -> Path:
    """Return the folder of all sessions: `$XDG_DATA_HOME/workbench/sessions`."""
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
        """Create the folder and its `session.json`: `record` itself (new or empty), else one under `default_root()`.

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
        """Open the folder of a recording. Raises UsageError where it is none, or one of a later format."""
        return cls(path, _read_about(path))

    @property
    def events(self) -> Path:
        """The file of events."""
        return self.path / EVENTS

    def sound(self, track: TrackName) -> Path:
        """The file of a track."""
        return self.path / f"{track}.wav"


def _write_about(folder: Path, about: About) -> None:
    content = {"format": FORMAT, **asdict(about), "settings": _without_secrets(plain(about.settings))}
    part = folder / f"{ABOUT}.part"
    with os.fdopen(open_new(part), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
    part.replace(folder / ABOUT)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "…" if isinstance(item, str) and item and _SECRET.search(name) else _without_secrets(item)
            for name, item in value.items()
        }
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


class UnreadableFolderError(UsageError):
    """A folder that holds no readable session, for the reason `problem`."""

    def __init__(self, folder: Path, problem: str) -> None:
        hint = "`workbench sessions` lists those there are"
        super().__init__(f"{folder} is not a readable session folder: {problem}", hint)
        self.problem = problem


def _read_about(folder: Path) -> About:
    return _about(read_content(folder))


def read_content(folder: Path) -> dict[str, Any]:
    """Return what `session.json` says. Raises UsageError where the folder is none of a session, or a later one's."""
    try:
        with open_regular(folder / ABOUT) as file:
            content = json.loads(file.read(_ABOUT_LIMIT))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableFolderError(folder, f"there is no {ABOUT} in it") from error
    except OSError as error:
        raise UnreadableFolderError(folder, f"{ABOUT}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableFolderError(folder, f"{ABOUT} is damaged") from error
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise UnreadableFolderError(folder, f"{ABOUT} is damaged")
    if content["format"] > FORMAT:
        raise UsageError(
            f"{folder} was recorded by a later workbench", "install that version, or a later one"
        )
    return content


def _about(content: dict[str, Any]) -> About:
    """Return what the file says, as far as it has the right type."""
    example = About(versions={})
    values = {
        item.name: content[item.name]
        for item in fields(About)
        if isinstance(content.get(item.name), type(getattr(example, item.name)))
    }
    rates = {name: rate for name, rate in values.get("rates", {}).items() if type(rate) is int and rate > 0}
    return About(**{"session": "", "date": "", "versions": {}, **values, "rates": _rates() | rates})


# --- reading a session -----------------------------------------------------------------------------------------------


def open_trace(path: Path | str) -> Trace:
    """Open the trace of a recorded session: closed, its entries and sound are read from disk on demand.

    A track whose file is absent or damaged is left out. Raises UsageError with the reason where the folder is none of a
    session, or is damaged beyond reading.
    """
    return open_as(Trace, path)


def open_as(kind: Callable[[Callable[[], float]], T], path: Path | str) -> T:
    """Open it as a trace of that class."""
    folder = SessionFolder.open(Path(path))
    archive = EventFile(folder.events)
    try:
        last = archive.last()
    except OSError as error:
        raise UnreadableFolderError(folder.path, f"{EVENTS}: {error.strerror}") from error
    tracks: dict[TrackName, Track] = {}
    for track in TRACKS:
        with contextlib.suppress(OSError, ValueError):
            tracks[track] = RecordedTrack(folder.sound(track), track, folder.about.rates[track])
    end_ms = _end_ms(last, tracks)
    trace = kind(lambda: end_ms)
    trace.archive = archive
    trace.end = last.i + 1 if last else 0
    trace.tracks |= tracks
    trace.close()
    return trace


def _end_ms(last: Entry | None, tracks: Mapping[TrackName, Track]) -> float:
    """Return when a session ended; a last event that is an hour past all sound has a damaged time."""
    sound_ms = max((track.end * 1000 / track.rate for track in tracks.values()), default=0.0)
    end_ms = max(0.0, last.t_ms) if last else 0.0
    return min(end_ms, sound_ms + HOUR_MS) if sound_ms else end_ms


# --- all of them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A line in the list of sessions; where `problem` says why a folder cannot be read, everything else is empty."""

    path: Path
    session: str = ""
    date: str = ""
    agent: str = ""
    profile: str = ""
    turns: int = 0
    duration_s: float = 0.0
    size_bytes: int = 0
    spent: dict[str, float | None] = field(default_factory=dict)
    """What it used and cost, as in the event `spent`; empty where nobody counted."""
    problem: str | None = None


def sessions(root: Path | None = None, *, search: str = "") -> Iterator[SessionInfo]:
    """Yield the sessions under `root` (default `default_root()`), newest first, unreadable folders last.

    With `search` only those where the user or the agent said that, in any case of letters. A folder is read when its
    turn comes, so that the first few are cheap.
    """
    root = default_root() if root is None else root
    try:
        paths = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return
    listed = (_listed(path) for path in paths)
    for info in sorted(listed, key=lambda info: (info.problem is None, info.date, info.path), reverse=True):
        counted = info if info.problem else _count_turns(info, search.casefold())
        if counted is not None and not (search and counted.problem):
            yield counted


def _listed(path: Path) -> SessionInfo:
    try:
        about = _read_about(path)
    except UnreadableFolderError as error:
        return SessionInfo(path, problem=error.problem)
    except UsageError as error:
        return SessionInfo(path, problem=error.reason)
    return SessionInfo(path, about.session, about.date, about.agent, about.profile)


def _count_turns(info: SessionInfo, search: str) -> SessionInfo | None:
    """Count turns and search words, None without a match: a pass over the bytes that decodes only lines with texts."""
    turns, matches, spent = 0, not search, b""
    try:
        last = EventFile(info.path / EVENTS).last()
        for line in _lines(info.path / EVENTS) if last else ():
            if b'"type":"turn_ended"' in line:
                turns += 1
                matches = matches or search in _texts(line)
            elif b'"type":"spent"' in line:
                spent = line
            elif not matches and b'"type":"reply_ended"' in line:
                matches = search in _texts(line)
        size = size_bytes(info.path)
    except OSError as error:
        return SessionInfo(info.path, problem=f"{EVENTS}: {error.strerror}")
    duration_s = last.t_ms / 1000 if last else 0.0
    if not matches:
        return None
    return replace(info, turns=turns, duration_s=duration_s, size_bytes=size, spent=_usage(spent))


def _usage(line: bytes) -> dict[str, float | None]:
    """Return the usage of a line with the event `spent`, without what is no figure."""
    try:
        usage = json.loads(line)["usage"]
        return {name: value for name, value in usage.items() if value is None or type(value) in (int, float)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


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
