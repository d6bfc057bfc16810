"""A package index and a hub for tests: tiny wheels, and what a server on the loopback answers."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from workbench.weights.manifest import HubSource, IndexSource, ModelWeights, WeightsFile, WheelMember


@dataclass
class Hub:
    """What the server has, and how it misbehaves. `cuts`: how many bytes each of the next answers ends after."""

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def body(self, path: str, wanted: str) -> tuple[int, bytes, str]:
        """Status, bytes and Content-Range for a request."""
        whole = self.files.get(path)
        if whole is None:
            return 404, b"", ""
        if not wanted or not self.ranges:
            return 200, whole, ""
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(whole):
            return 416, b"", ""
        return 206, whole[start:], f"bytes {start}-{len(whole) - 1}/{len(whole)}"


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            hub.asked.append(wanted)
            status, body, content_range = hub.body(self.path, wanted)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()
            self.wfile.write(body[: hub.cuts.pop(0)] if hub.cuts else body)

        def log_message(self, format: str, *args: object) -> None:
            """The log is `hub.asked`."""

    return Handler


def wheel(index: Path, name: str, members: dict[str, bytes]) -> str:
    """Put a wheel with these members into the index; returns its exact requirement. Its code must not be run."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(index / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('a carrier was imported')")
        for member, data in members.items():
            archive.writestr(f"{name}/{member}", data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}==1.0"


def weights(name: str, data: bytes, *sources: IndexSource | HubSource) -> WeightsFile:
    """A file that should have these bytes."""
    return WeightsFile(name, len(data), hashlib.sha256(data).hexdigest(), sources)


def model(*files: WeightsFile, name: str = "test/tiny") -> ModelWeights:
    return ModelWeights(name, "a test", "MIT", "1", files)


def in_index(requirement: str, *members: str) -> IndexSource:
    package = requirement.split("==")[0]
    return IndexSource(tuple(WheelMember(requirement, f"{package}/{member}") for member in members))


def on_hub(hub: Hub, name: str, data: bytes) -> HubSource:
    """Put the file on the hub."""
    hub.files[f"/org/repo/resolve/1/{name}"] = data
    return HubSource("org/repo", "1", name)
