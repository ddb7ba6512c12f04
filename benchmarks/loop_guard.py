"""What honest pages reach of the loop guard's thresholds.

    python -m benchmarks.loop_guard CORPUS [--report FILE]

The true text of each page goes through the guard as if a model had written it, in three forms: as
it is, a block for each line, and as one table. A flag on any page is a false alarm, and named.
Then a loop of the page's own lines is put into the first form: how many does the text alone tell?
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import console, figures_table, parser, write_report
from casola_ocr.corpus import Entry, read_manifest
from casola_ocr.documents.ink import ink_of
from casola_ocr.text.flags import UNTRUSTED
from casola_ocr.text.generated import Generated
from casola_ocr.text.generated_page import build_generated_page
from casola_ocr.text.loops import WINDOWS, compression_ratio

LOOPS = ("one line", "two lines", "three lines", "one line, counted", "one line, then the rest")


class Reached(NamedTuple):
    """Of one page: characters for each that there is ink for, and the best compression."""

    text_per_ink: float
    ratio: float
    alarms: list[str]
    #: Kinds of loops, and whether one was found.
    loops: dict[str, bool]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("corpus", type=Path)
    options = made.parse_args()
    found: dict[str, list[Reached]] = defaultdict(list)
    for entry in read_manifest(options.corpus):
        if entry.truth:
            found[entry.kind] += judge(entry)
    table = figures_table("The most that a page reaches", ("kind", "pages", "text/ink", "ratio"))
    for kind, pages in sorted(found.items()):
        most = (max(page.text_per_ink for page in pages), max(page.ratio for page in pages))
        table.add_row(kind, str(len(pages)), *(f"{value:.2f}" for value in most))
    console.print(table)
    pages = [page for members in found.values() for page in members]
    alarms = [alarm for page in pages for alarm in page.alarms]
    console.print(f"{len(pages)} pages, {len(alarms)} false alarms", *alarms, sep="\n")
    loops = figures_table("Loops that were put in", ("kind", "pages", "found"))
    for name in LOOPS:
        told = [page.loops[name] for page in pages if page.loops]
        loops.add_row(name, str(len(told)), str(sum(told)))
    console.print(loops)
    write_report(
        options.report,
        {kind: [page._asdict() for page in members] for kind, members in found.items()},
    )


def judge(entry: Entry) -> Iterator[Reached]:
    with entry.open() as document:
        for number, truth in enumerate((entry.truth or "").split("\f"), 1):
            if not truth.strip():
                continue
            image = document.page(number)
            ink = ink_of(image)
            alarms = [
                f"{entry.name}, page {number}: {flag}"
                for output in forms(truth)
                for flag in guarded(output, image.size, ink)
            ]
            parts = [
                truth[at : at + size] for size in WINDOWS for at in range(0, len(truth), size // 2)
            ]
            yield Reached(
                text_per_ink=len("".join(truth.split())) / max(1.0, ink),
                ratio=max(compression_ratio(part) for part in parts),
                alarms=alarms,
                loops={
                    name: bool(UNTRUSTED.intersection(guarded(output, image.size, None)))
                    for name, output in looping(truth)
                },
            )


def guarded(output: str, size: tuple[int, int], ink: float | None) -> tuple[str, ...]:
    return build_generated_page(
        Generated(text=output, starts=[0], logprobs=None, ranks=None, finish="stop"),
        size=size, page=1, engine="none", engine_version="", attempts=1, seconds=0.0,
        ink=ink, greedy=True,
    ).flags  # fmt: skip


def looping(truth: str) -> Iterator[tuple[str, str]]:
    """The page up to its middle, and a loop there; nothing for pages of a few lines."""
    lines = [line for line in truth.splitlines() if len(line) > 5]
    middle = len(lines) // 2
    if middle < 3:
        return
    line = lines[middle]
    rounds = {
        "one line": [line] * 60,
        "two lines": lines[middle - 1 : middle + 1] * 30,
        "three lines": lines[middle - 2 : middle + 1] * 20,
        "one line, counted": [f"{n}. {line}" for n in range(60)],
        "one line, then the rest": [*[line] * 60, *lines[middle:]],
    }
    for name in LOOPS:
        yield name, "\n".join([*lines[:middle], *rounds[name]])


def forms(truth: str) -> Iterator[str]:
    lines = [line for line in truth.splitlines() if line.strip()]
    yield truth
    boxes = ([9 * (n % 99), 9 * (n // 99), 990, 990] for n in range(len(lines)))
    yield "".join(
        f"<|ref|>text<|/ref|><|det|>[{box}]<|/det|>\n{line}\n\n"
        for box, line in zip(boxes, lines, strict=True)
    )
    cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in line.split()) for line in lines)
    yield f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


if __name__ == "__main__":
    main()
