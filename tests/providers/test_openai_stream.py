"""Answers as servers really stream them: however they are cut, the same parts come out."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.interfaces import ALIVE, LlmPart, Progress, Retraction, Text
from workbench.model.conversation import ToolCall, Usage
from workbench.model.errors import (
    BusyError,
    EmptyAnswerError,
    GarbageError,
    RefusedError,
    StageError,
)
from workbench.providers.openai.errors import Endpoint
from workbench.providers.openai.stream import AnswerStream
from workbench.providers.openai.wire import EventReader

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


def parts_of(chunks: list[Any], *, opens_in_thought: bool = False, **end: Any) -> list[LlmPart]:
    """The parts of an answer."""
    answer = AnswerStream(ENDPOINT, opens_in_thought=opens_in_thought)
    parts: list[LlmPart] = [part for piece in chunks for part in answer.read(piece)]
    return parts + answer.end("text/event-stream", **end)


def read(chunks: list[Any], **how: Any) -> tuple[str, list[ToolCall], Usage | None]:
    """The text, the calls and the usage of an answer."""
    text, parts = "", parts_of(chunks, **how)
    for part in parts:
        text = "" if isinstance(part, Retraction) else text + part.text if isinstance(part, Text) else text
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
        ([call(0, "a", "price", "{}"), call(0, "a", "price", '{"item":"oil"}')], [OIL]),
        ([call(0, "a", "price", "null"), call(0, "a", None, '{"item":"oil"}')], [OIL]),
        ([call(0, "a", "price", '{"item":"oil"}'), call(0, "a", "price", '{"item":"oil"}')], [OIL]),
        ([call(0, "a", "price", '{"item":"oil"}'), call(0, None, None, '{"item":"oil"}')], [OIL]),
        ([call(0, "a", "price", '{"item":"oil"}'), call(0, None, None, "")], [OIL]),
        ([call(0, "a", "price", '{"item":'), call(1, "a", None, '"oil"}')], [OIL]),
        ([call(0, "a", "price", '{"item":'), call(3, None, None, '"oil"}')], [OIL]),
        ([call(0, "a", "pri"), call(0, "a", "price", '{"item":"oil"}')], [OIL]),
        ([call(0, "a", None, '{"item":'), call(0, "a", "price", '"oil"}')], [OIL]),
        ([call(0, "a", "price", {"item": "oil"}), call(1, "b", "price", {"item": "bread"})], [OIL, BREAD]),
        ([call(0, "a", "hours", {}), call(0, "b", "hours", {})], [("hours", {}), ("hours", {})]),
        ([call(0, "a", "hours", "{}"), call(0, "b", "price", '{"item":"oil"}')], [("hours", {}), OIL]),
        ([call(None, "a", "price", '{"item"'), call(None, "b", "price", '{"item"'), call(None, "a", None, ':"oil"}'),
          call(None, "b", None, ':"bread"}')], [OIL, BREAD]),
        ([[], call(0, "a", "price", '{"item":"oil"}'), [{}], {"index": 1, "function": {}}], [OIL]),
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


def test_calls_without_arguments_and_ids_are_told_apart_by_their_finish_reasons() -> None:
    one = chunk({"tool_calls": [call(0, None, "hours", "")]}, "tool_calls")
    assert [made.arguments for made in read([one, one])[1]] == ["{}", "{}"]
    assert [
        made.arguments for made in read([chunk({"tool_calls": [call(0, "a", "hours", [])]}, "stop")])[1]
    ] == ["{}"]


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
        (["They greet.</think>\n\n", "Hello."], "Hello."),
        (["They greet.\n</think>Hello."], "Hello."),
        (["Use the `<think>` tag", " to think."], "Use the `<think>` tag to think."),
        (["Use the <think> tag and </think> to end."], "Use the <think> tag and </think> to end."),
        (['It ends with "</think>" then.'], 'It ends with "</think>" then.'),
        (["```\n<think>a</think>\n``` is code."], "```\n<think>a</think>\n``` is code."),
        (["Sure. <think>Hm.</think>Seven."], "Sure. Seven."),
        (["Sure.\n<think>", "It opens.", " And so on."], "Sure.\n<think>It opens. And so on."),
        (["<think>a `</think>` b</think>", "Hello."], "Hello."),
        (["<think>a</think>", "\n<think>b</think>Hello."], "Hello."),
        (["<THINKING>a</THINKING>Hello."], "Hello."),
        (["<reasoning>a", "</reasoning> Hello."], "Hello."),
        (["◁think▷a◁/th", "ink▷Hello."], "Hello."),
        (["[THI", "NK]a[/THINK]Hello [THIS]."], "Hello [THIS]."),
        (["<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>", "final<|mess",
          "age|>Hello.<|return|>"],
         "Hello."),
        (["<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>Hello.<|END_RESPONSE|>"], "Hello."),
        (["Hello.", "<|im_end|>"], "Hello."),
    ],
)  # fmt: skip
def test_what_is_spoken_of_contents(contents: list[Any], text: str) -> None:
    assert read([*(chunk({"content": content}) for content in contents), chunk({}, "stop")])[0] == text


def test_a_tag_that_the_template_has_opened_is_closed_once() -> None:
    chunks = [chunk({"content": text}) for text in ("They greet.", "\n</th", "ink>\n\nHel", "lo.")]
    assert read([*chunks, chunk({}, "stop")], opens_in_thought=True)[0] == "Hello."
    assert read([chunk({"content": "Hello."}), chunk({}, "stop")], opens_in_thought=True)[0] == "Hello."
    answer = AnswerStream(ENDPOINT, opens_in_thought=True)
    answer.read(chunk({"reasoning": "Hm."}))
    assert answer.read(chunk({"content": "Hello."})) == [Text("Hello.")]


def test_text_comes_before_the_call_that_follows_it() -> None:
    chunks = [chunk({"content": "1 <"}), chunk({"tool_calls": [call(0, "a", "hours", "{}")]}, "tool_calls")]
    kinds = [type(part) for part in parts_of(chunks) if not isinstance(part, Progress)]
    assert kinds == [Text, Text, ToolCall]


def test_arguments_after_the_finish_reason_are_arguments() -> None:
    deltas = [call(0, "a", "price", ""), call(0, None, None, '{"item":"oil"}')]
    chunks = [chunk({"tool_calls": [deltas[0]]}, "tool_calls"), chunk({"tool_calls": [deltas[1]]})]
    assert [made.arguments for made in read(chunks)[1]] == ['{"item":"oil"}']


def test_the_whole_message_behind_its_stream_says_nothing_twice() -> None:
    whole = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
    assert read([chunk({"content": "Hello"}), whole])[0] == "Hello"
    assert read([whole])[0] == "Hello"


def test_refusals_are_spoken_and_thinking_counts_as_work() -> None:
    assert read([chunk({"refusal": "I may not."}), chunk({}, "stop")])[0] == "I may not."
    answer = AnswerStream(ENDPOINT)
    for field in ("reasoning_content", "reasoning", "thinking"):
        assert answer.read(chunk({field: "Hm."})) == [Progress("thinking", "Hm.")]
    assert answer.read(chunk({"reasoning": "A", "reasoning_details": [{"text": "A"}]})) == [
        Progress("thinking", "A")
    ]
    assert answer.read(
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "B"}]}]})
    ) == [Progress("thinking", "B")]
    assert answer.read(chunk({"tool_calls": [call(0, "a", "note", '{"te')]})) == [
        Progress("arguments", '{"te')
    ]
    bare: Delta
    for bare in (chunk({"role": "assistant", "content": ""}), {"choices": []}, {"choices": [None]}, {}):
        assert answer.read(bare) == [ALIVE]


def test_usage_comes_wherever_it_stands() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": None}
    for last in ({"choices": [], "usage": usage}, {"choices": None, "usage": usage}, {"usage": usage}):
        assert read([chunk({"content": "Hi"}), chunk({}, "stop"), last])[2] == Usage(3, 0)


def test_an_answer_of_nothing_is_an_error_but_not_after_words_before_a_tool() -> None:
    nothing: list[Any] = [chunk({"role": "assistant", "content": ""}), chunk({}, "stop")]
    blank = [chunk({"content": " \n"}), chunk({"tool_calls": []}), chunk({}, "stop")]
    for empty in (nothing, blank, [chunk({"tool_calls": [{}]}), chunk({}, "tool_calls")]):
        with pytest.raises(EmptyAnswerError, match="neither words nor a call –"):
            read(empty)
    with pytest.raises(EmptyAnswerError, match="though it was thinking –"):
        read([chunk({"content": "<think>Hm."}), chunk({}, "stop")])
    with pytest.raises(EmptyAnswerError, match="thinking \\(it reached its limit of tokens"):
        read([chunk({"reasoning_content": "Hm."}), chunk({}, "length")])
    assert read(nothing, may_be_empty=True) == ("", [], None)


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "out of memory", "code": 500}},
        {"error": "out of memory"},
        {"object": "error", "message": "out of memory"},
        {"detail": "out of memory"},
        {"error": {"error": {"message": "out of memory"}}},
        chunk({}, "error", error={"code": 502, "message": "out of memory"}),
        {"choices": [{"delta": {}, "error": {"message": "out of memory"}}]},
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


def test_an_error_within_the_stream_keeps_its_code() -> None:
    with pytest.raises(BusyError, match="overloaded"):
        read([{"error": {"message": "overloaded", "code": "503"}}])
    with pytest.raises(StageError, match="ended with an error"):
        read([chunk({}, "error")])


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


# --- the bytes -------------------------------------------------------------------------------------------------------

HI = chunk({"content": "Hi\u2028\x85 there, é"})


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\n", "\r\r", "\n\n\n"])
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_events_are_read_however_they_are_divided(end: str, size: int) -> None:
    text = json.dumps(HI, ensure_ascii=False)
    lines = [
        "\ufeff: ping",
        "event: message",
        f"data:{text}",
        f"id: 1{end[:1]}data: {text}",
        "data: [DONE]",
        "data: 5",
    ]
    data, reader = "".join(line + end for line in lines).encode(), EventReader()
    values = [value for at in range(0, len(data), size) for value in reader.feed(data[at : at + size])]
    assert [value for value in values if value is not None] == [HI, HI]
    assert reader.done
    assert values[0] is None, "a comment is a sign of life"


def test_an_answer_of_json_and_one_of_lines_of_json_are_read() -> None:
    for text in (json.dumps(HI, indent=2), json.dumps(HI), f"{json.dumps(HI)}\n{json.dumps(HI)}\n"):
        reader = EventReader()
        values = [value for value in [*reader.feed(text.encode()), *reader.flush()] if value is not None]
        assert values
        assert all(value == HI for value in values)


def test_what_is_no_json_is_kept_to_be_shown() -> None:
    reader = EventReader()
    assert not any([*reader.feed(b"data: {oops\n\n"), *reader.feed(b"event: error\ndata: out of memory\n\n")])
    assert reader.odd == "{oops"


# --- any answer, cut in any way --------------------------------------------------------------------------------------

TAGS = [
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "`",
    "<thi",
    "<|end|>",
    "\n",
    ". ",
    "Hm",
    "a < b ",
    "é😀",
    "[",
    "/",
]
ITEMS: list[dict[str, Any]] = [{"item": "oil", "count": 2}, {"item": 'e\n"x" {}'}, {"n": 1}, {}]


class Choices:
    """Choices out of a number."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number).random

    def __call__(self, count: int = 2) -> int:
        return int(self._random() * count)

    def cuts(self, text: str) -> list[str]:
        """The text in pieces."""
        at = sorted(self(len(text) + 1) for _ in range(self(6)))
        return [text[start:stop] for start, stop in zip([0, *at], [*at, len(text)], strict=True)]


