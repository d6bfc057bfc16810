"""How polite the conversation is: when turns are ended, and who talks over whom.

    python -m bench turn_taking                              # everything
    python -m bench turn_taking --plot front.png             # and the Pareto front as a picture
    python -m bench turn_taking --export rows                # and the turns as eot-bench's rows
    python -m bench turn_taking --recording SESSION          # the same figures of recorded sessions

`endpointing`: the turn detectors on turns of human prompts in five languages, of Piper's voice, and with noise, with
the words and operating points of livekit/eot-bench: false cutoffs at a mean latency of 300 and 600 ms, latency at 5 and
10 % false cutoffs, and the front of what no other setting beats in both. `dialogues`: the whole engine under the
virtual clock, with every setting at its default: replies that began while the user spoke, overlap, onset to silence,
false pauses. The STT is an ideal one, or as late as on a loaded machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench._detectors import Detector, default_detector, detectors
from bench._dialogue import AT_ONCE, FAR_AWAY, LOADED, Delays, dialogue, false_pauses
from bench._endpoints import Point, probe
from bench._figures import Promise, run, tell
from bench._prompts import LANGUAGES
from bench._readings import paused_sentences, readings
from bench._recorded import Recording
from bench._spoken import INTERRUPTIONS, QUESTIONS, spoken
from bench._talk import Talked, vad
from bench._talkover import Talkover
from bench._user_turns import LEAD_S, NOISE_DB, TAIL_S, UserTurn, user_turns
from workbench.model.audio import INPUT_RATE
from workbench.model.clock import outside
from workbench.model.errors import MissingError
from workbench.replay.tune.figures import front, operating_points
from workbench.simulation.clock import run_virtual
from workbench.simulation.synthesis import Score, Spoken, babble, noise, write_wav

TURNS = 40
"""Of each language, unless said otherwise."""
NOISY_DB = (-46.0, -40.0)
"""Noise and babble behind every fourth turn, dBFS; speech is at −26."""
DISTURBED_S = 1.6
"""A cough, a hum or babble comes so long after a sentence: into the reply, s."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench turn_taking",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--languages", nargs="+", choices=list(LANGUAGES), default=list(LANGUAGES))
    parser.add_argument("--turns", type=int, default=TURNS, help=f"turns of each language ({TURNS})")
    parser.add_argument("--seed", type=int, default=0, help="of the generator (0)")
    parser.add_argument(
        "--stt-delay-ms", type=float, default=0.0, help="from a word to its text, for the detectors (0)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the front into this file")
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="write the turns as rows of eot-bench")
    parser.add_argument(
        "--recording", type=Path, nargs="+", metavar="SESSION", help="measure recorded sessions instead"
    )
    options = parser.parse_args(arguments)
    if options.turns < 1:
        parser.error("--turns: at least one of each language")
    if options.plot and not options.plot.resolve().parent.is_dir():
        parser.error(f"--plot: there is no folder {options.plot.parent}")
    return options


# --- the turns -------------------------------------------------------------------------------------------------------


async def corpus(options: argparse.Namespace) -> list[UserTurn]:
    """Return the turns that the detectors are asked about."""
    turns = [
        with_noise(turn) if number % 4 == 3 else turn
        for language in options.languages
        for number, turn in enumerate(user_turns(language, options.turns, options.seed))
    ]
    if "en" in options.languages:
        turns += await pipers_turns()
    return turns


async def pipers_turns() -> list[UserTurn]:
    """Return sentences in the voice on board; none where its weights are missing."""
    texts = (*QUESTIONS, *INTERRUPTIONS)
    try:
        with outside():
            sentences = await spoken(texts)
    except MissingError as error:
        say(f"   without Piper's voice: {error.reason}")
        return []
    turns = []
    for number, (text, sound) in enumerate(zip(texts, sentences, strict=True)):
        score = Score(seed=number, noise_db=NOISE_DB).silence(LEAD_S).add(sound)
        start = round(LEAD_S * INPUT_RATE)
        score.spoken.append(Spoken(text, start, start + len(sound)))
        turns.append(UserTurn(f"piper-{number:03d}", "en", "piper", score.silence(TAIL_S)))
    return turns


