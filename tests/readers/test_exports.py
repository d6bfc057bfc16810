"""Recordings in the formats of other programs, held against what those formats ask for."""

from __future__ import annotations

import io
import json
import re
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.golden_recordings import TRACES, golden_recording, made_recording
from workbench.model import events as ev
from workbench.model.errors import MissingError, UsageError, WorkbenchError
from workbench.readers.exports.audacity import label_track, write_audacity
from workbench.readers.exports.eot_bench import write_eot_bench
from workbench.readers.exports.otel import requests, write_otel
from workbench.readers.exports.otlp import HEADERS, send, traces_url
from workbench.readers.exports.perfetto import lanes, write_perfetto
from workbench.readers.exports.sound import write_wav
from workbench.readers.exports.webvtt import timestamp, write_webvtt
from workbench.trace.store import open_trace
from workbench.trace.trace import Trace

SCENES = sorted({path.name.split(".")[0] for path in TRACES.glob("*.events.jsonl")})
HOSTILE = '</v>\n\n00:00:01.000 --> 00:00:09.000\n<script>alert(1)</script> & \x1b[31m\u202e\t{{"a"}}'


def hostile(text: str = HOSTILE) -> list[tuple[float, ev.Event]]:
    """A turn in which every text is from somebody else."""
    return [
        (0.0, ev.SessionStarted(text, "2026-01-02T03:04:05Z", "scripted", text, {"llm": text}, {})),
        (100.0, ev.SpeechStarted(1, 1_600)),
        (900.0, ev.SpeechPaused(1, 14_400)),
        (950.0, ev.Transcribed(1, text, True, 14_400, provider=text)),
        (1000.0, ev.TurnDecided(1, 1, end_sample=14_400)),
        (1010.0, ev.ReplyStarted(1, 1, 1, text, False)),
        (1100.0, ev.Span("llm_first_token", 1000.0, 1100.0, 1, 1, 1, text)),
        (1150.0, ev.ToolCalled(1, 1, text, text, text)),
        (1160.0, ev.ToolStarted(1, 1, text, text)),
        (1200.0, ev.ToolReturned(1, 1, text, text, text, error=text, status="failed", took_ms=40.0)),
        (1300.0, ev.ReplyPlaying(1, 1, 31_200)),
        (1310.0, ev.Heard(1, 14_400, 900.0, 31_200, 1300.0)),
        (2000.0, ev.ReplyEnded(1, 1, "cut", text, text, 48_000)),
        (2010.0, ev.TurnEnded(1, "failed", text, text, stage="llm", reason=text, hint=text)),
    ]


def exported(write: Any, folder: Path, **more: Any) -> str:
    out = io.StringIO()
    write(open_trace(folder), out, **more)
    return out.getvalue()


# --- webvtt ----------------------------------------------------------------------------------------------------------

TIMES = re.compile(r"\d\d+:[0-5]\d:[0-5]\d\.\d{3} --> \d\d+:[0-5]\d:[0-5]\d\.\d{3}")


def test_webvtt_has_a_cue_for_each_stretch_of_speech(tmp_path: Path) -> None:
    blocks = exported(write_webvtt, golden_recording("interruption", tmp_path / "a")).split("\n\n")
    assert blocks[0] == "WEBVTT"
    assert [block.split("\n")[1] for block in blocks[1:]] == [
        "<v You>tell me something",
        "<v Agent>This is a …",
        "<v You>please stop now",
        "<v Agent>Very well.\n"[:-1],
    ]
    assert all(TIMES.fullmatch(block.split("\n")[0]) for block in blocks[1:])
    assert timestamp(3_723_004.4) == "01:02:03.004"
    assert timestamp(-5) == "00:00:00.000"


def test_hostile_words_stay_within_their_cue(tmp_path: Path) -> None:
    text = exported(write_webvtt, made_recording(tmp_path / "a", hostile()))
    cues = text.split("\n\n")[1:]
    assert len(cues) == 2
    for cue in cues:
        times, payload = cue.rstrip("\n").split("\n")
        assert TIMES.fullmatch(times)
        assert "-->" not in payload
        assert payload.count("<") == 1
        assert "\x1b" not in payload


