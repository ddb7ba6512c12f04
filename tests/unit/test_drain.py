"""The threads pool: pages in flight are stopped, timed, and on their last attempt alone."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image

from casola_ocr.errors import EngineFailed, PageTimeout
from casola_ocr.guard import StepStopped
from casola_ocr.model import Wishes
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from casola_ocr.testing import ScriptedEngine
from workers.drain import Room, StoppableEngine, ThreadedPulse

IMAGE = Image.new("RGB", (1, 1))
WISHES = Wishes(mode="text", prompt="Only the total")


class HeldRecords:
    """Records in which every claim still holds."""

    def __init__(self) -> None:
        self.entered: list[int] = []

    def enter(self, claim: Any) -> bool:
        self.entered.append(claim.fence)
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


def claim(fence: int = 1, attempt: int = 1) -> Any:
    return SimpleNamespace(fence=fence, attempt=attempt)


@pytest.fixture
def pulse() -> ThreadedPulse:
    settings = Settings(page_timeout_seconds=60, max_attempts=3)
    never = SimpleNamespace(value=0.0)
    service = SimpleNamespace(settings=settings, records=HeldRecords(), publisher=None)
    return ThreadedPulse(cast(Service, service), "slot", never, ())


def read(pulse: ThreadedPulse, inner: Any, attempt: int = 1) -> Any:
    with pulse.begin(claim(attempt=attempt)):
        return StoppableEngine(inner, pulse).read(
            IMAGE, page=1, attempt=attempt, language="auto", wishes=WISHES
        )


def test_a_page_that_nobody_wants_any_more_is_stopped(pulse: ThreadedPulse) -> None:
    threading.Timer(0.1, lambda: pulse._lose(claim())).start()
    with pytest.raises(StepStopped):
        read(pulse, Waiting())


def test_a_page_whose_time_is_up_is_told_from_one_that_was_cancelled(pulse: ThreadedPulse) -> None:
    def time_is_up() -> None:
        pulse._running[1].until = time.monotonic() - 0.1
        pulse._look()

    threading.Timer(0.1, time_is_up).start()
    with pytest.raises(PageTimeout):
        read(pulse, Waiting())


def test_an_engines_own_error_stays_what_it_is(pulse: ThreadedPulse) -> None:
    class Failing:
        def read(self, image: Image.Image, **_: Any) -> Any:
            raise EngineFailed()

    with pytest.raises(EngineFailed):
        read(pulse, Failing())


def test_what_a_job_wishes_reaches_the_engine(pulse: ThreadedPulse) -> None:
    engine = ScriptedEngine()
    read(pulse, engine)
    assert engine.wishes == [WISHES]


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


def test_the_last_attempt_is_made_alone_and_counts_from_then_on(pulse: ThreadedPulse) -> None:
    inner, records = Waiting(), cast(HeldRecords, pulse._records)

    def last() -> None:
        with pytest.raises(StepStopped):
            read(pulse, inner, attempt=3)

    thread = threading.Thread(target=last)
    with pulse.begin(claim(fence=2)):
        thread.start()
        assert not inner.entered.wait(0.1)
        assert records.entered == []
    assert inner.entered.wait(5)
    assert records.entered == [1]
    pulse._lose(claim())
    thread.join(5)


def test_many_threads_hold_and_let_go_of_their_claims(pulse: ThreadedPulse) -> None:
    def hold(first: int) -> None:
        for fence in range(first, first + 500):
            with pulse.hold(claim(fence)):
                pass

    threads = [threading.Thread(target=hold, args=(n * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert pulse._claims == {}
