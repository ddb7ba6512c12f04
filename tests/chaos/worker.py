"""``python -P -m tests.chaos.worker [threads]``: the ordinary `pages` worker, its engine exchanged.

With ``threads`` it runs in the threads pool, as a GPU's does.
"""

from __future__ import annotations

import os
import select
import sys
import time

from casola_ocr import cli
from workers.engines import CPU_ENGINES, EngineEntry

ENGINE = "pp-ocrv6"


def main() -> None:
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:
        # libfaketime 0.9.10 lets clock_nanosleep fail with EINVAL, on which Python's sleep is
        # built. Before Celery and kombu are imported, which keep the function.
        time.sleep = _sleep
    threads = sys.argv[1:] == ["threads"]
    # Whatever else is installed here would be run beside it.
    CPU_ENGINES.clear()
    CPU_ENGINES[ENGINE] = EngineEntry(
        "tests.chaos.engine",
        "ThreadedMarkerEngine" if threads else "MarkerEngine",
        needs=(),
        pool="threads" if threads else "prefork",
    )
    sys.argv = ["casola-ocr", "worker", "--role", "pages"]
    cli.main()


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


if __name__ == "__main__":
    main()
