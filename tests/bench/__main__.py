"""Every measurement of this folder, each in a process of its own: `python -m tests.bench [NAME]...`.

A measurement is a module that prints its figures when it is run; it says in its docstring what they mean. Absolute
figures move from machine to machine and from run to run: compare within one run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run the measurements of these names, or all; the exit code is 1 if one of them failed, 2 for an unknown name."""
    known = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(
            f"no measurement is called {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr
        )
        return 2
    failed = []
    for name in names or known:
        print(f"\n== {name}", flush=True)
        if subprocess.run(
            [sys.executable, "-m", f"tests.bench.{name}"], cwd=HERE.parents[1], check=False
        ).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
