"""A real kernel: which of a page's messages make it say that it is busy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from tests.waiting import PATIENCE_S
from workbench.notebook.kernel_status import UNTRACKED, untracked
from workbench.notebook.message_handler import PERIODIC

BEGIN = """
from workbench import Agent
from workbench.notebook import live
for n in range(2):
    w = live(Agent(instructions="", name="one"), profile="scripted", source="none", sink="none", record_enabled=False)
print(w.comm.comm_id)
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(startup_timeout=PATIENCE_S)
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def comm(kernel: BlockingKernelClient) -> str:
    outputs: list[Any] = []
    kernel.execute_interactive(BEGIN, timeout=PATIENCE_S, output_hook=outputs.append)
    printed = [one["content"]["text"] for one in outputs if one["msg_type"] == "stream"]
    return str(printed[-1]).strip()


def answered(kernel: BlockingKernelClient, comm: str, data: Any) -> list[tuple[str, str]]:
    """What the kernel says of itself while it takes a message: its state, and whose work it says that is."""
    message = kernel.session.msg("comm_msg", {"comm_id": comm, "data": data})
    kernel.shell_channel.send(message)
    states: list[tuple[str, str]] = []
    while "idle" not in [state for state, _ in states]:
        heard = kernel.get_iopub_msg(timeout=PATIENCE_S)
        if (
            heard["msg_type"] == "status"
            and heard["parent_header"].get("msg_id") == message["header"]["msg_id"]
        ):
            states.append((heard["content"]["execution_state"], heard["parent_header"]["msg_type"]))
    return states


def custom(**content: Any) -> dict[str, Any]:
    return {"method": "custom", "content": {"page": "page1", **content}}


def test_what_comes_by_itself_is_nobodys_work(kernel: BlockingKernelClient, comm: str) -> None:
    """And yet it ends: the page keeps each message until it hears that."""
    for kind in PERIODIC:
        assert answered(kernel, comm, custom(k=kind, t=1)) == [("busy", UNTRACKED), ("idle", UNTRACKED)]


@pytest.mark.parametrize(
    "data",
    [
        custom(k="type", text="Hello?"),
        custom(k="claim"),
        custom(k=["audio"]),
        {"method": "update", "state": {"k": "audio"}},
        {"method": "custom", "content": "audio"},
        {"method": "custom"},
        {},
        "audio",
    ],
)
def test_everything_else_is_work_whatever_it_says(kernel: BlockingKernelClient, comm: str, data: Any) -> None:
    assert answered(kernel, comm, data) == [("busy", "comm_msg"), ("idle", "comm_msg")]


@pytest.mark.parametrize("comm_id", [[], {}, None, 1])
def test_a_message_for_what_is_no_comm_is_left_as_it_is(comm_id: Any) -> None:
    message = {"header": {"msg_type": "comm_msg"}, "content": {"comm_id": comm_id, "data": custom(k="audio")}}
    assert untracked(message) is message


def test_so_is_another_widgets(kernel: BlockingKernelClient, comm: str) -> None:
    found = answered(kernel, comm[:-4] + "beef", custom(k="audio"))
    assert found == [("busy", "comm_msg"), ("idle", "comm_msg")]
