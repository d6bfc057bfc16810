"""The same users held against Pipecat and LiveKit Agents: who cuts in, who talks over whom, how soon they answer.

    python -m bench frameworks [--venvs FOLDER] [--only pipecat]

Three readings of 44 s with pauses of 0.4 to 1 s, and 20 sentences with a pause inside, each followed by time to answer;
an STT that is final with the last word of a phrase, a language model of 300 ms with a voice of 150 ms, and both at
once. Everything else is each framework's default. Ours runs under the virtual clock, theirs in real time (12 minutes
each), in environments of their own, which pip makes in FOLDER (kept there) or in a temporary one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench._detectors import default_detector
from bench._dialogue import ANSWER, AT_ONCE, FAR_AWAY, Delays, dialogue, voiced_spans_ms
from bench._figures import run, tell
from bench._readings import paused_sentences, readings
from bench._talkover import Conversation, Talkover, sounds
from workbench.model.audio import INPUT_RATE, OUTPUT_RATE
from workbench.model.errors import MissingError
from workbench.simulation.clock import run_virtual
from workbench.simulation.scripted import ScriptedTts
from workbench.simulation.synthesis import Score, write_wav
from workbench.trace.wav import RecordedTrack

THEIRS = {
    "pipecat": ("pipecat-ai[silero]==1.14.0",),
    "livekit": ("livekit-agents==1.8.9", "livekit-plugins-silero==1.8.9"),
}
SPEEDS = {"models of 450 ms": FAR_AWAY, "models that answer at once": AT_ONCE}
PER_MS = INPUT_RATE / 1000
HERE = Path(__file__).parent

Material = tuple[Score, list[tuple[int, int]]]


def environment(name: str, folder: Path) -> Path:
    """Return the interpreter of a framework's environment, made where there is none. MissingError without an index."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        for command in (
            [sys.executable, "-m", "venv", str(folder / name)],
            [str(python), "-m", "pip", "install", "-q", *THEIRS[name]],
        ):
            if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
                reason = f"{' and '.join(THEIRS[name])} could not be installed"
                raise MissingError(reason, "is the package index within reach? remove the half-made folder")
    return python


def theirs(name: str, python: Path, material: Material, delays: Delays, folder: Path) -> Conversation:
    """Hold a conversation with a framework in real time."""
    score, turns = material
    job = {
        "user": str(write_wav(folder / "user.wav", score.samples())),
        "reply": str(write_wav(folder / "reply.wav", ScriptedTts().sound(ANSWER), OUTPUT_RATE)),
        "phrases": [[[w.text, w.end / INPUT_RATE] for w in said.words()] for said in score.spoken],
        "answer": ANSWER,
        "llm_s": delays.llm / 1000,
        "tts_s": delays.tts / 1000,
        "played": str(folder / "played.wav"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [python, HERE / f"_their_{name}.py", folder / "job.json"],
        capture_output=True,
        text=True,
        timeout=score.seconds + 120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr[-1500:]}")
    played = RecordedTrack(folder / "played.wav", "agent", OUTPUT_RATE)
    return Conversation(
        [(onset / PER_MS, end / PER_MS) for onset, end in turns],
        voiced_spans_ms(score),
        sounds(played.read(0, played.end), OUTPUT_RATE),
        name,
    )


def ours(material: Material, delays: Delays) -> Conversation:
    """Hold it with the engine, under the virtual clock."""
    conversation, _ = run_virtual(dialogue(*material, delays, "ours", default_detector()))
    return conversation


def compared(names: Sequence[str], venvs: Path, folder: Path) -> dict[str, Any]:
    """Return the figures of each contestant for each speed of the models."""
    pythons = {name: environment(name, venvs) for name in names}
    materials = {
        "three readings of 44 s": readings(),
        "20 sentences with a pause inside": [paused_sentences()],
    }
    figures: dict[str, Any] = {}
    for words, some in materials.items():
        for speed, delays in SPEEDS.items():
            for name in ("ours", *names):
                print(f"   {words}, {speed}: {name}", file=sys.stderr, flush=True)
                talkover = Talkover()
                for material in some:
                    talkover.add(
                        ours(material, delays)
                        if name == "ours"
                        else theirs(name, pythons[name], material, delays, folder)
                    )
                figures.setdefault(words, {}).setdefault(speed, {})[name] = talkover.figures()
    return figures


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        prog="python -m bench frameworks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--venvs", type=Path, help="where their environments are, or are to be made and kept")
    parser.add_argument("--only", choices=[*THEIRS, "ours"], help="one of them beside ours")
    options = parser.parse_args()
    names = [name for name in THEIRS if options.only in (None, name)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = compared(names, options.venvs or folder / "venvs", folder)
    versions = " ".join(package for name in names for package in THEIRS[name])
    tell(
        "frameworks", [], {"theirs": versions or "not asked for", "stt": "final with the last word"}, figures
    )


if __name__ == "__main__":
    run(main)
