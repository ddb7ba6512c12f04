"""Every object store keeps the same contract: in memory, a folder, a real S3 server."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from casola_ocr.errors import CasolaError, ObjectNotFound, StoreUnavailable
from casola_ocr.objects import ObjectStore
from casola_ocr.objects.directory import STALE_SECONDS, DirectoryStore
from casola_ocr.objects.s3 import S3Store
from casola_ocr.testing import MemoryStore
from tests.conftest import S3Server


@pytest.fixture(params=["memory", "directory", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        return DirectoryStore(tmp_path / "objects")
    server: S3Server = request.getfixturevalue("s3_server")
    return s3_store(server, prefix=f"run/{tmp_path.name}")


def s3_store(server: S3Server, **changes: str) -> S3Store:
    values = {
        "bucket": server.bucket,
        "endpoint_url": server.endpoint_url,
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
    }
    return S3Store(**(values | changes))


def test_what_was_put_can_be_got(store: ObjectStore) -> None:
    store.put("a/b/c.json", b"{}")
    assert store.get("a/b/c.json") == b"{}"


def test_what_is_put_together_can_be_got_from_each_folder(store: ObjectStore) -> None:
    store.put("a/x", b"old")
    store.put_all([("a/x", BytesIO(b"1")), ("a/y", b"2"), ("b/c/x", b"3"), ("a/z", b"4")])
    assert [store.get(key) for key in ("a/x", "a/y", "b/c/x", "a/z")] == [b"1", b"2", b"3", b"4"]
    store.put_all([])


class Unreadable(BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise OSError(errno.EIO, "cannot be read")


def test_what_is_put_together_ends_where_it_fails(store: ObjectStore) -> None:
    with pytest.raises((OSError, StoreUnavailable)):
        store.put_all([("a/x", b"1"), ("a/y", Unreadable()), ("a/z", b"3"), ("b/x", b"4")])
    assert set(store.list("a/")) <= {"a/x"}
    assert list(store.list("b/")) == []


def test_a_put_replaces_the_whole_object(store: ObjectStore) -> None:
    store.put("a/x", b"a longer text")
    store.put("a/x", b"short")
    assert store.get("a/x") == b"short"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("a/empty", b"")
    assert store.get("a/empty") == b""
    assert sorted(store.list("a/")) == ["a/empty"]


def test_a_missing_object_is_told_before_the_first_chunk(store: ObjectStore) -> None:
    store.put("a/x", b"1")
    for key in ("a/y", "a", "a/x/z"):
        with pytest.raises(ObjectNotFound):
            store.get(key)
        with pytest.raises(ObjectNotFound):
            store.stream(key)


def test_a_large_file_is_put_and_streamed_in_chunks(store: ObjectStore) -> None:
    content = bytes(range(256)) * 48_000  # 12 MB
    file = BytesIO(content)
    store.put("big/file", file)
    assert not file.closed
    file.seek(-3, 2)
    store.put("big/tail", file)
    assert store.get("big/tail") == content[-3:]
    chunks = list(store.stream("big/file"))
    assert max(map(len, chunks)) <= 1024 * 1024
    assert b"".join(chunks) == content


def test_a_list_holds_what_is_below_its_prefix_and_no_siblings(store: ObjectStore) -> None:
    for key in ("a/b/2", "a/b/1", "a/b-c/1", "a/b.d", "ab/1"):
        store.put(key, b"x")
    assert sorted(store.list("a/")) == ["a/b-c/1", "a/b.d", "a/b/1", "a/b/2"]
    assert sorted(store.list("a/b/")) == ["a/b/1", "a/b/2"]
    assert list(store.list("none/")) == []


ODD_KEYS = ["a b", "a+b", "a%2Fb", "a&b<c>", "üñï-日本", "'q'", "x=1;y?", ".tmp/x", "..a", "~*#"]


def test_unusual_characters_in_a_key_change_nothing(store: ObjectStore) -> None:
    keys = [f"odd/{name}" for name in ODD_KEYS]
    for key in keys:
        store.put(key, key.encode())
    assert [store.get(key).decode() for key in keys] == keys
    assert sorted(store.list("odd/")) == sorted(keys)
    store.delete(keys)
    assert list(store.list("odd/")) == []


def test_many_objects_are_listed_and_deleted(store: ObjectStore) -> None:
    keys = [f"many/{n:05}" for n in range(1100)]
    threads = [
        threading.Thread(target=lambda part: [store.put(k, b"x") for k in part], args=(part,))
        for part in (keys[::3], keys[1::3], keys[2::3])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.list("many/")) == keys
    store.delete(iter(keys))
    assert list(store.list("many/")) == []


def test_deleting_what_is_not_there_is_no_error(store: ObjectStore) -> None:
    store.put("a/x", b"1")
    store.delete(["a", "a/x/z"])
    assert store.get("a/x") == b"1"
    store.delete(["a/x", "a/x", "nothing/here"])
    store.delete([])
    with pytest.raises(ObjectNotFound):
        store.get("a/x")


def test_a_reader_never_sees_half_an_object(store: ObjectStore) -> None:
    bodies = [bytes([letter]) * 300_000 for letter in b"abc"]
    store.put("race/x", bodies[0])

    def write(body: bytes) -> None:
        for _ in range(5):
            store.put("race/x", body)

    threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads):
        seen.add(store.get("race/x"))
    for thread in threads:
        thread.join()
    assert seen | {store.get("race/x")} <= set(bodies)


def test_a_store_that_works_passes_its_check_and_leaves_nothing(store: ObjectStore) -> None:
    store.check()
    assert list(store.list(".check/") if not isinstance(store, DirectoryStore) else []) == []


def test_a_crash_in_the_middle_of_a_put_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/x", b"old")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        store.put("a/x", b"new")
    monkeypatch.undo()
    assert store.get("a/x") == b"old"
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_full_disk_is_told_without_a_path_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreUnavailable, match="full") as caught:
        store.put("a/x", b"new")
    monkeypatch.undo()
    assert str(tmp_path) not in caught.value.detail
    assert sorted(store.list("a/")) == []
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_put_that_cannot_be_made_is_an_outage_and_not_a_missing_object(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/x", b"1")
    for key in ("a", "a/x/z"):
        with pytest.raises(StoreUnavailable):
            store.put(key, b"2")
    assert store.get("a/x") == b"1"
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_put_that_always_loses_its_folder_gives_up_as_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "replace", lost)
    with pytest.raises(StoreUnavailable):
        DirectoryStore(tmp_path).put("a/x", b"1")


def test_every_new_folder_is_made_durable_and_old_ones_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []
    monkeypatch.setattr(
        "casola_ocr.objects.directory._sync_folder", lambda folder: folders.append(Path(folder))
    )
    root = tmp_path / "new" / "objects"
    store = DirectoryStore(root)
    store.put("a/b/x", b"1")
    assert {tmp_path, tmp_path / "new", root, root / "a", root / "a/b"} <= set(folders)
    folders.clear()
    store.put("a/b/y", b"1")
    assert folders == [root / "a/b"]


def test_what_is_put_together_is_durable_folder_by_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    move, fsync = os.replace, os.fsync

    def moved(path: str, target: str) -> None:
        done.append(f"move {Path(target).relative_to(tmp_path)}")
        move(path, target)

    def synced(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        name = "file" if ".tmp" in path.parts else path.relative_to(tmp_path)
        done.append(f"sync {name}")
        fsync(descriptor)

    monkeypatch.setattr(os, "replace", moved)
    monkeypatch.setattr(os, "fsync", synced)
    store = DirectoryStore(tmp_path)
    store.check()
    done.clear()
    store.put_all([("jobs/a/x", b"1"), ("jobs/a/y", b"2"), ("marks/a", b"3")])
    assert done == [
        *["sync file"] * 3,
        *("move jobs/a/x", "move jobs/a/y", "sync jobs/a", "sync .", "sync jobs"),
        *("move marks/a", "sync marks", "sync ."),
    ]


def test_of_what_is_put_together_nothing_follows_what_cannot_be_moved(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/y/z", b"1")
    with pytest.raises(StoreUnavailable):
        store.put_all([("a/x", b"1"), ("a/y", b"2"), ("a/z", b"3"), ("b/x", b"4")])
    assert list(store.list("a/")) == ["a/x", "a/y/z"]
    assert list(store.list("b/")) == []
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_folder_is_listed_in_the_order_of_its_whole_keys(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    keys = ["a/b-c/1", "a/b.d", "a/b/1", "a/b/2", "a/b0"]
    for key in reversed(keys):
        store.put(key, b"x")
    assert list(store.list("a/")) == keys


def test_what_a_dead_process_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    temporary = tmp_path / ".tmp"
    temporary.mkdir()
    for name, age in (("old", 2 * STALE_SECONDS), ("young", 0)):
        (temporary / name).write_bytes(b"part")
        moment = time.time() - age
        os.utime(temporary / name, (moment, moment))
    DirectoryStore(tmp_path).put("a/x", b"1")
    assert [path.name for path in temporary.iterdir()] == ["young"]


def test_a_deleted_job_leaves_no_empty_folder_but_the_one_at_the_top(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b/c/x", b"1")
    store.delete(["a/b/c/x"])
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".tmp", "a"]


def test_the_store_in_memory_can_play_an_outage() -> None:
    store = MemoryStore()
    store.put("a/x", b"1")
    store.fail_with = StoreUnavailable()
    calls: list[Callable[[], object]] = [
        lambda: store.put("a/x", b"2"), lambda: store.get("a/x"), lambda: store.stream("a/x"),
        lambda: store.list("a/"), lambda: store.delete(["a/x"]), store.check,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()
    store.fail_with = None
    assert store.get("a/x") == b"1"


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "a//b", ".tmp/x", "a/\0"])
def test_a_key_cannot_leave_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        DirectoryStore(tmp_path / "objects").put(key, b"x")


def test_puts_and_deletes_in_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    errors: list[CasolaError] = []

    def churn(name: str) -> None:
        try:
            for _ in range(100):
                store.put(f"shared/deep/{name}", b"x")
                store.delete([f"shared/deep/{name}"])
        except CasolaError as error:
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.s3
def test_an_s3_server_that_is_not_there_is_one_clear_error(s3_server: S3Server) -> None:
    gone = s3_store(s3_server, endpoint_url="http://127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        gone.put("a/x", b"1")
    assert time.monotonic() - began < 15
    assert "127.0.0.1" not in caught.value.detail
    forbidden = s3_store(s3_server, secret_access_key="wrong")
    with pytest.raises(StoreUnavailable) as caught:
        forbidden.get("a/x")
    assert s3_server.bucket not in caught.value.detail


def test_sizes_tell_the_bytes_of_every_key_that_a_list_does(store: ObjectStore) -> None:
    for key, data in {"a/x": b"123", "a/b/y": b"", "ab/z": b"1"}.items():
        store.put(key, data)
    assert dict(store.sizes("a/")) == {"a/x": 3, "a/b/y": 0}
    assert [key for key, _ in store.sizes("a/")] == list(store.list("a/"))
    assert list(store.sizes("none/")) == []
