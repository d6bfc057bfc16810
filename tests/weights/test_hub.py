"""The hub: a download that breaks goes on where it broke, and what it brings is hashed like everything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.weights.shop import Hub, model, on_hub, weights
from workbench.model.errors import MissingError, UsageError
from workbench.weights.fetch import DownloadProgress
from workbench.weights.store import FileState, Store

DATA = bytes(range(256)) * 4096  # 1 MiB


def test_progress_counts_the_bytes(store: Store, hub: Hub) -> None:
    steps: list[DownloadProgress] = []
    store.pull(model(weights("a.bin", DATA, on_hub(hub, "a.bin", DATA))), steps.append)
    assert steps[-1] == DownloadProgress("a.bin", "the hub (org/repo)", len(DATA), len(DATA))
    assert [step.done for step in steps] == sorted(step.done for step in steps)


def test_a_download_that_ends_early_is_continued(store: Store, hub: Hub) -> None:
    wanted = model(weights("a.bin", DATA, on_hub(hub, "a.bin", DATA)))
    hub.cuts = [1000, 500_000]
    store.pull(wanted)
    assert hub.asked == ["", "bytes=1000-", "bytes=501000-"]
    assert store.state(wanted) is FileState.PRESENT


def test_an_interrupted_download_continues_in_the_next_pull(store: Store, hub: Hub) -> None:
    wanted = model(weights("a.bin", DATA, on_hub(hub, "a.bin", DATA)))
    hub.cuts = [300_000]

    def interrupt(step: DownloadProgress) -> None:
        if step.done == 300_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull(wanted, interrupt)
    assert store.state(wanted) is FileState.MISSING
    store.pull(wanted)
    assert hub.asked == ["", "bytes=300000-"]
    assert store.path(wanted, wanted.files[0]).read_bytes() == DATA


def part_of(store: Store, wanted_sha256: str, data: bytes) -> Path:
    part = store.root / wanted_sha256 / "a.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(data)
    return part


def test_a_server_without_ranges_sends_the_file_from_the_start(store: Store, hub: Hub) -> None:
    file = weights("a.bin", DATA, on_hub(hub, "a.bin", DATA))
    part_of(store, file.sha256, b"nothing of it")
    hub.ranges = False
    store.pull(model(file))
    assert store.path(model(file), file).read_bytes() == DATA


def test_a_wrong_beginning_is_refused_and_the_next_pull_starts_anew(store: Store, hub: Hub) -> None:
    file = weights("a.bin", DATA, on_hub(hub, "a.bin", DATA))
    part = part_of(store, file.sha256, b"not the beginning")
    with pytest.raises(MissingError, match=r"a\.bin was refused and removed: expected SHA-256"):
        store.pull(model(file))
    assert not part.exists()
    store.pull(model(file))
    assert store.state(model(file)) is FileState.PRESENT


def test_a_part_that_is_whole_needs_no_request(store: Store, hub: Hub) -> None:
    file = weights("a.bin", DATA, on_hub(hub, "a.bin", DATA))
    part_of(store, file.sha256, DATA)
    store.pull(model(file))
    assert hub.asked == []
    assert store.state(model(file)) is FileState.PRESENT


def test_a_hub_whose_file_is_too_short_fails(store: Store, hub: Hub) -> None:
    file = weights("a.bin", DATA, on_hub(hub, "a.bin", DATA[:1000]))
    with pytest.raises(MissingError, match="gave 1,000 of 1,048,576 bytes"):
        store.pull(model(file))
    assert store.state(model(file)) is FileState.MISSING


def test_a_hub_whose_file_is_too_long_is_refused(store: Store, hub: Hub) -> None:
    file = weights("a.bin", DATA[:1000], on_hub(hub, "a.bin", DATA))
    with pytest.raises(MissingError, match=r"got SHA-256 .* 1,001 bytes"):
        store.pull(model(file))


def test_a_hub_that_always_breaks_off_fails(store: Store, hub: Hub) -> None:
    file = weights("a.bin", DATA, on_hub(hub, "a.bin", DATA))
    hub.cuts = [0] * 10
    with pytest.raises(MissingError, match=r"gave 0 of .* the answer ended early"):
        store.pull(model(file))
    assert len(hub.asked) == 3


def test_an_unreachable_hub_is_named(tmp_path: Path, hub: Hub) -> None:
    file = weights("a.bin", DATA, on_hub(hub, "a.bin", DATA))
    with pytest.raises(MissingError, match=r"the hub \(org/repo\) gave 0 of .* refused"):
        Store(tmp_path / "cache", hub="http://127.0.0.1:1").pull(model(file))


def test_the_hub_is_not_used_offline(store: Store, hub: Hub) -> None:
    file = weights("a.bin", DATA, on_hub(hub, "a.bin", DATA))
    with pytest.raises(MissingError, match="HF_HUB_OFFLINE"):
        replace(store, offline=True).pull(model(file))
    assert hub.asked == []


def test_only_http_addresses_are_hubs(store: Store, hub: Hub) -> None:
    file = weights("a.bin", DATA, on_hub(hub, "a.bin", DATA))
    with pytest.raises(UsageError, match="HF_ENDPOINT"):
        replace(store, hub="file:///etc").pull(model(file))
