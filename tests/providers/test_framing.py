from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.providers.onboard.framing import MAX_PAYLOAD, PREFIX, GarbledError, Unpacker, pack

headers = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=3)


@given(st.lists(st.tuples(headers, st.binary(max_size=200)), max_size=5), st.integers(1, 50))
def test_messages_survive_any_cut_of_the_bytes(
    messages: list[tuple[dict[str, object], bytes]], step: int
) -> None:
    sent = b"".join(pack(header, payload) for header, payload in messages)
    unpacker = Unpacker()
    got = [message for at in range(0, len(sent), step) for message in unpacker.feed(sent[at : at + step])]
    assert got == messages


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        PREFIX.pack(b"WBF1", 2, MAX_PAYLOAD + 1) + b"{}",
        PREFIX.pack(b"WBF1", 2, 0) + b"[]",
        PREFIX.pack(b"WBF1", 2, 0) + b"\xff\xff",
    ],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(GarbledError):
        list(Unpacker().feed(data))
