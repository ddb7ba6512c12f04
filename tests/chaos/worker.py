"""``python -P -m tests.chaos.worker``: the ordinary `pages` worker, its engine exchanged."""

from __future__ import annotations

import os
import select
import sys
import time

from casola_ocr import cli
from workers.engines import CPU_ENGINES

ENGINE = "pp-ocrv6"


def main() -> None:
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:
        # libfaketime 0.9.10 lets clock_nanosleep fail with EINVAL, on which Python's sleep is
        # built. Before Celery and kombu are imported, which keep the function.
        time.sleep = _sleep
    CPU_ENGINES[ENGINE] = CPU_ENGINES[ENGINE]._replace(
        module="tests.chaos.engine", name="MarkerEngine", needs=()
    )
    sys.argv = ["casola-ocr", "worker", "--role", "pages"]
    cli.main()


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


if __name__ == "__main__":
    main()
