"""``python -P -m tests.chaos.worker [threads]``: the ordinary `pages` worker, its engine exchanged.

With ``threads`` it runs in the threads pool, as a GPU's does.
"""

from __future__ import annotations

import os
import select
import sys
import time
from typing import Literal

from casola_ocr import cli
from workers.engines import CPU_ENGINES, EngineEntry

ENGINE = "pp-ocrv6"


def main() -> None:
    if "FAKETIME_TIMESTAMP_FILE" in os.environ:
        # libfaketime 0.9.10 lets clock_nanosleep fail with EINVAL, on which Python's sleep is
        # built. Before Celery and kombu are imported, which keep the function.
        time.sleep = _sleep
    only_marker_engine("threads" if sys.argv[1:] == ["threads"] else "prefork")
    sys.argv = ["casola-ocr", "worker", "--role", "pages"]
    cli.main()


def only_marker_engine(pool: Literal["prefork", "threads"]) -> None:
    """Let this process know no other engine; what is installed here would be run beside it."""
    CPU_ENGINES.clear()
    CPU_ENGINES[ENGINE] = EngineEntry(
        "tests.chaos.engine",
        "ThreadedMarkerEngine" if pool == "threads" else "MarkerEngine",
        needs=(),
        pool=pool,
    )


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


if __name__ == "__main__":
    main()
