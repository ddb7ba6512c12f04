"""The service without processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.world import World, open_world


@pytest.fixture
def world(valkey: str) -> Iterator[World]:
    with open_world(valkey) as made:
        yield made
