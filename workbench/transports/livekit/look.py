"""The tool that a model is given with `[room] video = "tool"`."""

from __future__ import annotations

from typing import Any

from workbench.tools.context import RunContext, ToolError
from workbench.tools.tool import tool


@tool(idempotent=True, timeout_s=10)
async def look(context: RunContext[Any]) -> str:
    """See what the user is showing now: their shared screen, or else their camera. Use it whenever the answer depends
    on what can be seen."""
    room = context.room
    if not room.user_video.sees():
        raise ToolError("This model cannot look at pictures.")
    picture = await room.look()
    if picture is None:
        raise ToolError(f"There is nothing to see: {room.user_video.nothing()}.")
    context.show(picture)
    return f"The picture that follows shows it: {picture.width} × {picture.height} pixels."
