"""What it costs to verify the weights before they are loaded: the first time in a process, and each time after."""

from __future__ import annotations

import time

from workbench.weights.manifest import MODELS, Model
from workbench.weights.store import State, Store, open_store


def main() -> None:
    store = open_store()
    for model in MODELS:
        first, again = _look_ms(store, model), _look_ms(store, model)
        if store.state(model) is State.PRESENT:
            size_mb = model.size / 1e6
            print(f"{model.name:24} {size_mb:6.1f} MB  first {first:6.1f} ms, again {again:5.2f} ms")
        else:
            print(f"{model.name:24} is not here")


def _look_ms(store: Store, model: Model) -> float:
    started = time.perf_counter()
    store.state(model)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
