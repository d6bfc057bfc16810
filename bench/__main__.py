"""Every measurement of this folder, each in a process of its own: `python -m bench [NAME]... [OPTION]...`.

A measurement is a module that prints one JSON object when it is run: figures, what was promised of them, whether that
is met, and the conditions. They follow each other on standard output; standard error says what is being measured, and
in the end how each promise fared. A missed one is told and fails nothing: absolute figures move from machine to machine
and from run to run, so compare within one run. Options are for a measurement that is named alone; its exit code is then
that of the whole.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LEFT_OUT = 3
"""Exit code of a measurement for which this machine lacks something."""


def main(words: list[str]) -> int:
    """Run the measurements of these names, or all; the exit code is 1 if one of them failed, 2 for an unknown name."""
    first = next((number for number, word in enumerate(words) if word.startswith("-")), len(words))
    names, options = words[:first], words[first:]
    if options and len(names) != 1:
        say("options need the name of one measurement before them: python -m bench NAME OPTION...")
        return 2
    known = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        say(f"no measurement is called {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    failed, lines = [], []
    for name in names or known:
        began = time.monotonic()
        say(f"== {name}")
        done = subprocess.run(
            [sys.executable, "-m", f"bench.{name}", *options],
            cwd=HERE.parent,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        print(done.stdout, end="", flush=True)
        say(f"   {time.monotonic() - began:.0f} s")
        if len(names) == 1 and done.returncode:
            return done.returncode
        if done.returncode not in (0, LEFT_OUT):
            failed.append(name)
        lines += told(name, done.stdout)
    say("\n".join(lines))
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def told(name: str, out: str) -> list[str]:
    """A line for each promise of a measurement."""
    try:
        found: dict[str, Any] = json.loads(out)
    except json.JSONDecodeError:  # left out, or broken
        return [f"       {name}: no figures"]
    return [
        f"{'met   ' if promise['met'] else 'MISSED'} {name}: {promise['what']}: {promise['figure']} {promise['unit']}"
        f" (at most {promise['target']})"
        for promise in found["promises"]
    ]


def say(text: str) -> None:
    """To whoever waits."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
