"""The commands and the code that README and docs show."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "servers").glob("*.md")),
]


BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [
        body for page in PAGES for kind, body in BLOCK.findall(page.read_text("utf-8")) if kind == language
    ]


def lines() -> list[str]:
    shown = [line.removeprefix(".venv/bin/") for body in blocks("sh") for line in body.splitlines()]
    return [line for line in shown if line.startswith("workbench ")]


def in_a_room(command: str) -> bool:
    return command.startswith("workbench room") or "--room" in command
