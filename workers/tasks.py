"""The one task: a token says that something waits in a pool; take it and do it.

What a child needs is made once, after the fork.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import structlog
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image

from casola_ocr.errors import PageTimeout
from casola_ocr.model import PageResult
from casola_ocr.publisher import TASK_WORK, CeleryPublisher
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from casola_ocr.work import Reader, Work
from workers.engines import make_engine
from workers.engines.golden import prove
from workers.pulse import Deadline, Pulse

log = structlog.get_logger(__name__)


@dataclass
class Child:
    """What one worker child keeps between tasks."""

    work: Work
    pulse: Pulse
    deadline: Deadline


class TimedEngine:
    """Turns Celery's time limit into the domain's error."""

    def __init__(self, engine: Reader):
        self._engine = engine

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult:
        try:
            return self._engine.read(image, page=page, attempt=attempt, language=language)
        except SoftTimeLimitExceeded as error:
            raise PageTimeout() from error


def start_child(
    settings: Settings, app: Celery, engine_names: tuple[str, ...], deadline: Deadline
) -> Child:
    """Load the engines, prove each on the golden page, and announce the child.

    A child of a `prepare` worker has no engines.
    """
    publisher = CeleryPublisher(app)
    service = Service.open(settings, publisher)
    slot = f"{socket.gethostname()}:{os.getpid()}"
    pulse = Pulse(settings, service.records, publisher, slot, deadline)
    engines: dict[str, Reader] = {}
    for name in engine_names:
        engine = make_engine(name, settings.cpu_threads)
        seconds = prove(engine)
        log.info("the engine reads", action="engine_ready", engine=name, seconds=round(seconds, 3))
        engines[name] = TimedEngine(engine)
    work = Work(
        settings,
        service.records,
        service.store,
        publisher,
        owner=slot,
        guard=pulse,
        engines=engines,
    )
    pulse.start(tuple(f"engine:{name}" for name in engines) or ("prepare",))
    return Child(work=work, pulse=pulse, deadline=deadline)


def register(app: Celery, child: list[Child]) -> None:
    """Register the task; `child` is filled by the process that runs it."""

    @app.task(name=TASK_WORK)  # type: ignore[untyped-decorator]
    def work(pool: str) -> None:
        # A worker that is stopping takes nothing new: the token's step waits for another worker.
        if not child[0].deadline.value:
            child[0].work.run(pool)
