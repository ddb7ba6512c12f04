"""Records on an empty Valkey, and the service without processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from casola_ocr.records import Records
from tests.invariants import check_records
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
