"""Records on an empty Valkey, and the service without processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from casola_ocr import library
from casola_ocr.records import Records
from casola_ocr.search.follow import Follower
from casola_ocr.search.indexes import Indexes
from tests.invariants import check_records
from tests.receiver import Receiver, running_receiver
from tests.world import World, open_world


@pytest.fixture
def world(valkey: str) -> Iterator[World]:
    with open_world(valkey) as made:
        yield made


@pytest.fixture
def records(valkey: str) -> Iterator[Records]:
    made = Records(valkey)
    yield made
    made.close_connections()


@pytest.fixture
def raw(valkey: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(valkey, decode_responses=True)
    yield client
    check_records(client)
    client.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as made:
        yield made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that a busy machine does not end."""
    monkeypatch.setattr(library, "MAX_SECONDS", 60)


@pytest.fixture
def indexes(world: World) -> Indexes:
    return Indexes(world.settings.search_folder)


@pytest.fixture
def follow(world: World, indexes: Indexes) -> Callable[[], None]:
    """Follow until nothing is left to do."""
    follower = Follower(world.service, indexes)

    def all_of_it() -> None:
        while follower.step():
            continue

    return all_of_it
