"""How much more of a tenant is accepted: against what really is, on a real Valkey."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from casola_ocr.errors import Overloaded, TooBusy
from casola_ocr.jobs import NewDocument, Options
from tests.world import PNG, World, open_world

pytestmark = pytest.mark.valkey


@pytest.fixture
def small(valkey: str) -> Iterator[World]:
    with open_world(valkey, max_pending_pages=5, max_pending_pages_per_tenant=3) as made:
        yield made


def submit(world: World, tenant: str) -> None:
    document = NewDocument(file_name="a.png", source=PNG)
    world.jobs.submit(tenant, [document], Options())


def test_as_many_pages_are_accepted_as_are_told(small: World) -> None:
    for left in (3, 2, 1):
        room = small.jobs.room("acme")
        assert (room.limit, room.left) == (3, left)
        submit(small, "acme")
    assert small.jobs.room("acme").left == 0
    with pytest.raises(TooBusy):
        submit(small, "acme")
    # Of another one's quota there would be three left, but of the service's two.
    room = small.jobs.room("other")
    assert (room.limit, room.left) == (5, 2)
    for _ in range(2):
        submit(small, "other")
    with pytest.raises(Overloaded):
        submit(small, "other")


def test_the_time_is_told_once_pages_were_read(small: World) -> None:
    assert small.jobs.room("acme").seconds == 0.0
    submit(small, "acme")
    assert small.jobs.room("acme").seconds is None
    small.settle()
    submit(small, "acme")
    seconds = small.jobs.room("acme").seconds
    assert seconds is not None
    assert seconds > 0
