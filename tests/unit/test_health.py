"""A worker of the threads pool leaves when an engine is gone or does not prove that it reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from casola_ocr.model import Lane
from casola_ocr.sample import sample_text
from casola_ocr.settings import Settings
from casola_ocr.testing import ScriptedEngine
from workers import health
from workers.drain import ThreadedPulse
from workers.health import Health


class Pulse:
    """Remembers why the worker was told to leave."""

    def __init__(self) -> None:
        self.deadline = SimpleNamespace(value=0.0)
        self.why: list[str] = []

    def leave(self, why: str) -> None:
        self.why.append(why)
        self.deadline.value = 1.0


class Dead(ScriptedEngine):
    def alive(self) -> bool:
        return False


def watch(engine: ScriptedEngine, pulse: Pulse, golden_seconds: float = 5) -> Health:
    settings = Settings(golden_minutes=0.0001, golden_seconds=golden_seconds)
    watching = Health([engine], cast(ThreadedPulse, pulse), settings)
    watching.start()
    return watching


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOOK_SECONDS", 0.01)


def failing(*_: Any) -> str:
    raise RuntimeError("an error of the engine's own")


def hanging(*_: Any) -> str:
    threading.Event().wait(1)
    return sample_text()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Dead(text=sample_text()), "is gone"),
        (lambda: ScriptedEngine(text="something else"), "could not read"),
        (lambda: ScriptedEngine(script=failing), "could not read"),
        (lambda: ScriptedEngine(script=hanging), "in time"),
    ],
)
def test_a_worker_leaves(make: Callable[[], ScriptedEngine], why: str) -> None:
    pulse = Pulse()
    seconds = 0.2 if why == "in time" else 30
    watch(make(), pulse, golden_seconds=seconds).join(5)
    assert why in pulse.why[0]


def test_an_engine_that_reads_is_asked_again_before_what_nobody_waits_for() -> None:
    pulse, engine = Pulse(), ScriptedEngine(text=sample_text())
    watching = watch(engine, pulse)
    deadline = time.monotonic() + 5
    while len(engine.wishes) < 2:
        assert time.monotonic() < deadline
        # Nothing tells when a page was read but the engine's own list.
        time.sleep(0.01)
    pulse.deadline.value = 1.0
    watching.join(5)
    assert not pulse.why
    assert {wishes.lane for wishes in engine.wishes} == {Lane.INTERACTIVE}
