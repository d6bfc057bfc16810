"""Redact a recording: a copy of its folder without words, turns and stretches of time.

    redact("before", "after", Removal(words=("anna", "555-0100")))

Nothing is taken over that could not be looked into: lines that are damaged, and files that are no part of a recording.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from workbench.model.errors import UsageError
from workbench.model.events import Entry, TrackName
from workbench.readers.moments import MomentsFold
from workbench.replay.redaction.events import EventRedactor, Line, parsed, written
from workbench.replay.redaction.matching import Matcher
from workbench.replay.redaction.scope import RecordedTexts, find_scope, silent_samples
from workbench.replay.redaction.sound import write_silenced
from workbench.replay.redaction.tape import CassetteRedactor
from workbench.replay.tune.labels import FILE as LABELS
from workbench.replay.tune.labels import read_labels, write_label
from workbench.trace.archive import lines_from
from workbench.trace.cassette import DATA, FOLDER, ROWS
from workbench.trace.codec import decode
from workbench.trace.files import beside, held, open_new, open_regular, regular_files
from workbench.trace.pruning import being_written
from workbench.trace.store import ABOUT, EVENTS, TRACKS, SessionFolder, open_trace, read_content
from workbench.trace.wav import RecordedTrack

KNOWN = re.compile(
    rf"{ABOUT}|{EVENTS}|{LABELS}|({'|'.join(TRACKS)})\.wav|pictures/[^/]+\.jpg|{FOLDER}/({ROWS}|{DATA})"
)
"""Files of a recording."""
KEPT = ("format", "session", "date", "rates", "versions")
"""What `session.json` says of the recording itself."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to go: words and phrases, expressions, whole turns by number, stretches of the session in ms."""

    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    turns: tuple[int, ...] = ()
    stretches_ms: tuple[tuple[float, float], ...] = ()


@dataclass(slots=True)
class Redacted:
    """What went. `silenced_s` by track; `counts` of events, utterances, replies, pictures, cassette rows, hashes and
    unreadable lines; `left_out` are files that are no part of a recording."""

    silenced_s: dict[TrackName, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """Whether nothing of what was to go is in the recording."""
        return not any(self.silenced_s.values()) and not +self.counts


def redact(folder: Path, into: Path, removal: Removal) -> Redacted:
    """Write the recording into another folder, which must be new, without what is to go.

    Raises UsageError where `folder` is no recording or is being written, where there is no such turn, or where `into`
    is there or cannot be written.
    """
    matcher = Matcher(removal.words, removal.patterns)
    source = SessionFolder.open(folder)
    try:
        if being_written(folder):
            raise UsageError(f"{folder} is being written", "end its session first")
        into.mkdir(mode=0o700)
    except FileExistsError:
        raise UsageError(f"{into} is there already", "give a folder that is new") from None
    except OSError as error:
        raise UsageError(f"{into} cannot be written: {error.strerror}", "give another place") from error
    complete = False
    try:
        with held(into):
            redacted = _Redaction(source, removal, matcher).write(into)
        complete = True
    except OSError as error:
        reason = f"{folder} cannot be redacted: {error.strerror or error}"
        raise UsageError(reason, "nothing was changed; look at the disk and its permissions") from error
    finally:
        if not complete:
            shutil.rmtree(into, ignore_errors=True)
    return redacted


def redact_in_place(folder: Path, removal: Removal) -> Redacted:
    """Redact the recording itself: the new folder is made beside it and takes its place when it is whole.

    Raises UsageError as `redact` does, and where files are in it that are no part of a recording: they would be lost.
    """
    folder = folder.resolve()
    if strange := _strange_files(folder):
        reason = f"{folder} has files that are no part of a recording: {', '.join(strange[:3])}"
        raise UsageError(reason, "move them away, or write a new folder by -o")
    new, whole, old = (beside(folder, purpose) for purpose in ("redacted", "whole", "removed"))
    redacted = redact(folder, new, removal)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:  # renames that no Ctrl-C comes between; `remove_leftovers` ends them where the power went
        new.rename(whole)
        with held(whole):
            folder.rename(old)
            whole.rename(folder)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be replaced: {error.strerror}", f"the new one is {whole}"
        ) from error
    finally:
        if not folder.exists() and old.exists():
            old.rename(folder)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    shutil.rmtree(old)
    return redacted


