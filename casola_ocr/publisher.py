"""Hints: a Celery message says only that something waits in a pool; the record says what.

This module knows queues and names but no Celery: the API and the workers hand in their own Celery
application, so that the API can publish without importing the workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import structlog

#: Pools of steps; each is also the name of the Celery queue in which its hints lie.
PREPARE_POOL = "prepare"
FINISH_POOL = "finish"

TASK_WORK = "casola.work"

log = structlog.get_logger(__name__)


def pages_pool(engine: str) -> str:
    """The pool in which pages wait for an engine."""
    return f"pages.{engine}"


def engine_of(pool: str) -> str:
    """The engine for which pages wait in a pool of `pages_pool`."""
    return pool.removeprefix("pages.")


def celery_settings(redis_url: str) -> dict[str, Any]:
    """The Celery settings that survive what was measured; each is explained in docs/why.md."""
    return {
        "broker_url": redis_url,
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_transport_options": {
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
    """Publishes hints. Never raises: what could not be published, the reconciler will."""

    def publish(self, hints: Mapping[str, int]) -> None: ...


class CeleryPublisher:
    """Publishes through a Celery application; safe to share between threads and greenlets."""

    def __init__(self, app: CeleryApp):
        self._app = app

    def publish(self, hints: Mapping[str, int]) -> None:
        """Tell the workers of each pool that so many steps wait there."""
        for pool, number in hints.items():
            for _ in range(number):
                try:
                    self._app.send_task(TASK_WORK, args=[pool], queue=pool, retry=False)
                except Exception as error:  # noqa: BLE001 - kombu raises its transport's own types
                    log.warning(
                        "a hint was not published; the reconciler will do it",
                        action="publish_failed",
                        pool=pool,
                        reason=type(error).__name__,
                    )
                    return