def with_noise(turn: UserTurn) -> UserTurn:
    """Return the turn with noise behind it, or with other people's talk."""
    number = int(turn.id[-3:])
    hiss, crowd = NOISY_DB
    make = partial(noise, db=crowd) if number % 8 < 4 else partial(babble, db=hiss)
    turn.score.add(make(turn.score.seconds, seed=number), at=0.0)
    return replace(turn, kind=f"{turn.kind}, noisy")


def export(turns: Iterable[UserTurn], folder: Path) -> None:
    """Write them as `rows.jsonl` with a wav file each."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rows.jsonl").open("w") as file:
        for turn in turns:
            write_wav(folder / f"{turn.id}.wav", turn.samples)
            print(json.dumps(turn.row(f"{turn.id}.wav"), ensure_ascii=False), file=file)
    say(f"   rows and sounds are in {folder}")


# --- endpointing -----------------------------------------------------------------------------------------------------


async def endpointing(
    turns: Sequence[UserTurn], there: Sequence[Detector], delay_ms: float
) -> dict[str, list[Point]]:
    """Ask the detectors about every turn; the last point of each is that of the default settings."""
    points = {detector.name: [Point(each) for each in detector.grid] for detector in there}
    listener = vad("silero")
    for number, turn in enumerate(turns):
        if number % 20 == 0:
            say(f"   turn {number} of {len(turns)}")
        listener.reset()
        made = {detector.name: detector.make() for detector in there}
        await probe(turn, made, points, listener, delay_ms)
    return points


def endpointing_figures(known: Sequence[Detector], points: dict[str, list[Point]]) -> dict[str, Any]:
    """Return a row for each detector: operating points, the default settings' figures, the front."""
    rows: dict[str, Any] = {
        detector.name: {"absent": detector.absent} for detector in known if detector.absent
    }
    for detector in known:
        if detector.absent:
            continue
        some = points[detector.name]
        rows[detector.name] = {
            **operating_points(some),
            "default_settings": _figures(some[-1]),
            "front": [_figures(point) for point in front(some)],
        }
    return rows


def _figures(point: Point) -> dict[str, Any]:
    return {
        "latency_ms": round(point.latency_ms),
        "false_cutoffs_percent": round(point.cutoff_rate * 100, 1),
        "settings": point.settings.model_dump(exclude_defaults=True),
    }


def plot(known: Sequence[Detector], points: dict[str, list[Point]], file: Path) -> None:
    """Draw the front of each detector, and where the default settings are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for detector in known:
        if not detector.absent:
            best = front(points[detector.name])
            (line,) = axes.plot(
                [point.latency_ms for point in best],
                [point.cutoff_rate * 100 for point in best],
                marker=".",
                label=detector.name,
            )
            default = points[detector.name][-1]
            axes.plot(
                default.latency_ms, default.cutoff_rate * 100, marker="*", ms=13, color=line.get_color()
            )
    axes.set(
        xlabel="mean latency from the end of the turn, ms",
        ylabel="pauses in which the turn is ended, %",
        xlim=(0, 2000),
        ylim=(0, None),
        title="Ending turns: lower left is better; a star has the default settings",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file)
    say(f"   the front is drawn in {file}")


# --- dialogues -------------------------------------------------------------------------------------------------------


def together(turns: Iterable[UserTurn]) -> tuple[Score, list[tuple[int, int]]]:
    """Put turns one after the other into one score, with time to answer each."""
    score, spans = Score(), []
    for turn in turns:
        at = round(score.seconds * INPUT_RATE)
        score.add(turn.samples)
        score.spoken += [Spoken(each.text, each.start + at, each.end + at) for each in turn.score.spoken]
        spans.append((turn.onset + at, turn.end + at))
    return score, spans


def disturbed(turns: Sequence[UserTurn]) -> tuple[Score, list[tuple[int, int]]]:
    """Put turns one after the other, with a cough, a hum or babble in the reply to each."""
    score, spans = together(turns)
    for number, (_, end) in enumerate(spans):
        at = end / INPUT_RATE + DISTURBED_S
        if number % 3 == 0:
            score.cough(at=at, db=-24)
        elif number % 3 == 1:
            score.mhm(at=at, db=-26)
        else:
            score.babble(1.2, at=at, db=-36)
    return score, spans


Material = tuple[str, list[tuple[Score, list[tuple[int, int]]]]]


def materials(options: argparse.Namespace) -> list[Material]:
    """Return what is held against the engine, by name."""
    turns = list(user_turns("en", options.turns, options.seed + 1000))
    complete = [turn for turn in turns if turn.kind == "whole"]
    return [
        ("three readings of 44 s", readings()),
        ("20 sentences with a pause inside", [paused_sentences()]),
        ("turns of the generator", [together(turns)]),
        ("complete sentences, with noises into the replies", [disturbed(complete)]),
    ]


async def dialogues(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Hold everything against the engine, with fast, slow and late models."""
    figures: dict[str, dict[str, Any]] = {}
    speeds = {"models of 450 ms": FAR_AWAY, "models that answer at once": AT_ONCE, "late words": LOADED}
    for name, scores in materials(options):
        figures[name] = {}
        for speed, delays in speeds.items():
            say(f"   {name}, {speed}")
            figures[name][speed] = await _held(name, scores, delays)
    return figures