# --- audacity --------------------------------------------------------------------------------------------------------


def test_audacity_gets_two_label_tracks_and_the_sound(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    write_audacity(open_trace(golden_recording("backchannel", tmp_path / "a")), folder)
    assert {path.name for path in folder.iterdir()} == {"user.txt", "agent.txt", "session.wav"}
    for name in ("user", "agent"):
        labels = [line.split("\t") for line in (folder / f"{name}.txt").read_text().splitlines()]
        assert len(labels) >= 2
        assert all(len(label) == 3 and float(label[0]) < float(label[1]) for label in labels)
    assert "[backchannel]" in (folder / "user.txt").read_text()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.text()), max_size=5))
def test_any_text_is_one_label(labels: list[tuple[float, float, str]]) -> None:
    lines = label_track(labels).split("\n")[:-1]
    assert len(lines) == len(labels)
    assert all(line.count("\t") == 2 for line in lines)


# --- sound -----------------------------------------------------------------------------------------------------------


def test_the_wav_has_both_sides_on_the_session_clock(tmp_path: Path) -> None:
    out = io.BytesIO()
    trace = open_trace(golden_recording("answer", tmp_path / "a"))
    write_wav(trace, out)
    out.seek(0)
    with wave.open(out) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 24_000, 2)
        assert file.getnframes() == round(trace.now() * 24)
        assert len(file.readframes(10**9)) == file.getnframes() * 4


def test_without_sound_there_is_no_wav(tmp_path: Path) -> None:
    trace = open_trace(golden_recording("typed", tmp_path / "a", sound_s=0.0))
    with pytest.raises(UsageError, match="no sound"):
        write_wav(trace, io.BytesIO())
    with pytest.raises(UsageError, match="not recorded"):
        write_eot_bench(trace, tmp_path)


# --- eot-bench -------------------------------------------------------------------------------------------------------


def rows(name: str, tmp_path: Path) -> list[dict[str, Any]]:
    folder = tmp_path / "rows"
    folder.mkdir()
    write_eot_bench(open_trace(golden_recording(name, tmp_path / "a")), folder)
    found = [json.loads(line) for line in (folder / "rows.jsonl").read_text("utf-8").splitlines()]
    for row in found:
        with wave.open(str(folder / row["audio"])) as file:
            length_s = file.getnframes() / file.getframerate()
        spans = row["silence_spans"]
        assert all(0 <= span["start"] < span["end"] <= length_s + 0.002 for span in spans)
        assert all(before["end"] <= after["start"] for before, after in pairwise(spans))
        assert all(word["start"] <= word["end"] for word in row["words"])
    return found


def test_a_pause_within_a_turn_is_no_end_of_it(tmp_path: Path) -> None:
    (row,) = rows("reopened", tmp_path)
    assert (row["id"], row["language"], row["messages"]) == ("golden-1", "en", [])
    assert [round(span["start"], 2) for span in row["silence_spans"]] == [1.17, 2.55]
    assert [word["word"] for word in row["words"]] == ["tell", "me", "something", "about", "the", "sea"]


def test_a_turn_comes_with_what_was_said_before_it(tmp_path: Path) -> None:
    first, second = rows("interruption", tmp_path)
    assert first["messages"] == []
    assert second["messages"] == [
        {"role": "user", "content": "tell me something"},
        {"role": "assistant", "content": "This is a"},
    ]


