"""The threads pool: pages in flight are stopped, timed, and on their last attempt alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from PIL import Image

from casola_ocr.errors import EngineFailed, PageTimeout
from casola_ocr.model import Claim
from casola_ocr.records import Records
from casola_ocr.settings import Settings
from casola_ocr.work import StepStopped
from workers.drain import Room, Running, StoppableEngine

IMAGE = Image.new("RGB", (1, 1))


class OnePage:
    """A pulse of which every thread sees the same page."""

    def __init__(self) -> None:
        self.page = Running(cast(Claim, None))

    def running(self) -> Running:
        return self.page


class Held:
    """Records in which every claim still holds."""

    def enter(self, claim: Claim) -> bool:
        return True


class Waiting:
    """An engine that waits until it is told to stop."""

    name = version = "waiting"

    def __init__(self) -> None:
        self.entered = threading.Event()

    def read(self, image: Image.Image, *, stop: threading.Event, **_: Any) -> Any:
        self.entered.set()
        assert stop.wait(5)
        raise RuntimeError("aborted")


@pytest.fixture
def pulse() -> Iterator[OnePage]:
    made = OnePage()
    yield made
    made.page.stop.set()


def engine(inner: Any, pulse: Any) -> StoppableEngine:
    return StoppableEngine(
        Settings(page_timeout_seconds=60), cast(Records, Held()), inner, pulse, Room()
    )


def read(reader: StoppableEngine, attempt: int = 1) -> Any:
    return reader.read(IMAGE, page=1, attempt=attempt, language="auto")


def test_a_page_that_nobody_wants_any_more_is_stopped(pulse: OnePage) -> None:
    threading.Timer(0.05, pulse.page.stop.set).start()
    with pytest.raises(StepStopped):
        read(engine(Waiting(), pulse))


def test_a_page_whose_time_is_up_is_told_from_one_that_was_cancelled(pulse: OnePage) -> None:
    def end() -> None:
        pulse.page.timed_out = True
        pulse.page.stop.set()

    threading.Timer(0.05, end).start()
    with pytest.raises(PageTimeout):
        read(engine(Waiting(), pulse))


def test_an_engines_own_error_stays_what_it_is(pulse: OnePage) -> None:
    class Failing:
        def read(self, image: Image.Image, **_: Any) -> Any:
            raise EngineFailed()

    with pytest.raises(EngineFailed):
        read(engine(Failing(), pulse))


def test_pages_are_together_until_one_is_to_be_alone() -> None:
    room, stop, order = Room(), threading.Event(), []
    first, second = room.enter(alone=False, stop=stop), room.enter(alone=False, stop=stop)
    first.__enter__()
    second.__enter__()

    def alone() -> None:
        with room.enter(alone=True, stop=stop):
            order.append("alone")
            time.sleep(0.1)
            order.append("left")

    def late() -> None:
        with room.enter(alone=False, stop=stop):
            order.append("late")

    threads = [threading.Thread(target=target) for target in (alone, late)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    assert order == [], "those inside are waited for, and nobody overtakes"
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    for thread in threads:
        thread.join(5)
    assert order == ["alone", "left", "late"]


def test_who_waits_to_enter_can_be_stopped_and_leaves_no_trace() -> None:
    room, stop = Room(), threading.Event()
    with room.enter(alone=False, stop=threading.Event()):
        stop.set()
        with pytest.raises(StepStopped), room.enter(alone=True, stop=stop):
            pass
        with room.enter(alone=False, stop=stop):
            pass


def test_the_last_attempt_is_made_alone(pulse: OnePage) -> None:
    inner = Waiting()
    reader = engine(inner, pulse)

    def last() -> None:
        with pytest.raises(StepStopped):
            read(reader, attempt=3)

    thread = threading.Thread(target=last)
    thread.start()
    assert inner.entered.wait(5)
    with pytest.raises(StepStopped):
        stopped = threading.Event()
        stopped.set()
        with reader._room.enter(alone=False, stop=stopped):
            pass
    pulse.page.stop.set()
    thread.join(5)
