"""`workbench rerun`: a recorded session again, as it was or with something changed, and what is different then."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from workbench.cli.options import changes_option, json_option, pairs_of, path_option, read_agent
from workbench.cli.output import err, mark, out, short
from workbench.cli.sessions import find_session
from workbench.model.errors import UsageError
from workbench.model.text import plain
from workbench.views.comparison import words_difference
from workbench.views.format import DASH, count, ms, signed_ms

if TYPE_CHECKING:
    from workbench.replay.rerun import Change, Rerun
    from workbench.replay.verdict import Difference, TraceVerdict

STAGES = ("stt", "llm", "tts", "turn", "vad")
"""What can be swapped."""
SHOWN = 12
"""Differences that are printed; `--json` has all of them."""
TEXTS = ("user_text", "agent_text", "said", "unheard")
"""Differences that are shown word by word."""


@click.command(
    epilog="""\b
Examples:
  workbench rerun                             # the newest session: does it come out the same?
  workbench rerun before --set turn.silence_ms=300 --out after
  workbench rerun before --swap llm=openai/gpt-6-luna --from-turn 3
  workbench rerun before --agent my_agent.py  # today's agent on yesterday's audio
  workbench rerun before --edit-prompt --live"""
)
@click.argument("session", required=False)
@click.option(
    "--swap", "swaps", metavar="STAGE=PROVIDER", multiple=True,
    help=f"Run this stage for real, with another provider; may be given again. {', '.join(STAGES)}.",
)  # fmt: skip
@changes_option
@path_option("--agent", "Today's agent in place of the recorded one.", "FILE.py")
@path_option("--prompt", "Other instructions for the agent.")
@click.option("--edit-prompt", is_flag=True, help="Edit the recorded instructions in $EDITOR first.")
@click.option(
    "--from-turn", type=click.IntRange(min=1), metavar="N",
    help="Change things from turn N on; the turns before it stay as recorded.",
)  # fmt: skip
@click.option("--live", is_flag=True, help="Ask the recorded provider for what the cassette does not have.")
@click.option(
    "--out", "into", metavar="DIR", type=click.Path(path_type=Path),
    help="Keep the rerun in DIR (new or empty) as a session.",
)  # fmt: skip
@json_option("One JSON object: verdict, all differences, what the cassette did not have, speed.")
def rerun(session: str | None, as_json: bool, **options: Any) -> None:
    """Run a recorded session again, without a key and faster than real time, and say what is different.

    The engine decides again on what was recorded: sound, verbs, and each provider's answers. The verdict is one of
    three: the same bytes; the same decisions (turns, words, cuts; instants within 20 ms); or differs, with the
    differences. What is changed runs for real; the other stages answer from the cassette where their input is the same.

    SESSION is an id, a folder, or the beginning of a folder's name in `workbench sessions`. Without it: the newest.

    Exit codes: 0 fine, 1 it differs though nothing was changed, 2 bad input, 3 something is missing, 4 a turn failed as
    the cassette has no answer for it, 130 Ctrl-C.
    """
    with TemporaryDirectory(prefix="workbench-rerun-") as scratch:
        outcome = _run(find_session(session), scratch=Path(scratch), **options)
        if as_json:
            out(json.dumps(outcome.to_json(), ensure_ascii=False))
        else:
            for line in _lines(outcome):
                out(line)
            for line in _next_steps(outcome):
                err(line)
    raise SystemExit(outcome.code)


@dataclass(frozen=True, slots=True)
class RerunOutcome:
    """A rerun beside what it is a rerun of. `changed` on purpose; `kept` in a folder of the user's choice."""

    folder: Path
    again: Rerun
    verdict: TraceVerdict
    took_s: float
    changed: bool
    kept: bool

    @property
    def session_s(self) -> float:
        """How long the session is, s."""
        return self.again.trace.end_ms / 1000

    @property
    def times_real_time(self) -> float:
        """How much faster than the session it was."""
        return self.session_s / max(self.took_s, 1e-3)

    @property
    def unanswered(self) -> bool:
        """Whether a turn failed as nobody answered in the place of the cassette."""
        return any(not change.live for change in self.again.changes)

    @property
    def code(self) -> int:
        """The exit code."""
        if self.changed:
            return 4 if self.unanswered or self.again.error is not None else 0
        return 1 if self.verdict.sameness == "differs" else 0

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            **self.verdict.to_json(),
            "not_in_cassette": [asdict(change) for change in self.again.changes],
            "session_s": round(self.session_s, 3),
            "took_s": round(self.took_s, 3),
            "times_real_time": round(self.times_real_time, 1),
            "error": None if self.again.error is None else plain(self.again.error.reason, 300),
            "folder": str(self.again.folder) if self.kept else None,
        }


# --- running ---------------------------------------------------------------------------------------------------------


def _run(
    folder: Path, *, swaps: Sequence[str], changes: Sequence[str], agent: Path | None, prompt: Path | None,
    edit_prompt: bool, from_turn: int | None, live: bool, into: Path | None, scratch: Path,
) -> RerunOutcome:  # fmt: skip
    from workbench.replay.rerun import rerun as run_again
    from workbench.replay.verdict import compare_traces

    if [agent is not None, prompt is not None, edit_prompt].count(True) > 1:
        raise UsageError("--agent, --prompt and --edit-prompt are three prompts", "give one of them")
    changed: dict[str, Any] = {
        "swap": _swaps(swaps),
        "settings": pairs_of("--set", changes, "turn.silence_ms=300"),
        "agent": read_agent(agent) if agent else None,
        "instructions": _edited(folder) if edit_prompt else _read(prompt) if prompt else None,
    }
    began = monotonic()
    with _Progress() as progress:
        again = run_again(
            folder, into=into or scratch, from_turn=from_turn, live=live, progress=progress.show, **changed
        )
    took_s = monotonic() - began
    verdict = compare_traces(again.original, again.trace)
    return RerunOutcome(folder, again, verdict, took_s, any(changed.values()), into is not None)


