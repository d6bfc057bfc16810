"""A scored conversation in a LiveKit room over a bad network, beside the same over a good one.

Server and user are in one network namespace, the agent (`workbench run --room`) in another; between them the kernel's
netem, or where there is none a relay between two TUN devices, delays, loses, shakes and reorders packets in both
directions. The report shows what that does to the words that the agent understands and to the latency that the user
hears. Heard latency here is the user's: from the last sample of speech handed to the SDK to the first audible one that
came back. Needs Linux, root, and a `livekit-server`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench._figures import percentile
from bench._netns import Namespace, apart, lacking
from tests.transports.livekit.people import Person, person
from tests.waiting import eventually
from workbench import open_trace
from workbench.model.audio import INPUT_RATE
from workbench.model.errors import MissingError, WorkbenchError
from workbench.model.events import NetworkMeasured
from workbench.readers import entries
from workbench.simulation.network import Trouble
from workbench.trace.wav import RecordedTrack
from workbench.transports.livekit.server import LocalServer

DATA = Path(__file__).parents[1] / "tests" / "data"
SAID = (
    ("question.wav", "What is the capital of France?"),
    ("story.wav", "Tell me a short story about a dog who lives by the sea."),
)
LIMIT_S = 60.0
"""The longest that one turn, or joining, may take, s."""
PARTS = ("network_in", "jitter_buffer", "network_out")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def right(wanted: str, understood: str) -> int:
    """Words that are right, in order."""
    return sum(
        block.size
        for block in difflib.SequenceMatcher(
            None, words(wanted), words(understood), False
        ).get_matching_blocks()
    )


# --- the user's side: in a namespace, beside the server --------------------------------------------------------------


async def user(address: str, turns: int) -> None:
    """Start a server, say where it is, wait for the agent, talk to it; then say how late each answer was heard."""
    async with LocalServer(address=address) as server:
        keys = {
            "LIVEKIT_URL": server.url,
            "LIVEKIT_API_KEY": server.keys.api_key,
            "LIVEKIT_API_SECRET": server.keys.api_secret,
        }
        print(json.dumps(keys), flush=True)
        late_ms: list[float | None] = []
        async with person(server, "net", "user") as one:
            await eventually(lambda: one.state() == "listening", LIMIT_S)
            await eventually(lambda: one.heard, LIMIT_S)
            for turn in range(turns):
                track = RecordedTrack(DATA / SAID[turn % len(SAID)][0], "user", INPUT_RATE)
                samples = track.read(0, track.end)
                samples = samples[: int(np.flatnonzero(np.abs(samples) > 200)[-1]) + 1]
                one.say(samples)
                ends = time.monotonic() + len(samples) / INPUT_RATE
                await eventually(lambda: ends - 0.5 < one.spoke_at < time.monotonic() - 0.1, LIMIT_S)  # noqa: B023
                late_ms.append(await answered(one))
                with contextlib.suppress(TimeoutError):
                    await eventually(
                        lambda: one.state() == "listening" and one.quiet_at(time.monotonic() - 1), 20
                    )
        print(json.dumps(late_ms), flush=True)


async def answered(one: Person) -> float | None:
    """How long after the end of speech the answer was heard, ms; None if it never was."""
    spoke_at = one.spoke_at
    with contextlib.suppress(TimeoutError):
        heard_at = await eventually(lambda: one.loud_at(spoke_at + 0.1), 15)
        return round(float(heard_at - spoke_at) * 1000, 1)
    return None


# --- the report ------------------------------------------------------------------------------------------------------


def conversation(trouble: Trouble, turns: int, stt: str, relayed: bool) -> dict[str, Any]:
    with apart(trouble, relayed=relayed) as (near, far), tempfile.TemporaryDirectory() as folder:
        return _held(near, far, Path(folder, "rec"), turns, stt)


def _held(near: Namespace, far: Namespace, folder: Path, turns: int, stt: str) -> dict[str, Any]:
    script = [sys.executable, "-m", "bench._netem", "--user", near.address, "--turns", str(turns)]
    agent = [sys.executable, "-m", "workbench", "run", "--profile", "scripted", "--room", "net", "--json"]
    agent += ["--record", str(folder), "--set", f"stt.provider={stt}"]
    with contextlib.ExitStack() as running:
        one = running.enter_context(subprocess.Popen(near.run(script), stdout=subprocess.PIPE, text=True))
        running.callback(one.kill)
        assert one.stdout
        keys = json.loads(one.stdout.readline() or "null")
        if keys is None:
            raise MissingError("the server did not start in its namespace", "is livekit-server on the path?")
        other = running.enter_context(
            subprocess.Popen(
                far.run(agent),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, **keys},
            )
        )
        running.callback(other.kill)
        late = json.loads(one.stdout.readline() or "null")
        other.send_signal(signal.SIGTERM)
        out, _ = other.communicate(timeout=LIMIT_S)
    if late is None:
        raise MissingError("the conversation did not come to its end", "try less trouble")
    told = [json.loads(line) for line in out.splitlines()]
    return figures([line for line in told if "turn" in line], late, folder)


def figures(turns: Sequence[dict[str, Any]], late: Sequence[float | None], folder: Path) -> dict[str, Any]:
    """What it did to words, latency and packets."""
    wanted = [SAID[number % len(SAID)][1] for number in range(len(late))]
    understood = " ".join(turn["user_text"] for turn in turns)
    total, fine = len(words(" ".join(wanted))), right(" ".join(wanted), understood)
    heard = sorted(ms for ms in late if ms is not None)
    measured = [
        entry.event for entry in entries(open_trace(folder)) if isinstance(entry.event, NetworkMeasured)
    ]
    return {
        "turns": len(turns),
        "words": {"right": fine, "wrong": total - fine, "of": total, "understood": understood},
        "heard_ms": {
            "p50": percentile(heard, 50) if heard else None,
            "p95": percentile(heard, 95) if heard else None,
            "n": len(heard),
            "never": len(late) - len(heard),
        },
        "parts_ms": {
            part: round(float(np.median([turn["parts_ms"][part] for turn in turns])), 1) if turns else None
            for part in PARTS
        },
        "network": {
            "rtt_ms": _mean([one.rtt_ms for one in measured]),
            "jitter_ms": _mean([one.jitter_ms for one in measured]),
            "loss": _mean([one.loss for one in measured], 4),
            "concealed": _mean([one.concealed for one in measured], 4),
        },
    }


def _mean(values: Sequence[float], digits: int = 1) -> float | None:
    return round(float(np.mean(values)), digits) if values else None


def table(report: dict[str, Any]) -> str:
    good, bad = report["without"], report["with"]
    rows = [
        ("words right", *(f"{one['words']['right']} of {one['words']['of']}" for one in (good, bad))),
        *((f"heard latency {p}, ms", good["heard_ms"][p], bad["heard_ms"][p]) for p in ("p50", "p95")),
        ("answers not heard", good["heard_ms"]["never"], bad["heard_ms"]["never"]),
        *((part.replace("_", " ") + ", ms", good["parts_ms"][part], bad["parts_ms"][part]) for part in PARTS),
        *((name, good["network"][name], bad["network"][name]) for name in good["network"]),
    ]
    lines = [f"{'':<24}{'without':>12}{'with trouble':>16}"]
    return "\n".join([*lines, *(f"{name:<24}{a!s:>12}{b!s:>16}" for name, a, b in rows)])


def main() -> int:
    about = argparse.ArgumentParser(
        prog="scripts/netem", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: scripts/netem --loss 0.05 --delay-ms 60 --jitter-ms 20 --reorder 0.05 --json",
    )  # fmt: skip
    about.add_argument("--loss", type=float, default=0.05, help="share of packets, 0 to 1 (%(default)s)")
    about.add_argument("--delay-ms", type=float, default=60, help="one way (%(default)s)")
    about.add_argument("--jitter-ms", type=float, default=15, help="standard deviation (%(default)s)")
    about.add_argument("--reorder", type=float, default=0.02, help="share of packets (%(default)s)")
    about.add_argument("--seed", type=int, default=1, help="of the relay's chances (%(default)s)")
    about.add_argument("--turns", type=int, default=6, help="of each conversation (%(default)s)")
    about.add_argument("--stt", default="whisper/tiny.en", help="who listens (%(default)s)")
    about.add_argument(
        "--kernel", action="store_true", help="only by the kernel's netem; exit 3 where it has none"
    )
    about.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    about.add_argument("--user", metavar="ADDRESS", help=argparse.SUPPRESS)
    given = about.parse_args()
    if given.user:
        asyncio.run(user(given.user, given.turns))
        return 0
    try:
        report = compared(given)
    except WorkbenchError as error:
        click.echo(f"Error: {error.reason}\n  → {error.hint}", err=True)
        return error.exit_code
    click.echo(json.dumps(report) if given.json else table(report))
    return 0


def compared(given: argparse.Namespace) -> dict[str, Any]:
    """Both conversations. MissingError where there can be no namespaces, or no netem and `--kernel`."""
    if lack := lacking():
        raise lack
    no_netem = lacking(netem=True)
    if no_netem and given.kernel:
        raise MissingError(no_netem.reason, f"{no_netem.hint}, or leave out --kernel: a relay does it then")
    if no_netem:
        click.echo("this kernel has no netem: a relay between two TUN devices does it", err=True)
    wanted = {
        "loss": given.loss,
        "delay_ms": given.delay_ms,
        "jitter_ms": given.jitter_ms,
        "reorder": given.reorder,
    }
    report: dict[str, Any] = {
        "by": "relay" if no_netem else "netem",
        "trouble": {**wanted, "seed": given.seed},
    }
    for name, trouble in (("without", Trouble()), ("with", Trouble(**wanted, seed=given.seed))):
        click.echo(f"a conversation {name} trouble", err=True)
        report[name] = conversation(trouble, given.turns, given.stt, no_netem is not None)
    return report


if __name__ == "__main__":
    sys.exit(main())
