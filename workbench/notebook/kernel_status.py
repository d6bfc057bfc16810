"""Messages that come by themselves are no work of the kernel's that anybody wants to see.

Each message makes the kernel say that it is busy and idle again, and JupyterLab draws its indicators and the icon of
the tab anew at both: a hundred times a second while a microphone is open, which kept more than half of the page's main
thread busy, and with it the sound that has to pass there. Pages and server leave out the states that belong to some
kinds of messages (`untracked_message_types` of jupyter_server); these are told as if they belonged to one of those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.notebook.message_handler import PERIODIC

UNTRACKED = "comm_info_request"
"""A kind that is left out; all that a page does with it is to wait for its end."""

_comms: set[str] = set()
"""Of live widgets, also of those that were closed."""


def hide_kernel_activity(comm_id: str) -> None:
    """The messages that come by themselves on this comm keep no page busy from now on."""
    kernel = _kernel()
    if kernel is None:
        return
    _comms.add(comm_id)
    if getattr(kernel.set_parent, "hushes", False):
        return
    told = kernel.set_parent

    def set_parent(ident: Any, parent: Any, channel: str = "shell") -> None:
        told(ident, untracked(parent), channel)

    set_parent.hushes = True  # type: ignore[attr-defined]
    kernel.set_parent = set_parent


def untracked(message: Any) -> Any:
    """What the states of the kernel that belong to this message say that they belong to."""
    if not _often(message):
        return message
    header = {**message["header"], "msg_type": UNTRACKED}
    return {**message, "header": header, "msg_type": UNTRACKED}


def _often(message: Any) -> bool:
    found = message
    for name in ("content", "data", "content"):
        if not isinstance(found, Mapping):
            return False
        if name == "data" and not _ours(found.get("comm_id")):
            return False
        found = found.get(name)
    return isinstance(found, Mapping) and found.get("k") in PERIODIC


def _ours(comm_id: object) -> bool:
    return isinstance(comm_id, str) and comm_id in _comms


def _kernel() -> Any:
    """The kernel that runs this, if one does."""
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None)
