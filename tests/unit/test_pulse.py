"""A worker to which nothing comes although there is something ends itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from casola_ocr.service import Service
from casola_ocr.settings import Settings
from workers import pulse as module
from workers.pulse import Pulse


class Ended(Exception):
    pass


class Queues:
    """Records of which only the queues' length matters."""

    def __init__(self) -> None:
        self.length = 1

    def hints_waiting(self, pools: object) -> int:
        return self.length


@pytest.fixture
def queues() -> Queues:
    return Queues()


@pytest.fixture
def pulse(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> Pulse:
    monkeypatch.setattr(module, "UNFED_SECONDS", -1.0)
    service = SimpleNamespace(settings=Settings(), records=queues, publisher=None)
    made = Pulse(cast(Service, service), "slot", SimpleNamespace(value=0.0), ("pages",))

    def end() -> None:
        raise Ended

    monkeypatch.setattr(made, "_end", end)
    return made


def test_hints_that_never_arrive_end_the_worker(pulse: Pulse) -> None:
    pulse._check_feeding()
    with pytest.raises(Ended):
        pulse._check_feeding()


def test_one_that_arrives_is_enough(pulse: Pulse) -> None:
    for _ in range(3):
        pulse._check_feeding()
        pulse.fed()


def test_an_empty_queue_is_no_reason(pulse: Pulse, queues: Queues) -> None:
    pulse._check_feeding()
    queues.length = 0
    for _ in range(2):
        pulse._check_feeding()


def test_a_busy_worker_takes_none(pulse: Pulse) -> None:
    with pulse.hold(cast(Any, SimpleNamespace(fence=1))):
        for _ in range(3):
            pulse._check_feeding()


def test_a_stopping_worker_takes_none(pulse: Pulse) -> None:
    pulse.deadline.value = 1.0
    for _ in range(3):
        pulse._check_feeding()
