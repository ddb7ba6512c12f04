"""``python -P -m tests.deadly prepare|pages``: an ordinary worker that one page of a PDF kills.

Whoever opens `DEADLY_PAGE` gets a segmentation fault, as a bug in a decoder written in C gives.
"""

from __future__ import annotations

import os
import signal
import sys

from PIL import Image

from casola_ocr import cli
from casola_ocr.documents.pdf import PdfReader
from tests.chaos.worker import only_marker_engine

DEADLY_PAGE = 3


def main() -> None:
    whole = PdfReader.page

    def page(self: PdfReader, number: int) -> Image.Image:
        if number == DEADLY_PAGE:
            os.kill(os.getpid(), signal.SIGSEGV)
        return whole(self, number)

    PdfReader.page = page  # type: ignore[method-assign]
    only_marker_engine("prefork")
    sys.argv = ["casola-ocr", "worker", "--role", sys.argv[1]]
    cli.main()


if __name__ == "__main__":
    main()
