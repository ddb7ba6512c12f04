"""Searching a large library by text.

    python -m benchmarks.search CORPUS [--documents 100000] [--languages en,de,fr,es,it,ru,zh]
                                [--queries 60] [--folder DIR]

A store with so many read documents of one tenant is written, with words as frequent as Zipf's law
has them; the words are those of the corpus (`manifest.jsonl`, see docs/benchmarks.md) and pairs of
them, since a large library has more words than a small one. `casola-ocr search rebuild` indexes
it, and a running service is asked over HTTP, 50 documents a page with their snippets. All records
have left Valkey, as those of documents that are older than a week: each hit is one more read of
the store.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
import psutil
from ulid import ULID

from benchmarks.common import console, errors, figures_table, parser, percentile, write_report
from casola_ocr.model import Job, JobStatus, Lane, PageCounts
from casola_ocr.objects import keys
from casola_ocr.tenants import LOCAL_TENANT
from casola_ocr.times import now_ms
from tests.running import RunningService, free_port

#: Words of a language.
VOCABULARY = 30_000
#: Median and spread (log-normal) of a document's words, and the most.
WORDS, SPREAD, MOST_WORDS = 220, 0.8, 20_000
#: Of how many documents one has the rare word, and the rare filter.
RARE_IN = 10_000
UNSPACED = ("zh", "ja")
DAY_MS = 86_400_000
PER_PAGE = 50


@dataclass
class Language:
    """Words of a language, the most frequent first."""

    code: str
    words: list[str]
    weights: list[float] = field(init=False)

    def __post_init__(self) -> None:
        # https://en.wikipedia.org/wiki/Zipf%E2%80%93Mandelbrot_law
        self.weights = list(accumulate(1 / (rank + 2.7) for rank in range(len(self.words))))

    def text(self, count: int, chance: random.Random) -> str:
        drawn = chance.choices(self.words, cum_weights=self.weights, k=count)
        if self.code in UNSPACED:
            return "。".join("".join(drawn[at : at + 12]) for at in range(0, count, 12))
        return "\n".join(" ".join(drawn[at : at + 10]) for at in range(0, count, 10))


def languages(corpus: Path, codes: Sequence[str], chance: random.Random) -> list[Language]:
    found: dict[str, Counter[str]] = {code: Counter() for code in codes}
    for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        code = document["language"]
        if code in found and document.get("text"):
            text = (corpus / document["text"]).read_text(encoding="utf-8")
            found[code].update(_divided(code, text, chance))
    made = []
    for code, counts in found.items():
        words = [word for word, _ in counts.most_common()]
        known = len(words)
        while len(words) < VOCABULARY:
            words.append(words[chance.randrange(known)] + words[chance.randrange(known)].lower())
        made.append(Language(code, words[:VOCABULARY]))
    return made


def _divided(code: str, text: str, chance: random.Random) -> Iterator[str]:
    if code not in UNSPACED:
        yield from re.findall(r"\w+", text)
        return
    for run in re.findall(r"[\u3040-\u9fff]+", text):
        at = 0
        while at < len(run):
            size = chance.choice((1, 2, 2, 3))
            yield run[at : at + size]
            at += size


def documents(
    count: int, known: Sequence[Language], chance: random.Random
) -> Iterator[tuple[Job, str]]:
    """Jobs that ended between two years and two weeks ago, and their texts."""
    newest = now_ms() - 14 * DAY_MS
    step = 700 * DAY_MS // count
    for number in range(count):
        language = chance.choice(known)
        created = newest - (count - number) * step
        words = min(MOST_WORDS, int(chance.lognormvariate(math.log(WORDS), SPREAD)) + 1)
        text = language.text(words, chance) + "\neverywhere"
        rare = number % RARE_IN == RARE_IN // 2
        if rare:
            text += " zyxwvuts"
        job = Job(
            request_id=f"req_{ULID.from_timestamp(created / 1000)}", tenant=LOCAL_TENANT,
            status=JobStatus.COMPLETED, model="auto",
            engine="tesseract" if number % 100 == 0 else "pp-ocrv6", language=language.code,
            file_name=f"scan_{number:06}_{language.words[number % 500]}.pdf",
            media_type="application/pdf", lane=Lane.BULK, batch_id="",
            pages=PageCounts(total=1, done=1, failed=0), words=words,
            confidence=0.5 if rare else 0.95, created_at=created, started_at=created,
            finished_at=created + 2000, error=None,
        )  # fmt: skip
        yield job, text


def write_store(root: Path, made: Iterator[tuple[Job, str]]) -> int:
    """As workers leave it, but for pictures, page results and fsync; returns the texts' bytes."""
    size = 0
    for number, (job, text) in enumerate(made, 1):
        folder = root / keys.job_prefix(LOCAL_TENANT, job.request_id)
        folder.mkdir(parents=True)
        size += (folder / "text.txt").write_bytes(text.encode())
        head = json.dumps(job.to_dict(), ensure_ascii=False)[:-1]
        body = f'{head},"page_results":[],"text":{json.dumps(text, ensure_ascii=False)}}}'
        (folder / "result.json").write_text(body, encoding="utf-8")
        if number % 10_000 == 0:
            errors.print(f"{number:,} documents written")
    return size