def in_pieces(words: str, made: list[tuple[str, dict[str, Any]]], choose: Choices) -> list[Delta]:
    """An answer as a server may send it: cut anywhere, and in one of the ways in which servers write calls."""
    as_parts, indexed, repeats, new_ids, at_once, each_ends, as_object = (bool(choose()) for _ in range(7))
    indexed = indexed or new_ids
    chunks: list[Delta] = []
    for piece in choose.cuts(words):
        chunks.append(chunk({"content": [{"type": "text", "text": piece}] if as_parts else piece}))
        chunks += [
            [],
            [chunk({"reasoning_content": "Hm."})],
            [chunk()],
            [{"choices": []}],
            [{"choices": None}],
        ][choose(5)]
    for at, (name, arguments) in enumerate(made):
        text = json.dumps(arguments)
        pieces: list[Any] = [piece for piece in choose.cuts(text) if piece]
        pieces = [arguments] if as_object else [text] if at_once else ["", *pieces] if choose() else pieces
        for number, piece in enumerate(pieces):
            identity = (
                f"c{at}" if number == 0 else f"x{at}{number}" if new_ids else f"c{at}" if repeats else None
            )
            named = name if number == 0 or repeats else None
            chunks.append(chunk({"tool_calls": [call(at if indexed else None, identity, named, piece)]}))
        if each_ends:
            chunks.append(chunk({}, "tool_calls"))
    return chunks


@settings(max_examples=10_000, deadline=None)
@given(st.integers(0, 2**64))
def test_any_answer_cut_in_any_way_gives_the_same_parts(seed: int) -> None:
    """All choices are made from one number: drawing each would take most of the time."""
    choose = Choices(seed)
    words = "".join(TAGS[choose(len(TAGS))] for _ in range(choose(9)))
    made = [(["price", "hours"][choose()], ITEMS[choose(len(ITEMS))]) for _ in range(choose(4))]
    calls_of = [call(at, f"c{at}", name, json.dumps(items)) for at, (name, items) in enumerate(made)]
    whole = [chunk({"content": words}), *(chunk({"tool_calls": [made_]}) for made_ in calls_of)]
    ends = [chunk({}, "stop"), {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}]
    pieces = in_pieces(words, made, choose)
    assert read(pieces + ends, may_be_empty=True) == read(whole + ends, may_be_empty=True)
