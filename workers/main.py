"""Starting a worker: ``casola-ocr worker --role pages`` or ``--role prepare``."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from pathlib import Path
from uuid import uuid4

import structlog
from celery.signals import (
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
    worker_shutting_down,
)

from casola_ocr import logs
from casola_ocr.errors import ConfigurationError
from casola_ocr.publisher import FINISH_POOL, PREPARE_POOL, pages_pool
from casola_ocr.settings import Settings
from casola_ocr.text import calibration
from workers import tasks
from workers.celery import make_app
from workers.engines import installed_engines, pool_of

log = structlog.get_logger(__name__)


def run_worker(settings: Settings, role: str) -> None:
    """Consume until SIGTERM. Blocks.

    Raises:
        ConfigurationError: no engine is installed, the role is unknown, or the calibration file is
            damaged.
    """
    logs.configure(settings)
    if role == "pages":
        engines = settings.engines or installed_engines()
        if not engines:
            raise ConfigurationError("No engine is installed; 'casola-ocr doctor' says more.")
        if settings.calibration_file:
            calibration.use_tables(Path(settings.calibration_file))
        queues = [pages_pool(engine) for engine in engines]
        children = settings.cpu_workers
        # Libraries below the engines start a thread per core each, unless told before the fork.
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(variable, str(settings.cpu_threads))
    elif role == "prepare":
        engines, queues, children = (), [PREPARE_POOL, FINISH_POOL], settings.prepare_workers
    else:
        raise ConfigurationError("The role is 'pages' or 'prepare'.")

    pool = pool_of(engines)
    app = make_app(settings, queues)
    process: list[tasks.Worker] = []
    tasks.register(app, process)
    # Shared with the children, which are forked from here.
    deadline = multiprocessing.Value("d", 0.0, lock=False)
    spec = tasks.WorkerSpec(
        settings=settings,
        app=app,
        engines=engines,
        pools=queues,
        deadline=deadline,
        name=uuid4().hex[:8],
    )

    def start(**_: object) -> None:
        try:
            process.append(tasks.ForkedWorker(spec))
        except Exception:
            # Celery logs and goes on with a child that could do nothing.
            log.exception("the worker child could not start", action="child_failed")
            os._exit(70)

    def stop(**_: object) -> None:
        for running in process:
            running.stop()

    def drain(**_: object) -> None:
        # What is being read is read on until then; what is still held is handed back at once.
        deadline.value = time.monotonic() + settings.drain_seconds

    worker_shutting_down.connect(drain, weak=False)
    if pool == "threads":
        children = settings.slots
        process.append(tasks.ThreadedWorker(spec))
        worker_shutdown.connect(stop, weak=False)
    else:
        worker_process_init.connect(start, weak=False)
        worker_process_shutdown.connect(stop, weak=False)
    sys.exit(
        app.worker_main(
            [
                "--quiet",
                "worker",
                f"--pool={pool}",
                f"--concurrency={children}",
                f"--queues={','.join(queues)}",
                f"--hostname={role}-{os.getpid()}@{socket.gethostname()}",
                f"--loglevel={'debug' if settings.log_level == 'debug' else 'warning'}",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
                "-Ofair",
            ]
        )
    )