# --- perfetto --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENES)
def test_perfetto_shows_a_track_for_each_stage(name: str, tmp_path: Path) -> None:
    content = json.loads(exported(write_perfetto, golden_recording(name, tmp_path / "a", sound_s=0)))
    events = content["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    slices = [event for event in events if event["ph"] == "X"]
    assert all(isinstance(event["ts"], int) and event["dur"] >= 0 for event in slices)
    assert {event["ph"] for event in events} <= {"M", "X", "i", "C"}
    assert all(names[event["tid"]] == event["cat"] for event in slices)
    for thread in names:  # the viewer refuses slices of a track that overlap without one holding the other
        own = sorted((event["ts"], event["dur"]) for event in slices if event["tid"] == thread)
        assert all(ts + dur <= after + 1 for (ts, dur), (after, _) in pairwise(own))
    assert {"turns", "user"} <= set(names.values()) or name == "typed"


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5))))
def test_slices_of_a_lane_never_overlap(times: list[tuple[float, float]]) -> None:
    slices = [(min(pair), max(pair), "x", dict[str, Any]()) for pair in times]
    rows_of = lanes(slices)
    assert sum(map(len, rows_of)) == len(slices)
    assert all(before[1] <= after[0] for row in rows_of for before, after in pairwise(row))


# --- otel ------------------------------------------------------------------------------------------------------------


def spans_of(trace: Trace, *, content: bool = False) -> list[dict[str, Any]]:
    """The spans of a recording, which are what OpenTelemetry's own message has place for."""
    made = list(requests(trace, content=content))
    for request in made:
        ParseDict(request, ExportTraceServiceRequest())
    return [
        span
        for request in made
        for part in request["resourceSpans"]
        for scope in part["scopeSpans"]
        for span in scope["spans"]
    ]


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in span["attributes"]}


def test_a_turn_is_a_trace_by_the_conventions(tmp_path: Path) -> None:
    spans = spans_of(open_trace(golden_recording("tool", tmp_path / "a", sound_s=0)))
    root = spans[0]
    assert (root["name"], root["kind"]) == ("invoke_agent golden", 1)
    assert "parentSpanId" not in root
    assert all(re.fullmatch("[0-9a-f]{32}", span["traceId"]) for span in spans)
    assert all(re.fullmatch("[0-9a-f]{16}", span["spanId"]) for span in spans)
    assert len({span["spanId"] for span in spans}) == len(spans)
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in spans)
    by_name = {span["name"]: span for span in spans}
    chat = attributes(by_name["chat"])
    assert chat["gen_ai.operation.name"] == "chat"
    assert chat["gen_ai.provider.name"] == "scripted"
    assert int(chat["gen_ai.usage.input_tokens"]) > 0
    (name,) = (name for name in by_name if name.startswith("execute_tool "))
    assert attributes(by_name[name])["gen_ai.tool.name"] == name.split()[1]
    assert attributes(root)["workbench.heard_latency_ms"] > 0
    assert root["startTimeUnixNano"].startswith("17673")  # 2026-01-02, the wall clock of the recording


def test_what_was_said_is_in_spans_only_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = golden_recording("tool", tmp_path / "a", sound_s=0)
    said = [turn for turn in exported(write_otel, folder, content=True).split('"') if "gen_ai.input" in turn]
    assert said
    assert "gen_ai.input" not in exported(write_otel, folder)
    assert "gen_ai.tool.call.arguments" not in exported(write_otel, folder)
    root = spans_of(open_trace(folder), content=True)[0]
    (message,) = json.loads(attributes(root)["gen_ai.input.messages"])
    assert message["role"] == "user"
    assert message["parts"][0]["type"] == "text"
    assert exported(write_otel, folder) == exported(write_otel, folder)


def test_a_failed_turn_is_a_failed_span(tmp_path: Path) -> None:
    spans = spans_of(open_trace(golden_recording("failure", tmp_path / "a", sound_s=0)))
    failed = [span for span in spans if span.get("status", {}).get("code") == 2]
    assert failed
    assert all(attributes(span)["error.type"] for span in failed)


Answer = tuple[int, bytes]


@contextmanager
def collector(answer: Answer = (200, b"{}")) -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """A collector on loopback: its address, and what it was sent."""
    taken: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.path, dict(self.headers), body))
            self.send_response(answer[0])
            self.end_headers()
            self.wfile.write(answer[1])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", taken
        finally:
            server.shutdown()
            thread.join()


