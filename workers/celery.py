"""The Celery application of the workers and its settings, nothing else."""

from __future__ import annotations

from typing import Any

from celery import Celery, bootsteps
from kombu.entity import Queue

from casola_ocr.publisher import celery_settings
from casola_ocr.settings import Settings

#: Longest time that a worker child may take to load its engines and prove them.
CHILD_START_SECONDS = 120
#: A worker child that holds more than this is replaced after its page, in KiB.
CHILD_MEMORY_KIB = 2_500_000


class ForgetAcknowledgements(bootsteps.StartStopStep):  # type: ignore[misc]
    """Hints are not acknowledged, which Celery does not know.

    What it says to a queue with `no_ack` costs a round trip each, and kombu remembers it for ever
    (`QoS._dirty` is only emptied when a message is noted that has to be acknowledged).
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        qos = consumer.task_consumer.channel.qos
        qos.ack = qos.reject = lambda *_, **__: None


def make_app(settings: Settings, queues: list[str]) -> Celery:
    """An application that consumes `queues`."""
    app = Celery("casola-workers")
    app.conf.update(celery_settings(settings.redis_url.get_secret_value()))
    app.conf.update(
        # Hints are not acknowledged: an acknowledgement that fails, as while Valkey restarts, holds
        # its place in the prefetch window for ever, and a worker with none left goes silent.
        task_queues=[Queue(name, no_ack=True) for name in queues],  # type: ignore[no-untyped-call]
        task_default_queue=queues[0],
        # Instead one hint is taken for each idle child.
        worker_prefetch_multiplier=0,
        worker_disable_prefetch=True,
        worker_proc_alive_timeout=CHILD_START_SECONDS,
        worker_max_memory_per_child=CHILD_MEMORY_KIB,
        # The soft limit becomes a page's PageTimeout; the hard one kills a child stuck in C.
        task_soft_time_limit=settings.page_timeout_seconds,
        task_time_limit=settings.page_timeout_seconds + 15,
    )
    app.steps["consumer"].add(ForgetAcknowledgements)
    app.set_current()
    return app
