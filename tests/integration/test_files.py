"""Files, on every object store."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from casola_ocr import expiry, files
from casola_ocr.errors import EmptyFile, FileTooLarge, NotFound, StoreUnavailable
from casola_ocr.files import File, Files
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.settings import Settings
from casola_ocr.tenants import Tenants
from casola_ocr.times import now_ms
from tests.stores import STORES, open_store
from tests.world import World
from workers.reconcile import Reconciler

HOUR_MS = 3_600_000


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(request, tmp_path)


@pytest.fixture
def kept(store: ObjectStore) -> Files:
    return Files(Settings(max_file_mb=1, max_request_file_mb=2), store)


def create(kept: Files, content: bytes = b"{}\n", **changes: Any) -> File:
    values = {"file_name": "a.jsonl", "purpose": "user_data"} | changes
    return kept.create("acme", BytesIO(content), **values)


def everything(store: ObjectStore) -> list[str]:
    return sorted([*store.list("tenants/"), *store.list("expiries/")])


def test_a_file_is_kept_with_what_is_known_of_it(kept: Files) -> None:
    before = now_ms()
    made = create(kept, b"hello", file_name="../été.txt", purpose="vision", media_type="text/plain")
    assert before <= made.created_at <= now_ms()
    assert (made.file_name, made.media_type, made.size) == ("été.txt", "text/plain", 5)
    assert (made.purpose, made.tenant, made.expires_at) == ("vision", "acme", None)
    assert kept.get("acme", made.file_id) == made
    assert b"".join(kept.stream("acme", made.file_id)) == b"hello"


def test_an_opened_file_can_be_read_again(kept: Files) -> None:
    content = bytes(range(256)) * 3900
    made = create(kept, content)
    with kept.open("acme", made.file_id) as file:
        assert file.read() == content
        assert file.seek(-1, 2) == len(content) - 1
        assert file.read() == b"\xff"


def test_a_file_is_read_from_its_beginning_wherever_it_stands(kept: Files) -> None:
    source = BytesIO(b"all of it")
    source.seek(4)
    made = kept.create("acme", source, file_name="a", purpose="user_data")
    assert b"".join(kept.stream("acme", made.file_id)) == b"all of it"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(b"\x89PNG\r\n\x1a\n" + bytes(50), "image/png"), (b"{}", "application/octet-stream")],
)
def test_the_media_type_is_found_in_the_bytes(kept: Files, content: bytes, media_type: str) -> None:
    assert create(kept, content).media_type == media_type


def test_sizes_are_limited_by_purpose(kept: Files) -> None:
    with pytest.raises(EmptyFile):
        create(kept, b"")
    with pytest.raises(FileTooLarge, match="limit is 1 MB"):
        create(kept, bytes(1_000_001))
    with pytest.raises(FileTooLarge, match="limit is 2 MB"):
        create(kept, bytes(2_000_001), purpose=files.BATCH)
    assert create(kept, bytes(2_000_000), purpose=files.BATCH).size == 2_000_000
    assert create(kept, bytes(2_000_001), purpose=files.BATCH_OUTPUT).size == 2_000_001


def test_a_refused_file_leaves_nothing(kept: Files, store: ObjectStore) -> None:
    with pytest.raises(FileTooLarge):
        create(kept, bytes(1_000_001))
    assert everything(store) == []


@pytest.mark.parametrize("name", ["file-", "nothing", "../x", "file-01ARZ3NDEKTSV4RRFFQ69G5FAV"])
def test_an_unknown_file_is_not_found(kept: Files, name: str) -> None:
    for ask in (kept.get, kept.stream, kept.open, kept.delete):
        with pytest.raises(NotFound):
            ask("acme", name)


def test_a_foreign_file_is_an_unknown_one(kept: Files) -> None:
    made = create(kept)
    for ask in (kept.get, kept.stream, kept.open, kept.delete):
        with pytest.raises(NotFound):
            ask("other", made.file_id)
    assert kept.list("other", limit=10) == ([], False)
    assert kept.get("acme", made.file_id) == made


def test_lists_are_by_time_in_pages(kept: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (f"file-01ARZ3NDEKTSV4RRFFQ69G5F{n:02}" for n in itertools.count(10))
    monkeypatch.setattr(files, "new_file_id", lambda: next(names))
    made = [create(kept, purpose=purpose).file_id for purpose in ["batch", "vision"] * 10]

    def pages(**how: Any) -> list[list[str]]:
        seen: list[list[str]] = []
        more, after = True, ""
        while more:
            found, more = kept.list("acme", limit=8, after=after, **how)
            seen.append([file.file_id for file in found])
            after = seen[-1][-1]
        return seen

    assert pages() == [made[:11:-1], made[11:3:-1], made[3::-1]]
    assert pages(newest_first=False) == [made[:8], made[8:16], made[16:]]
    assert pages(purpose="batch", newest_first=False) == [made[:16:2], made[16::2]]
    assert kept.list("acme", limit=20)[1] is False
    assert kept.list("acme", limit=5, purpose="evals") == ([], False)


def test_a_list_goes_on_after_a_file_that_was_deleted(kept: Files) -> None:
    first, second = sorted(create(kept).file_id for _ in range(2))
    kept.delete("acme", second)
    found, _ = kept.list("acme", limit=10, after=second)
    assert [file.file_id for file in found] == [first]
    with pytest.raises(NotFound):
        kept.list("acme", limit=10, after="second")


def test_nothing_is_left_of_a_deleted_file(kept: Files, store: ObjectStore) -> None:
    made = create(kept, expires_in=5400)
    kept.delete("acme", made.file_id)
    with pytest.raises(NotFound):
        kept.delete("acme", made.file_id)
    assert list(store.list("tenants/")) == []
    assert list(expiry.tend(store, now_ms() + 2 * HOUR_MS)) == [1, 1]
    assert everything(store) == []


def test_an_expired_file_is_gone_before_and_after_it_is_removed(
    kept: Files, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, stays = create(kept, expires_in=7200), create(kept)
    later = now_ms() + 2 * HOUR_MS
    assert list(expiry.tend(store, later - HOUR_MS // 2)) == [1, 1]
    assert kept.get("acme", made.file_id) == made
    monkeypatch.setattr(files, "now_ms", lambda: later)
    with pytest.raises(NotFound):
        kept.get("acme", made.file_id)
    assert [file.file_id for file in kept.list("acme", limit=9)[0]] == [stays.file_id]
    assert list(expiry.tend(store, later)) == [1]
    assert {key.split("/")[3] for key in store.list("tenants/")} == {stays.file_id}
    assert list(store.list("expiries/")) == []


def test_a_tenant_s_retention_is_the_most(store: ObjectStore) -> None:
    tenants = Tenants(store)
    tenants.create("acme")
    tenants.set_retention("acme", 1.0)
    kept = Files(Settings(), store, tenants)
    for asked, seconds in ((None, 86_400), (3600, 3600), (200_000, 86_400)):
        made = create(kept, expires_in=asked)
        assert made.expires_at == made.created_at + seconds * 1000


class Dying:
    """A store whose process dies at the write with this number."""

    def __init__(self, store: ObjectStore, survives: int):
        self._store, self._left = store, survives

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        self._count()
        self._store.put(key, data)

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self._count()
            self._store.delete([key])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _count(self) -> None:
        if not self._left:
            raise StoreUnavailable
        self._left -= 1


def deaths(store: ObjectStore) -> Iterator[Files]:
    """The files of processes that die one write later each time, until one does not."""
    for survives in range(10):
        yield Files(Settings(), Dying(store, survives))


def test_a_creation_that_dies_anywhere_leaves_nothing_for_good(store: ObjectStore) -> None:
    died = 0
    for dying in deaths(store):
        try:
            create(dying, expires_in=90)
            break
        except StoreUnavailable:
            died += 1
    assert died == 4
    assert len(Files(Settings(), store).list("acme", limit=10)[0]) == 1
    for _ in expiry.tend(store, now_ms() + 2 * HOUR_MS):
        pass
    assert everything(store) == []


def test_a_deletion_that_dies_anywhere_is_completed_or_never_began(store: ObjectStore) -> None:
    whole = Files(Settings(), store)
    for dying in deaths(store):
        made = create(whole)
        try:
            dying.delete("acme", made.file_id)
            break
        except StoreUnavailable:
            for _ in expiry.tend(store, now_ms() + 2 * HOUR_MS):
                pass
            there = {key.rpartition("/")[2] for key in everything(store)}
            if whole.list("acme", limit=10)[0]:
                assert there == {"about.json", "content"}
                whole.delete("acme", made.file_id)
            else:
                assert there == set()
    assert list(store.list("tenants/")) == []


def test_an_entry_that_is_not_due_is_left(store: ObjectStore) -> None:
    now = now_ms()
    hour = now - now % HOUR_MS
    expiry.look_at(store, "acme", keys.FILES, "file-x", when_ms=hour + 20)
    expiry.look_at(store, "acme", keys.FILES, "file-x", when_ms=hour + 3 * HOUR_MS)
    assert list(expiry.tend(store, hour + 19)) == []
    assert list(expiry.tend(store, hour + 20)) == [1]
    assert len(list(store.list("expiries/"))) == 1


def test_the_reconciler_removes_what_has_expired(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.service.files.create(
        "acme", BytesIO(b"x"), file_name="a", purpose="user_data", expires_in=1
    )
    later = made.created_at + 2 * HOUR_MS
    monkeypatch.setattr(expiry, "now_ms", lambda: later)
    Reconciler(world.settings, world.service).repair(1000.0)
    assert everything(world.store) == []
