"""Fit the calibration of the engines' confidences, and show how well it holds on other pages.

    python -m benchmarks.calibration CORPUS [--processes 1] [--threads 2] [--report FILE]

Half of the corpus's files, of each kind by the hash of their names, are for fitting; the tables go
to casola_ocr/text/calibration.json. The figures printed are of the other half: words by confidence,
how many of them are right, and the expected calibration error before and after.

Engines are told nothing. Whether a word is right: see casola_ocr/text/reliability.py. Left out are
files without a truth, in Japanese, Korean and Chinese (no spaces tell the words), and for PP-OCRv6
in scripts that it does not know: there its words mean nothing, and `auto` asks Tesseract.

Where `auto` fuses two readings, words come with calibrated confidences. So that table is fitted
last, with the two others in force, on pages that were fused, if there are enough words of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.progress import track

import casola_ocr.text
from benchmarks.common import console, errors, figures_table, parser, write_report
from benchmarks.documents import MOST_PAGES, open_entry
from benchmarks.readers import pool_of
from casola_ocr.corpus import Entry, halves, read_manifest
from casola_ocr.errors import CasolaError
from casola_ocr.languages import AUTO, LANGUAGES
from casola_ocr.pages import PageResult
from casola_ocr.text.calibration import Table, write_tables
from casola_ocr.text.fitting import (
    Fitted,
    TooFewWords,
    can_be_judged,
    fitted,
    judged_words,
    raw_verdicts,
)
from casola_ocr.text.reliability import Verdict, expected_error
from workers.engines import make_engine
from workers.engines.auto import FIRST_SCRIPTS
from workers.engines.base import Engine

TABLES = Path(casola_ocr.text.__path__[0]) / "calibration.json"
FIRST, SECOND = "pp-ocrv6", "tesseract"
FUSED = f"{FIRST}+{SECOND}"
#: By file name.
Verdicts = Mapping[str, Sequence[Verdict]]


def verdicts(entry: Entry, pages: Sequence[PageResult], engine: str) -> list[Verdict]:
    """Of the words on the pages that this engine read, with the confidences before its table."""
    if engine != FUSED:
        return raw_verdicts(entry, pages, engine)
    words = judged_words(entry, pages, engine)
    return [(word.confidence, right) for word, right in words if word.confidence is not None]


def suits(engine: str, entry: Entry) -> bool:
    known = engine != FIRST or LANGUAGES[entry.language].script in FIRST_SCRIPTS
    return known and can_be_judged(entry)


def read(
    name: str, entries: Sequence[Entry], processes: int, threads: int
) -> Iterator[tuple[Entry, list[PageResult]]]:
    """The pages of files as an engine reads them, told nothing; those that fail are left out."""
    with pool_of(processes, _start, name, threads) as pool:
        for entry, (pages, failures) in track(
            zip(entries, pool.map(_read, entries), strict=True), name, len(entries), console=errors
        ):
            for failure in failures:
                errors.print(failure, markup=False)
            yield entry, pages


#: Of this process, made by `_start`.
_engine: Engine


def _start(name: str, threads: int) -> None:
    global _engine
    _engine = make_engine(name, threads)


def _read(entry: Entry) -> tuple[list[PageResult], list[str]]:
    pages, failures = [], []
    with open_entry(entry) as document:
        for number in range(1, document.count(MOST_PAGES) + 1):
            try:
                image = document.page(number)
                pages.append(_engine.read(image, page=number, attempt=1, language=AUTO))
            except CasolaError as error:
                failures.append(f"{entry.name}, page {number}: {error}")
    return pages, failures


def pooled(found: Verdicts, entries: Sequence[Entry]) -> list[Verdict]:
    return [verdict for entry in entries for verdict in found.get(entry.name, ())]


def show(name: str, found: Fitted) -> None:
    console.print(f"{name}: {found}", markup=False)
    table = figures_table("", ("", "words", "confidence", "right"))
    for row in found.rows():
        table.add_row(*row)
    console.print(table)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("corpus", type=Path)
    arguments.add_argument("--limit", type=int, default=0, help="files of each kind; 0: all")
    arguments.add_argument("--processes", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=2, help="of each process")
    chosen = arguments.parse_args()
    entries = read_manifest(chosen.corpus, limit=chosen.limit)
    fitting, others = halves(entries)

    tables: dict[str, Table] = {}
    figures = {}
    for reader, engine in ((FIRST, FIRST), (SECOND, SECOND), (AUTO, FUSED)):
        suitable = [entry for entry in entries if suits(engine, entry)]
        found = {
            entry.name: verdicts(entry, pages, engine)
            for entry, pages in read(reader, suitable, chosen.processes, chosen.threads)
        }
        try:
            made = fitted(pooled(found, fitting), pooled(found, others))
        except TooFewWords as error:
            console.print(f"{engine}: {error}, so no table\n", markup=False)
            continue
        tables[engine] = made.table
        # In force for what is read next.
        write_tables(TABLES, tables)
        show(engine, made)
        figures[engine] = {"fitted_on": made.words} | {
            name: {"error": expected_error(bins), "bins": [each._asdict() for each in bins]}
            for name, bins in (("before", made.before), ("after", made.after))
        }
    write_report(chosen.report, {"files": {e.name: e in fitting for e in entries}, **figures})


if __name__ == "__main__":
    main()
