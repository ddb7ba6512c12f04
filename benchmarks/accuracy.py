"""How well our engines and others read a corpus of documents with known text.

    python -m benchmarks.accuracy CORPUS [--kind receipt] [--limit 2] [--engine auto]
        [--processes 1] [--threads 2] [--cache DIR] [--report FILE]

Who reads: see benchmarks/readers.py. What the scores mean: see benchmarks/scores.py. A figure of a
group is the mean over its files; a page that fails counts as an empty text and is named below the
table; files without a truth are read and counted, not scored.

`oracle` is, for each file, the one of `rapidocr` and `tesseract-told` with the lower CER, and that
one's WER, F1 and order: what a user who knew the language and the better program would get.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import track
from rich.table import Table

from benchmarks.common import console, errors, figures_table, parser, write_report
from benchmarks.readers import OURS, PEERS, Reading, read_all
from benchmarks.scores import Scores, mean, normalise, score
from casola_ocr.corpus import Entry, read_manifest

ORACLE = "oracle"

#: By reader and file name.
Readings = Mapping[str, Mapping[str, Reading]]
Scored = dict[str, dict[str, Scores]]


def scores_of(entry: Entry, text: str) -> Scores:
    assert entry.truth is not None
    how = {"language": entry.language, "case_insensitive": entry.case_insensitive}
    return score(normalise(entry.truth, **how), normalise(text, **how))


def scored(entries: Sequence[Entry], readings: Readings) -> Scored:
    """The scores of each reader and file with a truth, and the oracle's where both peers read."""
    made: Scored = {
        name: {e.name: scores_of(e, texts[e.name].text) for e in entries if e.truth is not None}
        for name, texts in readings.items()
    }
    if all(name in made for name in PEERS):
        made[ORACLE] = {
            file: min((made[name][file] for name in PEERS), key=lambda scores: scores.cer)
            for file in made[PEERS[0]]
        }
    return made


def groups(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """The files of each kind, of each language, and all."""
    for title, key in (("kind", "kind"), ("language", "language")):
        values = Counter(getattr(entry, key) for entry in entries)
        for value in values:
            yield f"{title} {value}", [e for e in entries if getattr(e, key) == value]
    yield "all", list(entries)


def seconds_a_page(readings: Sequence[Reading]) -> float:
    return sum(r.seconds for r in readings) / max(1, sum(len(r.texts) for r in readings))


def table_of(
    entries: Sequence[Entry], readings: Readings, results: Scored
) -> tuple[Table, dict[str, dict[str, dict[str, float | None]]]]:
    """The table, and the same figures by group and reader."""
    pages = {e.name: len(next(iter(readings.values()))[e.name].texts) for e in entries}
    table = figures_table(
        "Mean over files",
        ("group", "files", "pages", "read by", "CER", "WER", "F1", "order", "s/page"),
    )
    table.columns[3].justify = "left"
    figures: dict[str, dict[str, dict[str, float | None]]] = defaultdict(dict)
    for group, members in groups(entries):
        files = [entry.name for entry in members]
        known = [entry.name for entry in members if entry.truth is not None]
        label = (group, f"{len(known)}/{len(files)}", str(sum(pages[file] for file in files)))
        for name, by_file in results.items():
            means = mean([by_file[file] for file in known]) if known else None
            read = readings.get(name)
            seconds = seconds_a_page([read[file] for file in files]) if read else None
            figures[group][name] = {**(asdict(means) if means else {}), "seconds": seconds}
            cells = [f"{value:.3f}" for value in asdict(means).values()] if means else ["–"] * 4
            table.add_row(*label, name, *cells, "–" if seconds is None else f"{seconds:.2f}")
            label = ("", "", "")
        table.add_section()
    return table, figures


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("corpus", type=Path)
    arguments.add_argument("--kind", action="append", default=[], help="may be repeated")
    arguments.add_argument("--limit", type=int, default=0, help="files of each kind; 0: all")
    arguments.add_argument(
        "--engine", action="append", choices=[*OURS, *PEERS], help="may be repeated; default: all"
    )
    arguments.add_argument("--processes", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=2, help="of each process")
    arguments.add_argument("--cache", type=Path, help="folder that keeps what was read")
    chosen = arguments.parse_args()

    entries = read_manifest(chosen.corpus, kinds=chosen.kind, limit=chosen.limit)
    readings: dict[str, dict[str, Reading]] = {}
    for name in chosen.engine or (*OURS, *PEERS):
        read = read_all(
            name,
            entries,
            processes=chosen.processes,
            threads=chosen.threads,
            cache=chosen.cache,
        )
        progress = track(read, name, len(entries), console=errors)
        readings[name] = {entry.name: reading for entry, reading in progress}
    results = scored(entries, readings)
    table, figures = table_of(entries, readings, results)
    console.print(table)
    failures = {
        name: [failure for reading in read.values() for failure in reading.failures]
        for name, read in readings.items()
    }
    for name, failed in failures.items():
        for failure in failed:
            console.print(f"{name} failed: {failure}", markup=False)
    versions = {name: next(iter(read.values())).version for name, read in readings.items()}
    for name, version in versions.items():
        console.print(f"{name}: {version}")
    console.print(f"{chosen.processes} process(es); what stood in the cache was not read again")
    write_report(
        chosen.report,
        {
            "processes": chosen.processes,
            "threads": chosen.threads,
            "versions": versions,
            "groups": figures,
            "files": {
                entry.name: {
                    name: asdict(by_file[entry.name])
                    for name, by_file in results.items()
                    if entry.name in by_file
                }
                for entry in entries
            },
            "failures": failures,
        },
    )


if __name__ == "__main__":
    main()
