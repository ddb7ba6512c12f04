"""The API under gunicorn: ``python -m casola_ocr.gunicorn_api``, started by ``casola-ocr api``.

gunicorn's own command puts the current folder first on the import path and runs the
gunicorn.conf.py that it finds there: an `api` folder of somebody else's project would be served.

A process of its own, which imports little: gevent patches the standard library in each worker,
and what holds unpatched sockets or TLS contexts by then stays unpatched.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from casola_ocr.settings import Settings, load_settings

#: How long open requests may take to end when the API is stopped.
GRACE_SECONDS = 10
#: Longer than the idle times of common proxies, which would else meet a closing connection.
KEEP_ALIVE_SECONDS = 75
_MEMORY = Path("/dev/shm")  # noqa: S108 - gunicorn's heartbeat files must not meet a disk


def options(settings: Settings) -> dict[str, object]:
    """What gunicorn is told."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "workers": settings.api_workers,
        "worker_class": "gevent",
        "worker_connections": 2000,
        "timeout": max(180, settings.sync_timeout_seconds + 60),
        "graceful_timeout": GRACE_SECONDS,
        "keepalive": KEEP_ALIVE_SECONDS,
        "loglevel": "warning",
        "control_socket_disable": True,
        "worker_tmp_dir": str(_MEMORY) if _MEMORY.is_dir() else None,
    }


class Application(BaseApplication):  # type: ignore[misc] # gunicorn ships no types
    """Loads the API in each worker, after gevent patched it."""

    def load_config(self) -> None:
        for name, value in options(load_settings()).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        # By name: the domain does not import the rooms around it.
        return import_module("api.app").wsgi()


if __name__ == "__main__":
    Application().run()
