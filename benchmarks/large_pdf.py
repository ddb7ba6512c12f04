"""One very long PDF.

    python -m benchmarks.large_pdf [--pages 5000] [--paper a4] [--engine marker]
                                   [--text-layer ignore]

A running service with two worker children, and a PDF of so many pages full of text, made here.
The engine is the marker engine, which answers at once, so that preparing is what is measured, or
the real one (then take a few pages). What the columns mean: benchmarks/large_document.py. The most
that a process may hold is 600 MB, the first text is to be there within 10 s.
"""

from __future__ import annotations

import time

from benchmarks.common import console, parser, write_report
from benchmarks.large_document import CHILDREN, TENANT, figures, measure, show
from benchmarks.running import running_service
from tests.pdfs import make_pdf, text_page

LINES = 40
#: Points. The pixels are what preparing costs: an A6 page has a quarter of them.
PAPER = {"a4": (595, 842), "a6": (298, 420)}
ENGINES = {"marker": "prefork", "pp-ocrv6": "pp-ocrv6"}


def document(pages: int, size: tuple[float, float]) -> bytes:
    """No two pages are the same."""
    points = size[0] / 50
    lines = [f"Line {n} of a page that is full of ordinary words to the end." for n in range(LINES)]
    return make_pdf(
        text_page(
            [f"This is page {page}.", *lines], size=size, points=points, at=(20, size[1] - 30)
        )
        for page in range(1, pages + 1)
    )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--pages", type=int, default=5_000)
    arguments.add_argument("--paper", choices=PAPER, default="a4")
    arguments.add_argument("--engine", choices=ENGINES, default="marker")
    arguments.add_argument("--text-layer", choices=("ignore", "prefer"), default="ignore")
    chosen = arguments.parse_args()
    begun = time.perf_counter()
    content = document(chosen.pages, PAPER[chosen.paper])
    console.print(
        f"a PDF of {chosen.pages:,} pages: {len(content) / 1e6:.1f} MB, "
        f"made in {time.perf_counter() - begun:.1f} s",
        highlight=False,
    )
    with running_service([TENANT], CHILDREN, worker=ENGINES[chosen.engine]) as running:
        row = measure(running, "PDF", [[content]], chosen.pages, text_layer=chosen.text_layer)
    show([row])
    write_report(chosen.report, {"row": figures(row)})


if __name__ == "__main__":
    main()
