"""A recording as JSON trace events, which ui.perfetto.dev and chrome://tracing show: a track for each stage.

Slices of a track never overlap there: what ran at the same time (a reply that was thrown away, say) is a second track
of the same name.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from workbench.model import events as ev
from workbench.model.events import Entry, type_name
from workbench.model.text import plain
from workbench.readers import plausible_entries
from workbench.readers.folds.log import FREQUENT, log_line
from workbench.readers.folds.voices import VoicesFold
from workbench.readers.timeline import Timeline, Turn
from workbench.trace.trace import Trace

TRACKS = ("turns", "user", "agent", "endpointing", "stt", "llm", "tools", "tts", "sink", "network", "host")
"""In the order in which they are shown."""
TRACK_OF: dict[str, str] = {
    "endpointing": "endpointing",
    "cpu_wait": "host",
    "stt": "stt",
    "llm_first_token": "llm",
    "first_chunk": "llm",
    "tools": "tools",
    "tts_first_byte": "tts",
    "leading_silence": "sink",
    "floor": "sink",
    "playback_buffer": "sink",
    "output_buffer": "sink",
    "network_out": "network",
    "network_in": "network",
    "jitter_buffer": "network",
}
PROCESS = 1
TEXT_CHARS = 1000
Slice = tuple[float, float, str, dict[str, Any]]
"""Start and end, ms; name; what is shown where it is clicked."""


def write_perfetto(trace: Trace, out: TextIO) -> None:
    """Write `{"traceEvents": […]}` with times in µs of the session's clock."""
    slices: defaultdict[str, list[Slice]] = defaultdict(list)
    said, timeline = VoicesFold(), Timeline(keep=None)
    out.write('{"displayTimeUnit":"ms","traceEvents":[\n')
    out.write(_line(_metadata("process_name", 0, name="workbench session")))
    out.write(",\n" + _line(_metadata("thread_name", 0, name="events")))
    for entry in plausible_entries(trace):
        said.feed(entry)
        timeline.feed(entry)
        _collect(entry, slices)
        for event in _moments(entry):
            out.write(",\n" + _line(event))
    _collect_speech(said, slices)
    _collect_turns({turn.turn: turn for turn in timeline.turns}, said, slices)
    thread = 0
    for order, track in enumerate(TRACKS):
        for lane in lanes(slices[track]):
            thread += 1
            out.write(",\n" + _line(_metadata("thread_name", thread, name=track)))
            out.write(",\n" + _line(_metadata("thread_sort_index", thread, sort_index=order)))
            for item in lane:
                out.write(",\n" + _line(_complete(item, track, thread)))
    out.write("\n]}\n")


def lanes(slices: list[Slice]) -> list[list[Slice]]:
    """Return them sorted, in as few rows as they fit into without overlapping."""
    rows: list[list[Slice]] = []
    for item in sorted(slices, key=lambda item: item[:2]):
        for row in rows:
            if row[-1][1] <= item[0]:
                row.append(item)
                break
        else:
            rows.append([item])
    return rows


def _collect(entry: Entry, slices: Mapping[str, list[Slice]]) -> None:
    match entry.event:
        case ev.Span(part=part, start_ms=start, end_ms=end) as span if end >= start:
            about: dict[str, Any] = {"reply": span.reply, "utterance": span.utterance, "turn": span.turn}
            name = f"{part} {span.provider}".strip()
            slices[TRACK_OF[part]].append((start, end, name, {**about, "provider": span.provider}))
        case ev.ToolReturned(name=name, took_ms=took) as call:
            about = {"turn": call.turn, "call": call.call, "status": call.status, "error": call.error}
            slices["tools"].append((max(0.0, entry.t_ms - took), entry.t_ms, name, about))


def _collect_speech(said: VoicesFold, slices: Mapping[str, list[Slice]]) -> None:
    for utterance in said.user:
        about = {"utterance": utterance.utterance, "turn": utterance.turn, "dismissed": utterance.dismissed}
        name = utterance.text or utterance.dismissed or "speech"
        slices["user"].extend((start, end, name, about) for start, end in utterance.segments)
    for reply in said.agent:
        about = {"reply": reply.reply, "turn": reply.turn, "status": reply.status, "not heard": reply.unheard}
        slices["agent"].extend((start, end, reply.heard or "…", about) for start, end in reply.segments)


def _collect_turns(turns: Mapping[int, Turn], said: VoicesFold, slices: Mapping[str, list[Slice]]) -> None:
    for number, turn in turns.items():
        if (moment := said.moments.of(number)) is None:
            continue
        about = {
            "status": turn.status,
            "heard_latency_ms": turn.heard_latency_ms,
            "cold": turn.cold,
            "discarded_replies": turn.discarded_replies,
            "user": turn.user_text,
            "agent": turn.agent_text,
        }
        slices["turns"].append((moment.start_ms, moment.end_ms, f"turn {number}", about))


def _moments(entry: Entry) -> Iterator[dict[str, Any]]:
    """Yield what has no length: levels as counters, and everything else that is worth a mark."""
    at = {"ts": _us(entry.t_ms), "pid": PROCESS}
    match entry.event:
        case ev.Levels(track=track, rms_db=level):
            yield {"ph": "C", "name": f"level of {track}, dBFS", "args": {"dBFS": level}, **at}
        case ev.VadBatch(probabilities=probabilities) if probabilities:
            yield {"ph": "C", "name": "speech probability", "args": {"p": max(probabilities)}, **at}
        case ev.HostLag(max_ms=lag):
            yield {"ph": "C", "name": "loop woke late, ms", "args": {"ms": lag}, **at}
        case ev.Span() | ev.ReplyText() | ev.Transcribed() | ev.ReplyProgress():
            pass
        case event if not isinstance(event, FREQUENT):
            about = {"event": log_line(entry)}
            yield {
                "ph": "i",
                "s": "t",
                "name": type_name(type(event)),
                "cat": "event",
                "tid": 0,
                "args": about,
                **at,
            }


def _complete(item: Slice, track: str, thread: int) -> dict[str, Any]:
    start, end, name, about = item
    args = {key: _safe(value) for key, value in about.items() if value not in (None, "")}
    place = {"ts": _us(start), "dur": max(0, _us(end) - _us(start)), "pid": PROCESS, "tid": thread}
    return {"ph": "X", "name": _safe(name), "cat": track, "args": args, **place}


def _metadata(kind: str, thread: int, **args: Any) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": PROCESS, "tid": thread, "args": args}


def _safe(value: Any) -> Any:
    return plain(value, TEXT_CHARS, one_line=True) if isinstance(value, str) else value


def _us(ms: float) -> int:
    return round(ms * 1000)


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
