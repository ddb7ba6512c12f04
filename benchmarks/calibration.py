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

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from rich.progress import track

import casola_ocr.text
from benchmarks.common import console, errors, figures_table, parser, write_report
from benchmarks.corpus import MOST_PAGES, Entry, read_manifest
from benchmarks.readers import pool_of
from benchmarks.scores import UNSPACED
from casola_ocr.errors import CasolaError
from casola_ocr.languages import AUTO, LANGUAGES
from casola_ocr.model import PageResult
from casola_ocr.text.calibration import Table, chance
from casola_ocr.text.reliability import Bin, Verdict, expected_error, fit, judged, reliability
from workers.engines import make_engine
from workers.engines.auto import FIRST_SCRIPTS
from workers.engines.base import Engine

TABLES = Path(casola_ocr.text.__path__[0]) / "calibration.json"
FIRST, SECOND = "pp-ocrv6", "tesseract"
FUSED = f"{FIRST}+{SECOND}"
#: A table made of fewer words says little.
LEAST_WORDS = 500

#: By file name.
Verdicts = Mapping[str, Sequence[Verdict]]


def halves(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The files for fitting and the others: every second of a kind, by the hash of its name."""
    kinds: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        kinds[entry.kind].append(entry)
    fitting: list[Entry] = []
    others: list[Entry] = []
    for members in kinds.values():
        members.sort(key=lambda entry: sha256(entry.name.encode()).digest())
        fitting += members[::2]
        others += members[1::2]
    return fitting, others


def verdicts(entry: Entry, pages: Sequence[PageResult], engine: str) -> list[Verdict]:
    """Of the words on the pages that this engine read, with the confidences before its table."""
    lines = [line for page in pages if page.engine == engine for line in page.lines]
    words = judged(lines, entry.truth or "", case_insensitive=entry.case_insensitive)
    given = [(w.confidence if engine == FUSED else w.confidence_raw, right) for w, right in words]
    return [(confidence, right) for confidence, right in given if confidence is not None]


def suits(engine: str, entry: Entry) -> bool:
    known = engine != FIRST or LANGUAGES[entry.language].script in FIRST_SCRIPTS
    return known and entry.truth is not None and entry.language not in UNSPACED


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
    with entry.open() as document:
        for number in range(1, document.count(MOST_PAGES) + 1):
            try:
                image = document.page(number)
                pages.append(_engine.read(image, page=number, attempt=1, language=AUTO))
            except CasolaError as error:
                failures.append(f"{entry.name}, page {number}: {error}")
    return pages, failures


def pooled(found: Verdicts, entries: Sequence[Entry]) -> list[Verdict]:
    return [verdict for entry in entries for verdict in found.get(entry.name, ())]


def write_tables(tables: Mapping[str, Table]) -> None:
    """A row for each engine, as people read it."""
    rows = (f"  {json.dumps(name)}: {json.dumps(table)}" for name, table in tables.items())
    TABLES.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def show(name: str, before: Sequence[Bin], after: Sequence[Bin]) -> None:
    words = sum(each.words for each in before)
    wrong = f"{expected_error(before):.3f} before, {expected_error(after):.3f} after"
    console.print(f"{name}: {words} words of the other half, expected calibration error {wrong}")
    table = figures_table("", ("", "words", "confidence", "right"))
    for title, bins in (("before", before), ("after", after)):
        for each in bins:
            table.add_row(title, str(each.words), f"{each.confidence:.3f}", f"{each.right:.3f}")
            title = ""
        table.add_section()
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
        known, fresh = pooled(found, fitting), pooled(found, others)
        if len(known) < LEAST_WORDS or not fresh:
            console.print(f"{engine}: only {len(known)} words, so no table\n", markup=False)
            continue
        table = tables[engine] = fit(known)
        # In force for what is read next.
        write_tables(tables)
        before = reliability(fresh)
        after = reliability((chance(table, confidence), right) for confidence, right in fresh)
        show(engine, before, after)
        figures[engine] = {
            "fitted_on": len(known),
            "before": {"error": expected_error(before), "bins": [b._asdict() for b in before]},
            "after": {"error": expected_error(after), "bins": [b._asdict() for b in after]},
        }
    write_report(chosen.report, {"files": {e.name: e in fitting for e in entries}, **figures})


if __name__ == "__main__":
    main()
