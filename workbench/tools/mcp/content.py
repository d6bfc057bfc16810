"""The content of an MCP tool's answer as text for the model."""

from __future__ import annotations

import json
from typing import Any

from workbench.model.text import plain
from workbench.tools.context import ToolError


def text_of(result: Any) -> str:
    """Return what a server answered as text. Raises ToolError for what it calls an error."""
    texts = [text for text in map(_block_text, result.content) if text]
    text = "\n".join(texts)
    if result.is_error:
        raise ToolError(text or "it failed, and did not say why")
    structured = result.structured_content
    if structured is None or _repeats(structured, text):
        return text or "done"
    return "\n".join([*texts, json.dumps(structured, ensure_ascii=False)])


def _repeats(structured: Any, text: str) -> bool:
    """Decide whether a server says the same as data that it says as text, as most do."""
    if structured in ({}, {"result": text}):
        return True
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return structured in (value, {"result": value})


def _block_text(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            size = len(block.data) * 3 // 4
            return f"[{block.type} {plain(block.mime_type, 60)}, {size:,} bytes, which cannot be shown]"
        case "resource_link":
            return f"[{plain(block.name, 200, one_line=True)}: {plain(str(block.uri), 500, one_line=True)}]"
        case "resource":
            text = getattr(block.resource, "text", None)
            uri = plain(str(block.resource.uri), 500, one_line=True)
            return str(text) if text is not None else f"[{uri}, data that cannot be shown]"
        case _:
            return f"[{plain(str(block.type), 40)}, which cannot be shown]"
