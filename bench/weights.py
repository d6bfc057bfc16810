"""What it costs to verify the weights before they are loaded: the first time in a process, and each time after."""

from __future__ import annotations

import time

from bench._figures import run, tell
from workbench.weights.manifest import MODELS, ModelWeights
from workbench.weights.store import FileState, Store, open_store


def main() -> None:
    """Measure and tell; nothing is promised."""
    store = open_store()
    found = {}
    for model in MODELS:
        first, again = look_ms(store, model), look_ms(store, model)
        if store.state(model) is FileState.PRESENT:
            found[model.name] = {
                "size_mb": round(model.size / 1e6, 1),
                "first_ms": round(first, 1),
                "again_ms": round(again, 2),
            }
    tell("weights", [], {"verified": "SHA-256 of each file; remembered by size, time and inode"}, found)


def look_ms(store: Store, model: ModelWeights) -> float:
    """How long a look at the model's files takes."""
    started = time.perf_counter()
    store.state(model)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    run(main)
