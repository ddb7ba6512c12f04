"""The tasks: IDs in, one verb, nothing out. What a child needs is made once, after the fork."""

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
from casola_ocr.publisher import TASK_FINISH, TASK_PREPARE, TASK_READ_PAGE, CeleryPublisher
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from casola_ocr.work import Reader, Work
from workers.engines import make_engine
from workers.engines.golden import prove
from workers.pulse import Pulse

log = structlog.get_logger(__name__)


@dataclass
class Child:
    """What one worker child keeps between tasks."""

    work: Work
    pulse: Pulse
    engines: dict[str, Reader]


class TimedEngine:
    """Turns Celery's time limit into the domain's error."""

    def __init__(self, engine: Reader):
        self._engine = engine

    def read(self, image: Image.Image, *, page: int, attempt: int, language: str) -> PageResult:
        try:
            return self._engine.read(image, page=page, attempt=attempt, language=language)
        except SoftTimeLimitExceeded as error:
            raise PageTimeout() from error


def start_child(settings: Settings, app: Celery, engine_names: tuple[str, ...]) -> Child:
    """Load the engines, prove each on the golden page, and announce the child.

    A child of a `prepare` worker has no engines.
    """
    service = Service.open(settings, CeleryPublisher(app))
    slot = f"{socket.gethostname()}:{os.getpid()}"
    pulse = Pulse(settings, service.records, slot)
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
        service.publisher,
        owner=slot,
        hold=pulse.hold,
    )
    pulse.start(tuple(f"engine:{name}" for name in engines) or ("prepare",))
    return Child(work=work, pulse=pulse, engines=engines)


def register(app: Celery, child: list[Child]) -> None:
    """Register the tasks; `child` is filled by the process that runs them."""

    @app.task(name=TASK_PREPARE)  # type: ignore[untyped-decorator]
    def prepare(request_id: str) -> None:
        child[0].work.prepare(request_id)

    @app.task(name=TASK_READ_PAGE)  # type: ignore[untyped-decorator]
    def read_page(request_id: str, page: int) -> None:
        child[0].work.read_page(request_id, page, child[0].engines)

    @app.task(name=TASK_FINISH)  # type: ignore[untyped-decorator]
    def finish(request_id: str) -> None:
        child[0].work.finish(request_id)
