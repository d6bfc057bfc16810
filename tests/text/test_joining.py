"""Joining texts by their script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.text.joining import join_texts


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["Tell me", "about the sea."], "Tell me about the sea."),
        (["我想订", "一张桌子。"], "我想订一张桌子。"),
        (["好的。", "OK"], "好的。OK"),
        (["テーブルを", "予約したいです"], "テーブルを予約したいです"),
        (["ผมอยาก", "จองโต๊ะ"], "ผมอยากจองโต๊ะ"),
        (["자리를", "예약하고 싶어요"], "자리를 예약하고 싶어요"),
        (["我的号码是", "555"], "我的号码是 555"),
        (["我要 iPhone", "十五"], "我要 iPhone 十五"),
        (["", " hello ", "", "there "], "hello there"),
        (["я хочу", "чай"], "я хочу чай"),
        ([], ""),
    ],
)
def test_a_space_comes_where_the_script_has_some(texts: list[str], joined: str) -> None:
    assert join_texts(texts) == joined


@given(st.lists(st.text(max_size=8), max_size=5))
def test_nothing_but_spaces_is_added_or_lost(texts: list[str]) -> None:
    joined = join_texts(texts)
    assert "".join(joined.split()) == "".join("".join(texts).split())
    assert joined == joined.strip()
