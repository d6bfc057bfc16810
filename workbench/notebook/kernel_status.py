"""Keeps the periodic messages of a live widget out of the kernel's busy and idle states.

Each message makes the kernel report both, and JupyterLab draws its indicators and the icon of the tab anew each time: a
hundred times a second while a microphone is open, which kept more than half of the page's main thread busy, and with it
the sound that has to pass there. Pages and server leave out the states that belong to some kinds of messages
(`untracked_message_types` of jupyter_server): periodic ones are reported as of such a kind (docs/decisions/0060).
"""

from __future__ import annotations

from typing import Any

from workbench.notebook.message_handler import PERIODIC

UNTRACKED = "comm_info_request"
"""A kind that is left out; all that a page does with it is to wait for its end."""

_comms: set[str] = set()
"""Of live widgets, also of those that were closed."""


def hide_kernel_activity(comm_id: str) -> None:
    """Let the periodic messages on this comm keep no page busy from now on."""
    from IPython import get_ipython

    kernel: Any = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return
    _comms.add(comm_id)
    if getattr(kernel.set_parent, "hides_activity", False):
        return
    original = kernel.set_parent

    def set_parent(ident: Any, parent: Any, channel: str = "shell") -> None:
        original(ident, untracked(parent), channel)

    set_parent.hides_activity = True  # type: ignore[attr-defined]
    kernel.set_parent = set_parent


def untracked(message: Any) -> Any:
    """Return the message that the kernel's states are said to belong to: of another kind if it is a periodic one."""
    if not _is_periodic(message):
        return message
    header = {**message["header"], "msg_type": UNTRACKED}
    return {**message, "header": header, "msg_type": UNTRACKED}


def _is_periodic(message: Any) -> bool:
    match message:
        case {"content": {"comm_id": str(comm_id), "data": {"content": {"k": str(kind)}}}}:
            return comm_id in _comms and kind in PERIODIC
    return False
