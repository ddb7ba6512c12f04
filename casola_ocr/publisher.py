"""Where a step's message goes. The message is a hint; the record is the truth.

This module knows queues and names but no Celery: the API and the workers hand in their own Celery
application, so that the API can publish without importing the workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Protocol

import structlog

from casola_ocr.model import Lane

PREPARE_QUEUE = "prepare"
FINISH_QUEUE = "finish"

#: Bulk tenants are hashed onto this many queues; kombu's round robin makes them take turns.
BULK_SHARDS = 8

TASK_PREPARE = "casola.prepare"
TASK_READ_PAGE = "casola.read_page"
TASK_FINISH = "casola.finish"

log = structlog.get_logger(__name__)


def pages_queue(engine: str, lane: Lane, tenant: str) -> str:
    """The queue on which a tenant's pages wait for an engine."""
    if lane is Lane.INTERACTIVE:
        return f"pages.{engine}.interactive"
    digest = hashlib.sha256(tenant.encode()).digest()
    return f"pages.{engine}.bulk.{digest[0] % BULK_SHARDS}"


def engine_queues(engine: str) -> list[str]:
    """Every queue from which a worker of this engine takes pages."""
    shards = [f"pages.{engine}.bulk.{shard}" for shard in range(BULK_SHARDS)]
    return [f"pages.{engine}.interactive", *shards]


def step_queue(step: str, pages_queue: str) -> str:
    return {"prepare": PREPARE_QUEUE, "finish": FINISH_QUEUE}.get(step, pages_queue)


def step_task(step: str) -> str:
    return {"prepare": TASK_PREPARE, "finish": TASK_FINISH}.get(step, TASK_READ_PAGE)


def celery_settings(redis_url: str) -> dict[str, Any]:
    """The Celery settings that survive what was measured; each is explained in docs/why.md."""
    return {
        "broker_url": redis_url,
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            "visibility_timeout": 900,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "priority_steps": [0],
            "queue_order_strategy": "round_robin",
        },
    }


class CeleryApp(Protocol):
    """The one method of a Celery application that publishing needs."""

    def send_task(self, name: str, **options: Any) -> Any: ...


class Publisher(Protocol):
    """Publishes steps. Never raises: what could not be published, the reconciler will."""

    def publish(self, request_id: str, steps: Iterable[str], pages_queue: str) -> None: ...


class CeleryPublisher:
    """Publishes through a Celery application; safe to share between threads and greenlets."""

    def __init__(self, app: CeleryApp):
        self._app = app

    def publish(self, request_id: str, steps: Iterable[str], pages_queue: str) -> None:
        for step in steps:
            args = [request_id] if step in ("prepare", "finish") else [request_id, int(step)]
            try:
                self._app.send_task(
                    step_task(step), args=args, queue=step_queue(step, pages_queue), retry=False
                )
            except Exception as error:  # noqa: BLE001 - kombu raises its transport's own types
                log.warning(
                    "a message was not published; the reconciler will do it",
                    action="publish_failed",
                    request_id=request_id,
                    step=step,
                    reason=type(error).__name__,
                )
                return
