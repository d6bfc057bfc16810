"""Answers as servers really stream them: however they are cut, the same parts come out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.interfaces import LlmPart, Text
from workbench.model.conversation import ToolCall, Usage
from workbench.model.errors import EndedEarlyError, GarbageError, RefusedError, StageError
from workbench.providers.openai.errors import Endpoint
from workbench.providers.openai.stream import WORKING, AnswerStream

ENDPOINT = Endpoint("llm", "model", "http://127.0.0.1:1/v1", None, 5.0)
Delta = dict[str, Any]


def chunk(delta: Delta | None = None, finish: str | None = None, **more: Any) -> Delta:
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}


def call(
    index: int | None = None, identity: str | None = None, name: str | None = None, arguments: Any = None
) -> Delta:
    function = {"name": name, "arguments": arguments}
    fields = {
        "index": index,
        "id": identity,
        "function": {k: v for k, v in function.items() if v is not None},
    }
    return {key: value for key, value in fields.items() if value is not None}


def read(chunks: list[Any], **end: Any) -> tuple[str, list[ToolCall], Usage | None]:
    """The text, the calls and the usage of an answer."""
    answer = AnswerStream(ENDPOINT)
    parts: list[LlmPart] = [part for piece in chunks for part in answer.read(piece)]
    parts += answer.end("text/event-stream", **end)
    text = "".join(part.text for part in parts if isinstance(part, Text))
    usage = [part for part in parts if isinstance(part, Usage)]
    return text, [part for part in parts if isinstance(part, ToolCall)], usage[0] if usage else None


def calls(*deltas: Delta | list[Delta], finish: bool = True) -> list[tuple[str, Any]]:
    """Name and arguments of each call that comes of these deltas, a chunk each."""
    chunks = [chunk({"tool_calls": delta if isinstance(delta, list) else [delta]}) for delta in deltas]
    _, found, _ = read([*chunks, *[chunk({}, "tool_calls")] * finish])
    assert len({made.id for made in found}) == len(found)
    return [(made.name, json.loads(made.arguments)) for made in found]


OIL, BREAD = ("price", {"item": "oil"}), ("price", {"item": "bread"})


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([call(0, "a", "price", '{"item"'), call(0, "a", "price", ':"oil"}')], [OIL]),
        ([call(0, "a", "price", ""), call(0, "b", None, '{"item":"oil"}')], [OIL]),
        ([call(0, "", "price", '{"item":"oil"}'), call(0, "", "price", '{"item":"bread"}')], [OIL, BREAD]),
        ([[call(None, None, "price", '{"item":"oil"}'), call(None, None, "price", '{"item":"bread"}')]], [OIL, BREAD]),
        ([call(0, "a", "price", {"item": "oil"})], [OIL]),
        ([call(0, "x", "price", '{"item":"oil"}'), call(1, "x", "price", '{"item":"bread"}')], [OIL, BREAD]),
        ([call(0, "a", "price"), call(1, "b", "price"), call(0, None, None, '{"item":"oil"}'),
          call(1, None, None, '{"item":"bread"}')], [OIL, BREAD]),
        ([call(0, "a", "hours", None)], [("hours", {})]),
        ([call(0, "a", "hours", "null")], [("hours", {})]),
        ([call(0, "a", "hours", ""), call(0, "b", "hours", "")], [("hours", {}), ("hours", {})]),
        ([call(0, "a", "pri", ""), call(0, None, "ce", ""), call(0, None, None, '{"item":"oil"}')], [OIL]),
        ([call(None, "a", "price", '{"item":'), call(None, None, None, '"oil"}')], [OIL]),
    ],
)  # fmt: skip
def test_calls_are_put_together(deltas: list[Any], expected: list[Any]) -> None:
    assert calls(*deltas) == expected


def test_a_finish_reason_for_each_call_ends_none_of_the_others() -> None:
    chunks = [
        chunk({"tool_calls": [call(0, "a", "price", '{"item":"oil"}')]}, "tool_calls"),
        chunk({"tool_calls": [call(1, "b", "price", '{"item":"bread"}')]}, "tool_calls"),
    ]
    assert [made.arguments for made in read(chunks)[1]] == ['{"item":"oil"}', '{"item":"bread"}']


def test_a_legacy_function_call_is_a_call() -> None:
    pieces = [{"name": "price", "arguments": ""}, {"arguments": '{"item":'}, {"arguments": '"oil"}'}]
    _, found, _ = read([*(chunk({"function_call": piece}) for piece in pieces), chunk({}, "function_call")])
    assert [(made.name, json.loads(made.arguments)) for made in found] == [OIL]


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (["Hello ", "there."], "Hello there."),
        ([[{"type": "thinking", "thinking": "Hm."}], [{"type": "text", "text": "Hello."}]], "Hello."),
        ([{"type": "text", "text": "Hello."}], "Hello."),
        ([None, "", "Hello."], "Hello."),
        (["<think>", "They greet. ", "</think>\n\n", "Hello."], "Hello."),
        (["<th", "ink>a < b</thi", "nk>Hello, 3 < 4."], "Hello, 3 < 4."),
        (["<think>\n</think>\nHello."], "Hello."),
        (["I think <b>so</b>."], "I think <b>so</b>."),
        (["Hello.</think>"], "Hello."),
    ],
)
def test_what_is_spoken_of_contents(contents: list[Any], text: str) -> None:
    assert read([*(chunk({"content": content}) for content in contents), chunk({}, "stop")])[0] == text


def test_refusals_are_spoken_and_thinking_counts_as_work() -> None:
    assert read([chunk({"refusal": "I may not."}), chunk({}, "stop")])[0] == "I may not."
    answer = AnswerStream(ENDPOINT)
    for field in ("reasoning_content", "reasoning"):
        assert answer.read(chunk({field: "Hm."})) == [WORKING]
    assert answer.read(chunk({"tool_calls": [call(0, "a", "note", '{"te')]})) == [WORKING]
    assert answer.read(chunk({"role": "assistant", "content": ""})) == []


def test_usage_comes_wherever_it_stands() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": None}
    for last in ({"choices": [], "usage": usage}, {"choices": None, "usage": usage}, {"usage": usage}):
        assert read([chunk({"content": "Hi"}), chunk({}, "stop"), last])[2] == Usage(3, 0)


def test_an_answer_of_nothing_is_an_error_but_not_after_words_before_a_tool() -> None:
    nothing = [chunk({"role": "assistant", "content": ""}), chunk({}, "stop")]
    with pytest.raises(EndedEarlyError, match="neither words nor a call"):
        read(nothing)
    with pytest.raises(EndedEarlyError, match="neither words nor a call"):
        read([chunk({"content": "<think>Hm."}), chunk({}, "stop")])
    with pytest.raises(EndedEarlyError, match="limit of tokens"):
        read([chunk({"reasoning_content": "Hm."}), chunk({}, "length")])
    assert read(nothing, may_be_empty=True) == ("", [], None)


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "out of memory", "code": 500}},
        {"error": "out of memory"},
        {"object": "error", "message": "out of memory"},
        {"detail": "out of memory"},
    ],
)
def test_an_error_within_the_stream_is_repeated(error: Delta) -> None:
    with pytest.raises(StageError, match="out of memory"):
        read([chunk({"content": "Hi"}), error])


@pytest.mark.parametrize(
    "nonsense", [5, "text", [], {"choices": 3}, {"choices": [{"delta": 7}]}, {"choices": ["x"]}]
)
def test_what_is_no_chunk_is_called_so(nonsense: Any) -> None:
    with pytest.raises(GarbageError, match="no chunk of an answer"):
        read([nonsense])


def test_the_content_filter_is_a_refusal() -> None:
    with pytest.raises(RefusedError, match="content filter"):
        read([chunk({"content": "Hi"}), chunk({}, "content_filter")])


def test_a_made_up_id_is_that_of_no_other_call() -> None:
    deltas = [call(0, "call_1", "price", '{"item":"oil"}'), call(1, None, "price", '{"item":"bread"}')]
    assert calls(*deltas) == [OIL, BREAD]


def test_an_empty_delta_beside_the_whole_message_says_nothing_twice() -> None:
    last = {"choices": [{"delta": {}, "message": {"content": "Hello"}, "finish_reason": "stop"}]}
    assert read([chunk({"content": "Hello"}), last])[0] == "Hello"


def test_a_bad_bill_loses_no_answer() -> None:
    usages = [[1], {"prompt_tokens": "x"}, {"prompt_tokens": float("inf")}]
    assert [read([chunk({"content": "Hi"}, "stop", usage=usage)])[0] for usage in usages] == ["Hi"] * 3


def test_arguments_that_are_too_deep_are_no_reason_to_fall_over() -> None:
    deep = "[" * 100_000
    assert (
        read([chunk({"tool_calls": [call(0, "a", "note", deep)]}), chunk({}, "stop")])[1][0].arguments == deep
    )


# --- any answer, cut in any way --------------------------------------------------------------------------------------

WORDS = st.text("ab <>/think\n.é😀", max_size=30)
NAMES = st.sampled_from(["price", "hours", "book_table"])
VALUES = st.dictionaries(st.sampled_from(["item", "count"]), st.integers() | st.text(max_size=8), max_size=2)
CALLS = st.lists(st.tuples(NAMES, VALUES), max_size=3)


def cuts(text: str, data: st.DataObject) -> list[str]:
    """The text in pieces."""
    at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    return [text[start:stop] for start, stop in zip([0, *at], [*at, len(text)], strict=True)]


def argument_pieces(arguments: dict[str, Any], data: st.DataObject) -> list[str]:
    """The arguments in pieces; only the first may be empty: two of them with a new id each are two calls."""
    pieces = [piece for piece in cuts(json.dumps(arguments), data) if piece]
    return ["", *pieces] if data.draw(st.booleans()) else pieces


@settings(max_examples=2_500, deadline=None)
@given(words=WORDS, made=CALLS, data=st.data())
def test_any_answer_cut_in_any_way_gives_the_same_parts(
    words: str, made: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    whole = [chunk({"content": words})]
    whole += [
        chunk({"tool_calls": [call(at, f"c{at}", name, json.dumps(given_))]})
        for at, (name, given_) in enumerate(made)
    ]
    as_parts = data.draw(st.booleans())
    pieces: list[Delta] = []
    for piece in cuts(words, data):
        pieces.append(chunk({"content": [{"type": "text", "text": piece}] if as_parts else piece}))
        if data.draw(st.booleans()):
            pieces.append(
                data.draw(st.sampled_from([chunk({"reasoning_content": "Hm."}), chunk(), {"choices": []}]))
            )
    repeats, new_ids, indexed = (data.draw(st.booleans()) for _ in range(3))
    for at, (name, arguments) in enumerate(made):
        for number, piece in enumerate(argument_pieces(arguments, data)):
            first = number == 0
            identity = f"c{at}" if first else f"other{number}" if new_ids and indexed else None
            pieces.append(
                chunk(
                    {
                        "tool_calls": [
                            call(at if indexed else None, identity, name if first or repeats else None, piece)
                        ]
                    }
                )
            )
    ends = [chunk({}, "stop"), {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}]
    assert read(pieces + ends, may_be_empty=True) == read(whole + ends, may_be_empty=True)