async def _held(
    name: str, scores: Sequence[tuple[Score, list[tuple[int, int]]]], delays: Delays
) -> dict[str, Any]:
    talkover, outcomes = Talkover(), list[Talked]()
    for number, (score, spans) in enumerate(scores):
        conversation, outcome = await dialogue(score, spans, delays, f"{name} {number}", default_detector())
        talkover.add(conversation)
        outcomes.append(outcome)
    return {**talkover.figures(), "false_pauses": false_pauses(outcomes)}


# --- recordings ------------------------------------------------------------------------------------------------------


async def recorded(options: argparse.Namespace, there: Sequence[Detector]) -> dict[str, Any]:
    """Return the same figures of recorded sessions."""
    talkover, turns = Talkover(), list[UserTurn]()
    for folder in options.recording:
        recording = Recording(folder)
        talkover.add(recording.conversation())
        turns += recording.turns(options.languages[0])
    if options.export:
        export(turns, options.export)
    points = await endpointing(turns, there, options.stt_delay_ms)
    if options.plot:
        plot(there, points, options.plot)
    return {"endpointing": endpointing_figures(there, points), "talkover": talkover.figures()}


# --- the whole -------------------------------------------------------------------------------------------------------


async def generated(options: argparse.Namespace, known: Sequence[Detector]) -> dict[str, Any]:
    """Return the figures of the generated turns."""
    say("   reading the prompts")
    turns = await corpus(options)
    if options.export:
        export(turns, options.export)
    there = [detector for detector in known if not detector.absent]
    points = await endpointing(turns, there, options.stt_delay_ms)
    if options.plot:
        plot(there, points, options.plot)
    return {"endpointing": endpointing_figures(known, points), "dialogues": await dialogues(options)}


def promises(figures: dict[str, Any]) -> list[Promise]:
    """Return what is promised of the figures."""
    held = figures["dialogues"]
    read, paused = held["three readings of 44 s"], held["20 sentences with a pause inside"]
    made = []
    for speed in ("models of 450 ms", "models that answer at once"):
        made += [
            Promise(f"cut-ins in three readings, {speed}", read[speed]["cut_ins"], 4, ""),
            Promise(f"cut-ins in 20 sentences, {speed}", paused[speed]["cut_ins"], 1, ""),
            Promise(f"answered after, p50, {speed}", paused[speed]["latency_ms"]["p50"], 470, "ms"),
        ]
    for name, speeds in held.items():
        late = speeds["late words"]
        made += [
            Promise(
                f"replies begun into speech, late words: {name}", late["replies_begun_into_speech"], 0, ""
            ),
            Promise(
                f"overlap when the user went on, p95, late words: {name}",
                late["overlap_when_the_user_went_on_p95_ms"] or 0,
                300,
                "ms",
            ),
        ]
    return made


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and tell."""
    options = parse(arguments)
    known = detectors()
    conditions = {
        "clock": "virtual",
        "vad": "silero",
        "stt": f"scripted, words {options.stt_delay_ms:.0f} ms late for the detectors",
        "seed": options.seed,
    }
    if options.recording:
        there = [detector for detector in known if not detector.absent]
        sessions = [str(folder.name) for folder in options.recording]
        figures = run_virtual(recorded(options, there))
        tell("turn_taking", [], {**conditions, "recordings": sessions}, figures)
        return
    figures = run_virtual(generated(options, known))
    languages = ", ".join(options.languages)
    tell(
        "turn_taking",
        promises(figures),
        {**conditions, "turns": f"{options.turns} each in {languages}"},
        figures,
    )


if __name__ == "__main__":
    run(main)