def _strange_files(folder: Path) -> list[str]:
    """Return what is in a folder, links too, and is no part of a recording, by its place in it."""
    paths = (Path(place, name) for place, folders, files in os.walk(folder) for name in (*folders, *files))
    shown = (str(path.relative_to(folder)) for path in paths if path.is_symlink() or not path.is_dir())
    return sorted(name for name in shown if not KNOWN.fullmatch(name) or (folder / name).is_symlink())


class _Redaction:
    def __init__(self, source: SessionFolder, removal: Removal, matcher: Matcher) -> None:
        self._source = source
        self._matcher = matcher
        self._moments = MomentsFold(cast("Mapping[TrackName, int]", source.about.rates), keep=None)
        self._redacted = Redacted()
        conversation = RecordedTexts(self._moments)
        for _, entry in self._lines():
            if entry is not None:
                conversation.feed(entry)
        for turn in removal.turns:
            if turn not in conversation.turns:
                raise UsageError(f"there is no turn {turn}", f"there are {len(conversation.turns)}")
        self._scope = find_scope(conversation, matcher, removal.turns, removal.stretches_ms)
        self._events = EventRedactor(conversation, self._scope, matcher)

    def write(self, into: Path) -> Redacted:
        self._write_about(into)
        self._write_events(into)
        self._write_sound(into)
        self._write_pictures(into)
        cassette = CassetteRedactor(self._source.path, self._scope, self._matcher, self._events)
        cassette.write(into)
        self._write_labels(into)
        redacted, scope = self._redacted, self._scope
        redacted.counts += self._events.counts + cassette.counts
        redacted.counts["utterances"] = len(scope.erased_utterances | scope.touched_utterances)
        redacted.counts["replies"] = len(scope.erased_replies | scope.touched_replies)
        redacted.left_out = _strange_files(self._source.path)
        return redacted

    def _lines(self) -> Iterator[tuple[Line | None, Entry | None]]:
        """Yield the object of each line, None where it is damaged, and its entry, None where it is not known here."""
        with open_regular(self._source.events) as file:
            for _, line in lines_from(file, 0):
                yield parsed(line), decode(line)

    def _write_about(self, into: Path) -> None:
        content = read_content(self._source.path)
        kept = {name: content[name] for name in KEPT if name in content}
        clean = content | self._matcher.fields(content) | kept
        self._redacted.counts["settings"] = int(clean != content)
        self._write(into / ABOUT, json.dumps(clean | {"redacted": True}, indent=2).encode())

    def _write_events(self, into: Path) -> None:
        with os.fdopen(open_new(into / EVENTS), "wb") as file:
            for line, entry in self._lines():
                if line is None:
                    self._redacted.counts["unreadable"] += 1
                else:
                    file.write(written(self._events.redact(line, known=entry is not None)))

    def _write_labels(self, into: Path) -> None:
        """What silences are by hand: positions, no words."""
        for at_sample, label in read_labels(self._source.path).items():
            write_label(into, at_sample, label)

    def _write_sound(self, into: Path) -> None:
        for name, track in open_trace(self._source.path).tracks.items():
            assert isinstance(track, RecordedTrack)
            cuts = silent_samples(self._scope.silent[name], self._moments, name, track.end)
            self._redacted.silenced_s[name] = write_silenced(track, into / f"{name}.wav", cuts) / track.rate

    def _write_pictures(self, into: Path) -> None:
        for file in regular_files(self._source.path):
            name = str(file.relative_to(self._source.path))
            if not name.startswith("pictures/"):
                continue
            if name not in self._events.pictures:  # removed, or nobody knows when it was taken
                self._redacted.counts["pictures"] += 1
                continue
            (into / name).parent.mkdir(mode=0o700, exist_ok=True, parents=True)
            with open_regular(file) as picture:
                self._write(into / name, picture.read())

    @staticmethod
    def _write(path: Path, content: Any) -> None:
        with os.fdopen(open_new(path), "wb") as file:
            file.write(content)
