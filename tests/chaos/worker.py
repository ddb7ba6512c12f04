"""``python -P -m tests.chaos.worker``: the ordinary `pages` worker, its engine exchanged."""

from __future__ import annotations

import sys

from casola_ocr import cli
from workers.engines import CPU_ENGINES

ENGINE = "pp-ocrv6"


def main() -> None:
    CPU_ENGINES[ENGINE] = CPU_ENGINES[ENGINE]._replace(
        module="tests.chaos.engine", name="MarkerEngine", needs=()
    )
    sys.argv = ["casola-ocr", "worker", "--role", "pages"]
    cli.main()


if __name__ == "__main__":
    main()
