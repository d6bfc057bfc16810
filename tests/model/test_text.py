from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.model.text import plain, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hello", "hello"),
        ("Grüße, 你好, שלום 🎉", "Grüße, 你好, שלום 🎉"),
        ("one\ntwo\tthree", "one\ntwo three"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone?", "gone?"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r\x1b\\dcs", "dcs"),
        ("\x1b]52;c;never ended", "52;c;never ended"),
        ("\x9b31mC1", "C1"),
        ("\x1b(Bcharset \x1bcreset", "charset reset"),
        ("a\x00b\x08c\x7fd\x9c", "abcd"),
        ("file\u202egnp.exe", "filegnp.exe"),
        ("\u2066isolate\u2069 \u200emark", "isolate mark"),
        ("zero\u200bwidth\ufeff soft\u00adhyphen", "zerowidth softhyphen"),
        ("half \ud83d", "half "),
        ("family 👨\u200d👩", "family 👨\u200d👩"),
        ("", ""),
    ],
)
def test_plain_removes_escapes_and_controls(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize("opening", ["\x9d", "\x90", "\x1b]", "\x1b", "\x9b"])
def test_endless_openings_of_escapes_are_read_once(opening: str) -> None:
    """A scan to the end of the text from each of them would take minutes."""
    assert plain(opening * 200_000) == ""


def test_plain_limits_and_joins_lines() -> None:
    assert plain("hello there", 7) == "hello …"
    assert plain("hello", 5) == "hello"
    assert plain("hello", 0) == "…"
    assert plain(" a \n\n b\tc ", one_line=True) == "a b c"


@given(st.text(), st.text(alphabet="\x1b[]\\;0mP\x07\x9b\x9c\n\u202eab"))
def test_plain_leaves_nothing_dangerous(one: str, other: str) -> None:
    for text in (one, other, one + other):
        shown = plain(text)
        assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]
        assert not [
            c
            for c in shown
            if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        ]
        assert plain(shown) == shown
        shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "401 for http://127.0.0.1/v1?q=Oslo&appid=abcdef987654&n=1",
            "401 for http://127.0.0.1/v1?q=Oslo&appid=…&n=1",
        ),
        ("http://127.0.0.1/x?key=abcdef987654", "http://127.0.0.1/x?key=…"),
        ("api_key='abcdef123'", "api_key='…'"),
        ("password=hunter2hunter2, user=me", "password=…, user=me"),
        ("postgres://me:hunter2@127.0.0.1/db", "postgres://…@127.0.0.1/db"),
        ("a eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_-1 b", "a … b"),
        ("for AKIAABCDEFGHIJKLMNOP", "for …"),
        ("Bearer abc.def sk-abcdefghij", "Bearer … …"),
        ("unexpected token: name; key=lambda one: one", "unexpected token: name; key=lambda one: one"),
        ("see http://127.0.0.1:8000/a@b", "see http://127.0.0.1:8000/a@b"),
    ],
)
def test_redacted_hides_what_looks_like_a_key(text: str, shown: str) -> None:
    assert redacted(text) == shown
