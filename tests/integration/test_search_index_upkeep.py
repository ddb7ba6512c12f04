"""How the index of the search keeps up, comes back and is made anew, on a real Valkey."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from casola_ocr.cli import app as cli
from casola_ocr.errors import SearchUnavailable, StoreUnavailable
from casola_ocr.objects import keys
from casola_ocr.objects.directory import DirectoryStore
from casola_ocr.search.follow import Follower, rebuild
from casola_ocr.search.indexes import Indexes
from tests.search_world import dump, found, read
from tests.waiting import until
from tests.world import World, open_world

pytestmark = [pytest.mark.valkey, pytest.mark.usefixtures("patient")]


@pytest.fixture
def world(valkey: str, tmp_path: Path) -> Iterator[World]:
    with open_world(valkey, search_dir=str(tmp_path / "search")) as made:
        yield made


def test_an_index_made_anew_is_the_one_that_was_followed(
    world: World, follow: Callable[[], None], indexes: Indexes
) -> None:
    chance = random.Random(5)
    kept = []
    for number in range(30):
        kept.append(read(world, f"page {number}\fof 发票 number{number % 7}", f"n{number}.tif"))
        if chance.random() < 0.3:
            world.jobs.delete("acme", kept.pop(chance.randrange(len(kept))))
        if chance.random() < 0.3:
            follow()
    world.settle()
    follow()
    followed = dump(indexes, "acme")
    assert len([row for row in followed if len(row) == 9]) == len(kept)
    counts: list[int] = []
    assert rebuild(world.service, indexes, "acme", counts.append) == len(kept)
    assert counts[-1] == len(kept)
    assert dump(indexes, "acme") == followed
    assert sorted(found(world, "page")) == sorted(kept)


def test_what_changes_during_a_rebuild_is_not_lost(
    world: World, follow: Callable[[], None], indexes: Indexes
) -> None:
    first = read(world, "one word")
    second = read(world, "one word")
    follow()
    late: list[str] = []

    def meanwhile(_: int) -> None:
        if not late:
            world.jobs.delete("acme", first)
            late.append(read(world, "one word more"))
            follow()
            assert found(world, "word") == [late[0], second]

    rebuild(world.service, indexes, "acme", meanwhile)
    follow()
    assert found(world, "word") == [late[0], second]
    assert indexes.state().complete
    before = dump(indexes, "acme")
    rebuild(world.service, indexes, "acme", lambda _: None)
    assert dump(indexes, "acme") == before
    world.settle()


def test_a_wiped_valkey_loses_nothing(
    world: World, follow: Callable[[], None], indexes: Indexes
) -> None:
    before = read(world, "word before")
    follow()
    # Never told, and then there is nobody left to tell it.
    unseen, gone = read(world, "word unseen"), read(world, "word gone")
    world.jobs.delete("acme", gone)
    world.wipe()
    world.reconcile()
    after = read(world, "word after")
    follow()
    assert found(world, "word") == [after, unseen, before]
    world.settle()


def test_who_missed_too_many_changes_compares_everything(
    world: World, follow: Callable[[], None]
) -> None:
    first = read(world, "word one")
    follow()
    second = read(world, "word two")
    world.jobs.delete("acme", first)
    world.raw.xtrim("casola:changes", maxlen=1, approximate=False)
    third = read(world, "word three")
    follow()
    assert found(world, "word") == [third, second]
    world.settle()


@pytest.mark.parametrize("damage", ["garbage", "truncated", "version", "empty"])
def test_a_damaged_index_is_made_anew(
    world: World, follow: Callable[[], None], indexes: Indexes, damage: str
) -> None:
    first = read(world, "word one")
    follow()
    path = indexes.path("acme")
    assert path is not None
    if damage == "version":
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE about SET version = '0'")
    else:
        whole = path.read_bytes()
        broken = {"garbage": b"\0garbage" * 4096, "truncated": whole[:5000], "empty": b""}[damage]
        path.write_bytes(broken)
        with pytest.raises(SearchUnavailable):
            found(world, "word")
    second = read(world, "word two")
    follow()
    assert found(world, "word") == [second, first]


def test_indexes_of_an_older_version_are_made_anew_though_nothing_changes(
    world: World, follow: Callable[[], None], indexes: Indexes
) -> None:
    first = read(world, "word one")
    follow()
    path = indexes.path("acme")
    assert path is not None
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE about SET version = '1.1'")
    # That version did not say in the state which one it was.
    state = json.loads((path.parents[1] / "state.json").read_text())
    del state["version"]
    (path.parents[1] / "state.json").write_text(json.dumps(state))
    assert not indexes.complete()
    with pytest.raises(SearchUnavailable):
        found(world, "word")
    follow()
    assert found(world, "word") == [first]
    assert indexes.complete()


def test_a_store_that_is_down_delays_and_loses_nothing(
    world: World, follow: Callable[[], None], indexes: Indexes
) -> None:
    first = read(world, "word one")
    follow()
    second = read(world, "word two")
    world.raw.delete(f"job:{second}")
    world.store.fail_with = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        follow()
    world.store.fail_with = None
    follow()
    assert found(world, "word") == [second, first]


def test_two_who_follow_on_one_folder_take_turns(world: World, indexes: Indexes) -> None:
    stop = threading.Event()
    threads = [
        threading.Thread(target=Follower(world.service, indexes).run, args=(stop,))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    made = [read(world, f"word {number}") for number in range(8)]
    try:
        until(
            lambda: indexes.tenants() and sorted(found(world, "word")) == sorted(made),
            "all documents are found",
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sorted(found(world, "word")) == sorted(made)
    followed = dump(indexes, "acme")
    rebuild(world.service, indexes, "acme", lambda _: None)
    assert dump(indexes, "acme") == followed


def test_a_follower_that_is_killed_again_and_again_goes_on(valkey: str, tmp_path: Path) -> None:
    with open_world(valkey, search_dir=str(tmp_path / "search")) as world:
        objects = DirectoryStore(tmp_path / "objects")
        chance, made = random.Random(3), []
        for number in range(40):
            made.append(read(world, f"word{number} " + "filler text here " * 2000, f"{number}.png"))
            if number % 4 == 3:
                world.jobs.delete("acme", made.pop(chance.randrange(len(made))))
        world.settle()
        for key in world.store.list(keys.TENANTS_PREFIX):
            objects.put(key, world.store.get(key))
        environment = {
            "CASOLA_REDIS_URL": valkey,
            "CASOLA_OBJECT_STORE": (tmp_path / "objects").as_uri(),
            "CASOLA_SEARCH_DIR": str(tmp_path / "search"),
            "PYTHONPATH": ":".join(sys.path),
        }
        indexes = Indexes(tmp_path / "search")
        for _ in range(12):
            process = subprocess.Popen(
                [sys.executable, "-m", "casola_ocr.cli", "search", "follow"], env=environment
            )
            # Somewhere between its first write and its last.
            until(lambda: indexes.path("acme"), "an index", seconds=30, look_seconds=0.01)
            time.sleep(chance.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            process.wait()
            if indexes.state().complete:
                # Begin again from what is there, with the changes told once more.
                indexes.save(type(indexes.state())())
        follower = Follower(world.service, indexes)
        while follower.step():
            continue
        assert sorted(found(world, "filler")) == sorted(made)
        followed = dump(indexes, "acme")
        rebuild(world.service, indexes, "acme", lambda _: None)
        assert dump(indexes, "acme") == followed


def test_the_commands_make_an_index_and_tell_of_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: str
) -> None:
    objects = DirectoryStore(tmp_path / "objects")
    read(world, "some words")
    read(world, "more words")
    for key in world.store.list(keys.TENANTS_PREFIX):
        objects.put(key, world.store.get(key))
    monkeypatch.setenv("CASOLA_REDIS_URL", valkey)
    monkeypatch.setenv("CASOLA_OBJECT_STORE", (tmp_path / "objects").as_uri())
    monkeypatch.setenv("CASOLA_SEARCH_DIR", world.settings.search_dir)
    told = CliRunner().invoke(cli, ["search", "rebuild"])
    assert told.exit_code == 0
    assert "acme: 2 documents" in told.output
    assert len(found(world, "words")) == 2
    nobody = CliRunner().invoke(cli, ["search", "rebuild", "--tenant", "nobody"])
    assert "no such tenant" in str(nobody.exception)
    # Even where the records are down.
    monkeypatch.setenv("CASOLA_REDIS_URL", "redis://127.0.0.1:1/0")
    assert "acme: 2 documents" in CliRunner().invoke(cli, ["search", "rebuild"]).output


def test_a_deletion_that_is_under_way_is_one(
    world: World, follow: Callable[[], None], indexes: Indexes, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = read(world, "secret word")
    follow()
    monkeypatch.setattr(world.store, "delete", _nothing)
    world.jobs.delete("acme", secret)
    assert world.objects(secret), "its bytes are about to go, and its process died"
    assert found(world, "secret") == []
    follow()
    assert found(world, "secret") == []
    assert dump(indexes, "acme") == []
    rebuild(world.service, indexes, "acme", lambda _: None)
    assert dump(indexes, "acme") == []
    monkeypatch.undo()
    world.jobs.delete("acme", secret)
    world.settle()


def _nothing(found: object) -> None:
    return