def rebuild(environment: dict[str, str]) -> tuple[float, int]:
    """Seconds and most resident bytes of the command."""
    begun, most = time.perf_counter(), 0
    process = psutil.Popen(
        [sys.executable, "-m", "casola_ocr.cli", "search", "rebuild"],
        env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None:
        with suppress(psutil.Error):
            most = max(most, process.memory_info().rss)
        time.sleep(0.2)
    assert process.returncode == 0
    return time.perf_counter() - begun, most


#: A kind of question → how one is made: the text, and other parameters.
Ask = Callable[[], dict[str, Any]]


def questions(
    known: Sequence[Language], texts: Sequence[tuple[Job, str]], chance: random.Random
) -> dict[str, Ask]:
    spaced = [language for language in known if language.code not in UNSPACED]
    written = [text for job, text in texts if job.language not in UNSPACED]
    unspaced = [text.partition("。")[0] for job, text in texts if job.language in UNSPACED]
    # Words of the text's own frequencies, but no fillers: those have a line of their own.
    middle = [language.words[30:3000] for language in spaced]

    def word() -> str:
        return chance.choice(chance.choice(middle))

    def pair() -> dict[str, Any]:
        words = chance.choice(middle)
        return {"text": f"{chance.choice(words)} {chance.choice(words)}"}

    def phrase() -> dict[str, Any]:
        words = chance.choice(written).split()
        at = chance.randrange(max(1, len(words) - 3))
        return {"text": f'"{" ".join(words[at : at + 3])}"'}

    def part(size: int) -> str:
        run = chance.choice([text for text in unspaced if len(text) >= size])
        at = chance.randrange(len(run) - size + 1)
        return run[at : at + size]

    def filler() -> str:
        return chance.choice(chance.choice(spaced).words[:20])

    recent = {"created_from": "2026-01-01", "created_to": "2026-03-01"}
    asked: dict[str, Ask] = {
        "a word": lambda: {"text": word()},
        "two words": pair,
        "three words as a phrase": phrase,
        "one of the 20 most frequent words of a language": lambda: {"text": filler()},
        "two of them": lambda: {"text": f"{filler()} {filler()}"},
        "the first three letters of a word": lambda: {"text": word()[:3]},
        "a word of every document": lambda: {"text": "everywhere"},
        "a word of one in 10,000": lambda: {"text": "zyxwvuts"},
        "a word that is nowhere": lambda: {"text": f"{word()}xqzx"},
        "a file's name": lambda: {"text": f"scan {chance.randrange(len(texts)):06}"},
        "a word, between two dates": lambda: {"text": word(), **recent},
        "a word of every document, engine of 1 in 100": lambda: {
            "text": "everywhere", "model": "tesseract",
        },
        "a word of every document, low confidence (1 in 10,000)": lambda: {
            "text": "everywhere", "low_confidence": "true",
        },
        "a word of every document, part of a name, language": lambda: {
            "text": "everywhere", "file_name": f"{chance.randrange(1000):03}", "language": "de",
        },
    }  # fmt: skip
    if unspaced:
        asked["a Chinese character"] = lambda: {"text": part(1)}
        asked["two Chinese characters"] = lambda: {"text": part(2)}
        asked["four Chinese characters"] = lambda: {"text": part(4)}
    return asked


def measure(client: httpx.Client, api: psutil.Process, ask: Ask, count: int) -> dict[str, Any]:
    """Figures of so many questions; `api` is the process that answers them."""
    seconds, hits = [], []
    busy = sum(api.cpu_times()[:2])
    for _ in range(count):
        parameters = {"limit": PER_PAGE, **ask()}
        begun = time.perf_counter()
        answer = client.get("/api/v1/library", params=parameters)
        seconds.append(time.perf_counter() - begun)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["complete"]
        hits.append(len(body["data"]))
    return {
        "p50": percentile(seconds, 0.5),
        "p95": percentile(seconds, 0.95),
        "most": max(seconds),
        "hits": sum(hits) / count,
        "cpu": (sum(api.cpu_times()[:2]) - busy) / count,
    }


def wait_until_indexed(client: httpx.Client, seconds: float = 600) -> None:
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        if client.get("/api/v1/library?text=everywhere&limit=1").json().get("complete"):
            return
        time.sleep(0.5)
    raise AssertionError("the index was not complete in time")


def show(chosen: argparse.Namespace, figures: dict[str, float], rows: dict[str, Any]) -> None:
    console.print(
        f"{figures['documents']:,} documents, {figures['text_bytes'] / 1e6:.0f} MB of text; "
        f"rebuilt in {figures['rebuild_seconds']:.0f} s "
        f"with {figures['rebuild_rss'] / 1e6:.0f} MB of memory; "
        f"index {figures['index_bytes'] / 1e6:.0f} MB; "
        f"complete {figures['complete_seconds']:.0f} s after a start",
        highlight=False,
    )
    table = figures_table(
        f"{chosen.queries} questions each",
        ["question", "documents told", "p50 ms", "p95 ms", "most ms", "CPU ms"],
    )
    for kind, row in rows.items():
        table.add_row(
            kind,
            f"{row['hits']:.0f}",
            *(f"{row[name] * 1000:.0f}" for name in ("p50", "p95", "most", "cpu")),
        )
    console.print(table)
    write_report(chosen.report, {**figures, "questions": rows})


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("corpus", type=Path)
    arguments.add_argument("--documents", type=int, default=100_000)
    arguments.add_argument("--languages", default="en,de,fr,es,it,ru,zh")
    arguments.add_argument("--queries", type=int, default=60)
    arguments.add_argument(
        "--folder", type=Path, help="where the data goes; default: a temporary one"
    )
    chosen = arguments.parse_args()
    chance = random.Random(7)
    known = languages(chosen.corpus, chosen.languages.split(","), chance)
    with tempfile.TemporaryDirectory(prefix="bench-search-", dir=chosen.folder) as name:
        data = Path(name) / "data"
        kept: list[tuple[Job, str]] = []

        def made() -> Iterator[tuple[Job, str]]:
            for job, text in documents(chosen.documents, known, chance):
                if len(kept) < 2000 or chance.random() < 0.02:
                    kept.append((job, text[:2000]))
                yield job, text

        text_bytes = write_store(data / "objects", made())
        environment = {**os.environ, "CASOLA_DATA_DIR": str(data)}
        seconds, resident = rebuild(environment)
        index_bytes = sum(file.stat().st_size for file in (data / "search").rglob("*.sqlite3"))
        running = RunningService(data_dir=data, port=free_port(), start_seconds=300)
        started = time.perf_counter()
        running.start()
        try:
            with httpx.Client(base_url=running.url, timeout=60) as client:
                wait_until_indexed(client)
                complete = time.perf_counter() - started
                asked = questions(known, kept, chance)
                # gunicorn's worker, which is the child of its master.
                api = running.processes("gunicorn_api")[-1]
                rows = {
                    kind: measure(client, api, ask, chosen.queries) for kind, ask in asked.items()
                }
        finally:
            running.stop()
        figures = {
            "documents": chosen.documents, "text_bytes": text_bytes, "index_bytes": index_bytes,
            "rebuild_seconds": seconds, "rebuild_rss": resident, "complete_seconds": complete,
        }  # fmt: skip
        # Before the folder goes, which takes longer than all questions.
        show(chosen, figures, rows)


if __name__ == "__main__":
    main()
