"""The reconciler: publishes again what nobody works on, and recovers a wiped Redis by itself.

Several may run at once: each sweep is one atomic script.
"""

from __future__ import annotations

import os
import signal
import socket
import threading

import structlog
from celery import Celery

from casola_ocr import logs
from casola_ocr.errors import CasolaError
from casola_ocr.publisher import CeleryPublisher, celery_settings
from casola_ocr.service import Service
from casola_ocr.settings import Settings

log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Sweep every `reconcile_seconds` until SIGTERM or SIGINT. Blocks."""
    logs.configure(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    app = Celery("casola-reconciler")
    app.conf.update(celery_settings(settings.redis_url.get_secret_value()))
    service = Service.open(settings, CeleryPublisher(app))
    slot = f"{socket.gethostname()}:{os.getpid()}"
    started = False
    while not stop.is_set():
        try:
            if not started or not service.records.has_epoch():
                # In this order: an interrupted recovery is begun again.
                service.recover()
                service.records.set_epoch()
                started = True
            sweep(service)
            service.records.pulse(slot, ("reconcile",))
        except CasolaError as error:
            log.warning("cannot reconcile now", action="reconcile_delayed", code=error.code)
        stop.wait(settings.reconcile_seconds)


def sweep(service: Service) -> int:
    """Publish again every step that lost its worker or its message; returns how many."""
    lost = service.records.sweep()
    for step in lost:
        service.publisher.publish(step.request_id, [step.step], step.pages_queue)
        log.info(
            "a step was published again",
            action="step_republished",
            request_id=step.request_id,
            step=step.step,
            why=step.why,
        )
    return len(lost)
