"""What colour each part of a waterfall has, wherever it is drawn: on light ground, and on dark."""

from __future__ import annotations

LIGHT = {
    "endpointing": "#8a919c",
    "stt": "#2f7cc9",
    "llm_first_token": "#7353c4",
    "first_chunk": "#9279d6",
    "tools": "#b0508c",
    "tts_first_byte": "#2f8d58",
    "leading_silence": "#5aa67b",
    "floor": "#a97a17",
    "playback_buffer": "#c07a52",
    "output_buffer": "#a2633a",
    "network_in": "#2b8a94",
    "jitter_buffer": "#4f9aa3",
    "network_out": "#2b8a94",
    "unexplained": "#c93a44",
}
DARK = {
    "endpointing": "#7b8699",
    "stt": "#7cb7ff",
    "llm_first_token": "#b9a2f2",
    "first_chunk": "#9683d6",
    "tools": "#e0a0c8",
    "tts_first_byte": "#8ccfa8",
    "leading_silence": "#5fa583",
    "floor": "#d4b26a",
    "playback_buffer": "#dba582",
    "output_buffer": "#c58f6d",
    "network_in": "#6fc3cc",
    "jitter_buffer": "#8fcfd6",
    "network_out": "#6fc3cc",
    "unexplained": "#ee7f86",
}
USER, AGENT = "#1862ae", "#1f7446"
"""Of the two sides, on light ground."""
INK, QUIET, PAPER, LINE = "#262b33", "#667080", "#faf9f6", "#cfcdc6"


def label(part: str) -> str:
    """A part's name for people: `llm_first_token` → `LLM first token`."""
    words = part.replace("_", " ")
    return words.replace("tts", "TTS").replace("stt", "STT").replace("llm", "LLM")
