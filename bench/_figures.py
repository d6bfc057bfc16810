"""What the measurements share: how figures are told, and how they are taken."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from workbench.config import Settings, load_settings
from workbench.model.audio import Samples
from workbench.model.errors import MissingError, UsageError
from workbench.trace.wav import RecordedTrack


@dataclass(frozen=True)
class Promise:
    """A figure that must not be above its target."""

    what: str
    figure: float | None
    target: float
    unit: str
    met: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "met", self.figure is not None and self.figure <= self.target)


def tell(
    name: str, promises: Sequence[Promise], conditions: dict[str, Any], figures: dict[str, Any] | None = None
) -> None:
    """Print one JSON object: each promise with its figure, whether all are met, and how it was measured."""
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    others = f"others took {others_share() * 100:.0f} % of its CPU time meanwhile"
    print(
        json.dumps(
            {
                "bench": name,
                "met": all(promise.met for promise in promises),
                "promises": [asdict(promise) for promise in promises],
                "figures": figures or {},
                "conditions": {"machine": f"{machine}; {others}", **conditions},
            },
            indent=2,
            ensure_ascii=False,
        ),
        flush=True,
    )


def machine_s() -> tuple[float, float]:
    """CPU time since the machine was started, s: all there was, and what was used."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(fields) / ticks, (sum(fields) - fields[3] - fields[4]) / ticks


def our_s() -> float:
    """CPU time of this process and of those that it has waited for, s."""
    mine = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(one.ru_utime + one.ru_stime for one in mine)


BEGAN = machine_s(), our_s()


def others_share() -> float:
    """The share of the machine's CPU time that other processes took since this module was imported, 0…1."""
    (there, used), ours = machine_s(), our_s()
    (there_before, used_before), ours_before = BEGAN
    others = used - used_before - (ours - ours_before)
    return max(0.0, others) / max(1e-9, there - there_before)


def run(main: Callable[[], None]) -> NoReturn:
    """Run a measurement; what this machine lacks for it (weights, sounds) is said, exit code 3; bad input, 2."""
    try:
        main()
    except (MissingError, UsageError) as error:
        left_out = "left out: " if isinstance(error, MissingError) else ""
        print(f"{left_out}{error.reason}\n  → {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)


def percentile(values: Sequence[float], percent: float, digits: int = 2) -> float | None:
    """By linear interpolation; None of nothing."""
    return round(float(np.percentile(values, percent)), digits) if len(values) else None


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float | None]:
    """The usual percentiles, with n."""
    return {"n": len(values)} | {f"p{q}": percentile(values, q, digits) for q in (50, 90, 95, 99, 100)}


def settings(**flags: Any) -> Settings:
    """Settings of nobody's file or environment; `vad__provider="silero"` is `vad.provider`."""
    return load_settings(
        {name.replace("__", "."): value for name, value in flags.items()},
        environ={"XDG_CONFIG_HOME": os.devnull},
    )


def wav(path: Path) -> Samples:
    """All samples of a mono PCM16 file."""
    sound = RecordedTrack(path, "user", 0)
    return sound.read(0, sound.end)
