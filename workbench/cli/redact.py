"""`workbench redact`: a recording without certain words, turns or stretches of time."""

from __future__ import annotations

import json
from pathlib import Path

import click

from workbench.cli.options import json_option, path_option
from workbench.cli.output import err, short
from workbench.cli.sessions import find_session
from workbench.model.errors import UsageError
from workbench.replay.redaction.redact import Redacted, Removal, redact_in_place
from workbench.replay.redaction.redact import redact as redact_into
from workbench.views.format import count

COUNTED = {
    "utterances": "utterance",
    "replies": "reply",
    "events": "event",
    "cassette rows": "cassette row",
    "hashes": "request key",
    "pictures": "picture",
    "unreadable": "damaged line",
}


@click.command(
    epilog="""\b
Examples:
  workbench redact 2f6c01aa -o to-share --words "anna,555-0100"
  workbench redact 2f6c01aa --in-place --turn 3 --from 61.5 --to 70"""
)
@click.argument("session")
@path_option("-o", "A new folder to write into.", "DIR")
@click.option("--in-place", is_flag=True, help="Replace the recording itself, in one step, for good.")
@click.option("--words", multiple=True, metavar="A,B…", help="Words and phrases, with commas between.")
@click.option(
    "--pattern", "patterns", multiple=True, metavar="REGEX", help="What this regular expression fits."
)
@click.option(
    "--turn", "turns", multiple=True, type=click.IntRange(min=1), metavar="N", help="All of a turn."
)
@click.option(
    "--from", "start_s", type=click.FloatRange(min=0), metavar="S", help="All from this second on …"
)
@click.option("--to", "stop_s", type=click.FloatRange(min=0), metavar="S", help="… up to this one.")
@json_option("One JSON object that says what was removed.")
def redact(
    session: str, o: Path | None, in_place: bool, words: tuple[str, ...], patterns: tuple[str, ...],
    turns: tuple[int, ...], start_s: float | None, stop_s: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Remove words, turns or seconds from a recording: sound, events, pictures and cassette.

    SESSION is an id, a folder, or the beginning of a folder's name in `workbench sessions`. Words are found in any case
    of letters, with or without accents, and within longer ones; of the sound, the whole utterance or reply goes that
    they are in. Options may be given again. Exit codes: 0 fine, 2 bad input.
    """
    removal = Removal(_words(words), patterns, turns, _stretches_ms(start_s, stop_s))
    if not (removal.words or patterns or turns or removal.stretches_ms):
        raise UsageError(
            "redact needs to know what is to go", "give --words, --pattern, --turn, or --from and --to"
        )
    if (o is None) is not in_place:
        raise UsageError("redact writes a new folder, or in place", "give either -o DIR or --in-place")
    folder = find_session(session)
    redacted = redact_in_place(folder, removal) if o is None else redact_into(folder, o, removal)
    where = folder if o is None else o
    if as_json:
        click.echo(json.dumps({"folder": str(where), **_described(redacted)}))
    else:
        click.echo(_text(redacted, where))
    for name in redacted.left_out:
        err(f"left out, as it is no part of a recording: {short(name)}")


def _words(lists: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for text in lists for part in text.split(",") if (word := part.strip()))


def _stretches_ms(start_s: float | None, stop_s: float | None) -> tuple[tuple[float, float], ...]:
    if start_s is None and stop_s is None:
        return ()
    if start_s is None or stop_s is None or not start_s < stop_s < float("inf"):
        raise UsageError("--from and --to are no stretch of time", "give both, the earlier one first")
    return ((start_s * 1000, stop_s * 1000),)


def _described(redacted: Redacted) -> dict[str, object]:
    counts = {name.replace(" ", "_"): redacted.counts[name] for name in COUNTED}
    silenced_s = {track: round(seconds, 3) for track, seconds in redacted.silenced_s.items()}
    return {"silenced_s": silenced_s, **counts, "left_out": redacted.left_out}


def _text(redacted: Redacted, where: Path) -> str:
    if redacted.nothing:
        return f"nothing of that is in the recording; see {where}"
    parts = [count(redacted.counts[name], noun) for name, noun in COUNTED.items() if redacted.counts[name]]
    sound = ", ".join(
        f"{seconds:.1f} s of {track}" for track, seconds in redacted.silenced_s.items() if seconds
    )
    return f"removed from {where}: {'; '.join([sound, *parts] if sound else parts)}"