def _swaps(texts: Sequence[str]) -> dict[str, str]:
    swaps = pairs_of("--swap", texts, "llm=openai/gpt-6-luna")
    for stage, provider in swaps.items():
        if stage not in STAGES:
            raise UsageError(f"--swap knows no stage {short(repr(stage))}", f"there are: {', '.join(STAGES)}")
        if not provider:
            raise UsageError(f"--swap {stage}= names no provider", "`workbench plugins list` has their names")
    return swaps


def _read(file: Path) -> str:
    try:
        text = file.read_text("utf-8").strip()
    except OSError as error:
        raise UsageError(f"--prompt {file}: {error.strerror}", "give a text file") from None
    except UnicodeDecodeError:
        raise UsageError(f"--prompt {file} is not UTF-8 text", "save it as UTF-8") from None
    if not text:
        raise UsageError(f"--prompt {file} is empty", "write the agent's instructions into it")
    return text


def _edited(folder: Path) -> str:
    """Return the recorded instructions as somebody has edited them."""
    from workbench.trace.cassette import open_cassette

    agents = [row["agent"] for row in open_cassette(folder).of("agent")]
    before = str(agents[0].get("instructions", "")) if agents else ""
    after = (click.edit(before, extension=".md") or "").strip()
    if after in ("", before.strip()):
        raise UsageError("the prompt was not changed", "save another text, or leave --edit-prompt out")
    return after


class _Progress:
    """A bar on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def show(self, done_s: float, total_s: float) -> None:
        """Show how many of the session's seconds are done."""
        if not sys.stderr.isatty() or total_s <= 0:
            return
        if self._bar is None:
            self._bar = click.progressbar(length=1000, label="rerun", file=sys.stderr, show_pos=False)
        self._bar.update(max(0, round(1000 * min(1.0, done_s / total_s)) - self._bar.pos))


# --- telling ---------------------------------------------------------------------------------------------------------


def _lines(outcome: RerunOutcome) -> Iterator[str]:
    again, verdict = outcome.again, outcome.verdict
    turns = count(len(again.trace.turns), "turn")
    speed = f"{outcome.session_s:.1f} s in {outcome.took_s:.1f} s, {outcome.times_real_time:.0f} × real time"
    sign = mark("≠", "yellow") if verdict.sameness == "differs" else mark("=", "green")
    yield f"{sign} {verdict.sameness}: {turns}, {speed}"
    shown = _telling(verdict.differences)[:SHOWN]
    for difference in shown:
        yield f"  {_difference_line(difference)}"
    if rest := len(verdict.differences) - len(shown):
        yield f"  … and {rest} more: --json has all of them"
    if again.changes:
        yield f"{count(len(again.changes), 'request')} that the cassette could not answer:"
        yield from (f"  {_change_line(change)}" for change in again.changes[:SHOWN])


def _telling(differences: Sequence[Difference]) -> list[Difference]:
    """Return those that a person wants to see first: of a turn what was said and done, and its first instant; the later
    ones follow from that."""
    telling: list[Difference] = []
    for _, turn in groupby(differences, key=lambda difference: difference.turn):
        rest: list[Difference] = []
        instants: list[Difference] = []
        for difference in turn:
            instant = difference.subject.partition(".")[0].endswith("_ms")
            (instants if instant else rest).append(difference)
        both = (it for it in instants if not rest or (it.a is not None and it.b is not None))
        telling += [*rest, *islice(both, 1)]
    return telling


def _difference_line(difference: Difference) -> str:
    a, b = difference.a, difference.b
    turn = f"turn {difference.turn}" if difference.turn else "start"
    name = difference.subject.partition(".")[0]
    if name == "turn":
        text = f"only recorded: {short(a)}" if b is None else f"only in the rerun: {short(b)}"
        return f"{turn:<8} {text}"
    if name.endswith("_ms"):
        later = f" ({signed_ms(b - a)})" if a is not None and b is not None else ""
        text = f"{ms(a)} → {ms(b)}{later}"
    elif name in TEXTS and a and b:
        text = short(words_difference(a, b), 200)
    else:
        text = f"{_shown(a)} → {_shown(b)}"
    return f"{turn:<8} {name.removesuffix('_ms').replace('_', ' '):<14} {text}"


def _shown(value: Any) -> str:
    return DASH if value is None else "nothing" if value == "" else short(str(value))


def _change_line(change: Change) -> str:
    from workbench.replay.answers import SENTENCES

    outcome = "asked live" if change.live else "no answer"
    place = f"{change.t_ms / 1000:.1f} s"
    return f"{place:<8} {change.stage:<14} {short(repr(change.request))}: {SENTENCES[change.miss]}; {outcome}"


def _next_steps(outcome: RerunOutcome) -> Iterator[str]:
    if (error := outcome.again.error) is not None:
        yield f"the session failed: {short(error.reason, 200)}"
    differs = outcome.verdict.sameness == "differs"
    if outcome.unanswered:
        yield "  → --live asks the recorded provider for that, --swap another one"
    if outcome.kept:
        again = outcome.again
        yield f"  → workbench compare {outcome.folder} {again.folder}"
    elif differs:
        yield "  → --out DIR keeps the rerun, to compare it and to hear it"
    if differs and not outcome.changed and not outcome.unanswered:
        yield "  → nothing was changed: this version of workbench decides otherwise than the one that recorded it"
