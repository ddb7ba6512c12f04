"""The one task: a hint says that something waits in a pool; take it and do it.

What a process needs is made once: after the fork in a prefork child, before the threads in a
worker of the threads pool.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, cast

import structlog
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image

from casola_ocr.engines import announcement
from casola_ocr.errors import EngineFailed, PageTimeout, RecordsUnavailable
from casola_ocr.guard import Guard
from casola_ocr.model import Wishes
from casola_ocr.pages import PageResult
from casola_ocr.publisher import TASK_WORK, CeleryPublisher
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from casola_ocr.work import Reader, Work
from workers.drain import StoppableEngine, ThreadedPulse
from workers.engines import make_engines
from workers.engines.base import Engine, ThreadedEngine
from workers.engines.golden import prove
from workers.health import Health
from workers.pulse import Deadline, ForkedPulse

log = structlog.get_logger(__name__)


class Worker(Protocol):
    """What one process keeps between tasks."""

    def run(self, pool: str) -> None:
        """Do the next step of a pool, unless the worker is stopping."""

    def stop(self) -> None:
        """Leave."""


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """What a worker is started with; each of its processes gets it."""

    settings: Settings
    app: Celery
    #: None for a `prepare` worker.
    engines: tuple[str, ...]
    #: Whose hints it gets.
    pools: Sequence[str]
    deadline: Deadline
    #: Drawn for each start: hosts and PIDs repeat themselves in containers.
    name: str


class Owner:
    """The name of a process in the records: ``{host}:{pid}:{worker}``."""

    def __init__(self, worker: str):
        self._host = socket.gethostname()
        self._worker = worker
        self.name = f"{self._host}:{os.getpid()}:{worker}"

    def is_dead_sibling(self, owner: str) -> bool:
        """Whether `owner` was a child of this worker that has died."""
        parts = owner.split(":")
        if len(parts) != 3 or (parts[0], parts[2]) != (self._host, self._worker):
            return False
        try:
            os.kill(int(parts[1]), 0)
        except ProcessLookupError:
            return True
        return False


class TimedEngine:
    """A `Reader` for `Work` around an engine that takes no wishes, as CPU engines are.

    Turns Celery's time limit into the domain's error.
    """

    def __init__(self, engine: Engine):
        self._engine = engine

    def read(
        self, image: Image.Image, *, page: int, attempt: int, language: str, wishes: Wishes
    ) -> PageResult:
        try:
            return self._engine.read(image, page=page, attempt=attempt, language=language)
        except SoftTimeLimitExceeded as error:
            raise PageTimeout() from error
        except EngineFailed as error:
            # An engine takes whatever interrupts its libraries for a failure of theirs.
            if isinstance(error.__cause__, SoftTimeLimitExceeded):
                raise PageTimeout() from error
            raise


class ForkedWorker:
    """A prefork child. Made in the child's main thread.

    It loads the engines, proves each on the golden page, and announces itself. A child of a
    `prepare` worker has no engines.
    """

    def __init__(self, spec: WorkerSpec):
        service = Service.open(spec.settings, CeleryPublisher(spec.app))
        owner = Owner(spec.name)
        bury_dead(owner, service)
        self._pulse = ForkedPulse(service, owner.name, spec.deadline, spec.pools)
        proven = _proven(spec)
        engines = {name: TimedEngine(engine) for name, engine in proven.items()}
        self._work = _work(service, owner.name, self._pulse, engines)
        self._pulse.start(_capabilities(proven))

    def run(self, pool: str) -> None:
        self._pulse.fed()
        if not self._pulse.deadline.value:
            self._work.run(pool)

    def stop(self) -> None:
        self._pulse.stop()


class ThreadedWorker:
    """A worker of the threads pool: one process, its threads share the engines."""

    def __init__(self, spec: WorkerSpec):
        self._pools = spec.pools
        service = Service.open(spec.settings, CeleryPublisher(spec.app))
        owner = Owner(spec.name).name
        self._pulse = pulse = ThreadedPulse(service, owner, spec.deadline, spec.pools)
        proven = _proven(spec)
        self._engines = [cast(ThreadedEngine, engine) for engine in proven.values()]
        engines = {engine.name: StoppableEngine(engine, pulse) for engine in self._engines}
        self._make: Callable[[], Work] = lambda: _work(
            service, f"{owner}:{threading.get_ident()}", pulse, engines, many=True
        )
        self._own = threading.local()
        pulse.start(_capabilities(proven))
        Health(self._engines, pulse, spec.settings).start()

    def run(self, pool: str) -> None:
        self._pulse.fed()
        if self._pulse.deadline.value:
            return
        if not hasattr(self._own, "work"):
            self._own.work = self._make()
        # On as long as there is work: Celery's loop for threads brings the next hint to a slot that
        # became free only after up to a second. The pools take turns.
        waiting = [pool, *(other for other in self._pools if other != pool)]
        while waiting and not self._pulse.deadline.value:
            waiting = [name for name in waiting if self._own.work.run(name)]

    def stop(self) -> None:
        self._pulse.stop()
        for engine in self._engines:
            engine.close()


def register(app: Celery, process: list[Worker]) -> None:
    """Register the task; `process` is filled by the process that runs it."""

    @app.task(name=TASK_WORK)  # type: ignore[untyped-decorator]
    def work(pool: str) -> None:
        process[0].run(pool)


def bury_dead(owner: Owner, service: Service) -> None:
    """Give back what children of this worker held that died.

    Their replacement is the first to know; without it their leases have to run out.
    """
    with suppress(RecordsUnavailable):
        for dead in filter(owner.is_dead_sibling, service.records.owners()):
            buried = service.records.bury(dead, max_attempts=service.settings.max_attempts)
            service.publisher.publish(buried.hints)
            for request_id, step, why in buried.lost:
                log.info(
                    "a worker child died at a step",
                    action="step_lost",
                    request_id=request_id,
                    step=step,
                    why=why,
                )


def _proven(spec: WorkerSpec) -> Mapping[str, Engine | ThreadedEngine]:
    engines = make_engines(spec.engines or (), spec.settings)
    for name, engine in engines.items():
        seconds = prove(engine)
        log.info("the engine reads", action="engine_ready", engine=name, seconds=round(seconds, 3))
    return engines


def _work(
    service: Service,
    owner: str,
    guard: Guard,
    engines: Mapping[str, Reader],
    *,
    many: bool = False,
) -> Work:
    return Work(
        service.settings,
        service.records,
        service.store,
        service.publisher,
        owner=owner,
        guard=guard,
        engines=engines,
        many=many,
    )


def _capabilities(engines: Mapping[str, Engine | ThreadedEngine]) -> tuple[str, ...]:
    told = [
        announcement(name, engine.version, getattr(engine, "languages", None))
        for name, engine in engines.items()
    ]
    return tuple(chain.from_iterable(told)) or ("prepare",)