def test_spans_are_sent_to_a_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HEADERS, "x-key=a%20secret,x-other=1")
    trace = open_trace(golden_recording("interruption", tmp_path / "a", sound_s=0))
    with collector() as (address, taken):
        assert send(requests(trace), address) == len(spans_of(trace))
    ((path, headers, body),) = taken
    assert path == "/v1/traces"
    assert (headers["Content-Type"], headers["X-Key"]) == ("application/json", "a secret")
    assert json.loads(body) == next(requests(trace))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, b"no key"), "answered 401: no key"),
        ((500, b"\xff\x1b[31m"), "answered 500"),
        ((200, b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}'), "refused 3 of"),
    ],
)
def test_a_refusal_is_told_in_the_collectors_words(answer: Answer, words: str, tmp_path: Path) -> None:
    trace = open_trace(golden_recording("interruption", tmp_path / "a", sound_s=0))
    with collector(answer) as (address, _), pytest.raises(UsageError, match=re.escape(words)):
        send(requests(trace), address)


def test_a_collector_that_is_not_there_is_missing(tmp_path: Path) -> None:
    trace = open_trace(golden_recording("interruption", tmp_path / "a", sound_s=0))
    with collector() as (address, _):
        pass
    with pytest.raises(MissingError, match="does not answer"):
        send(requests(trace), address)


def test_an_address_is_completed_or_refused() -> None:
    assert traces_url("http://h:4318") == "http://h:4318/v1/traces"
    assert traces_url("https://h/api/otel/") == "https://h/api/otel/v1/traces"
    assert traces_url("https://h/v1/traces?x=1") == "https://h/v1/traces?x=1"
    for wrong in ("localhost:4318", "ftp://h", "file:///etc/passwd", "http://", ""):
        with pytest.raises(UsageError, match="no address"):
            traces_url(wrong)


# --- whatever a recording holds --------------------------------------------------------------------------------------

TEXT_EXPORTS = (write_webvtt, write_perfetto, write_otel)


@settings(max_examples=25)
@given(st.text() | st.just(HOSTILE))
def test_any_words_can_be_exported(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = made_recording(tmp_path_factory.mktemp("any") / "a", hostile(text), sound_s=0.1)
    for write in TEXT_EXPORTS:
        exported(write, folder)
    spans_of(open_trace(folder), content=True)
    out = tmp_path_factory.mktemp("out")
    write_eot_bench(open_trace(folder), out)
    assert len((out / "rows.jsonl").read_text("utf-8").split("\n")) == 2
    assert {path.name for path in (out / "audio").iterdir()} == {"turn-0001.wav"}


NUMBERS = ("1e999", "-1e999", "null", "1e300", "9" * 400, "-5", "true", '"x"', "[]")


@settings(max_examples=20)
@given(st.data())
def test_damaged_numbers_break_no_export(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = golden_recording("interruption", tmp_path_factory.mktemp("damaged") / "a", sound_s=0.1)
    lines = (folder / "events.jsonl").read_text().splitlines()
    for _ in range(3):
        at = data.draw(st.integers(0, len(lines) - 1))
        places = [*re.finditer(r"(?<=:)-?[0-9.]+(?=[,}])", lines[at])]
        place = data.draw(st.sampled_from(places))
        lines[at] = (
            lines[at][: place.start()] + data.draw(st.sampled_from(NUMBERS)) + lines[at][place.end() :]
        )
    cut = data.draw(st.integers(0, 200))
    (folder / "events.jsonl").write_text("\n".join(lines)[: -cut or None])
    for write in TEXT_EXPORTS:
        exported(write, folder)
    for write_folder in (write_audacity, write_eot_bench):
        out = tmp_path_factory.mktemp("out")
        try:
            write_folder(open_trace(folder), out)
        except WorkbenchError:
            pass
    write_wav(open_trace(folder), io.BytesIO())
