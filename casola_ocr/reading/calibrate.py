"""``casola-ocr calibrate``: what an engine's confidences mean, from pages whose text is known.

The pages are read by a running server, whatever worker has the engine. Half of the documents, of
each kind by the hash of their names, are for fitting; the figures that are told are of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from casola_ocr.client import AsyncClient, ClientError, NotReached, Options
from casola_ocr.corpus import Entry, halves, read_manifest
from casola_ocr.engines import AUTO, ENGINES, languages_of
from casola_ocr.reading.running import FAILED, connect, each, errors, progress, run, tell
from casola_ocr.reading.submitted import ended_job
from casola_ocr.settings import load_settings
from casola_ocr.text.calibration import read_tables, write_tables
from casola_ocr.text.fitting import TooFewWords, can_be_judged, fitted, raw_verdicts
from casola_ocr.text.reliability import Verdict

#: How long the server keeps what it read for this, unless its tenant's retention is shorter.
KEPT_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The verdicts on a document's words, and a sentence for each part that was not read."""

    entry: Entry
    verdicts: Sequence[Verdict] = ()
    problems: tuple[str, ...] = ()


def calibrate(
    corpus: Annotated[
        Path, typer.Argument(help="folder with manifest.jsonl, the documents and their texts")
    ],
    engine: Annotated[str, typer.Option(help="the engine whose words are judged")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="file for the table [CASOLA_CALIBRATION_FILE]"),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="documents of each kind; 0: all")] = 0,
    server: Annotated[str | None, typer.Option(help="address of a running server")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="read again what was read within a day")
    ] = False,
    in_flight: Annotated[
        int, typer.Option("--in-flight", min=1, max=64, help="documents that are read at once")
    ] = 4,
    token: Annotated[str, typer.Option(envvar="CASOLA_TOKEN", help="token of a tenant")] = "",
) -> None:
    """Fit how often an engine is right to how sure it is, and write the table for the workers.

    A row of CORPUS/manifest.jsonl has "file", "kind", "language" (ISO 639-1) and "text": the file
    with the document's text. Tables of other engines in the file stay.
    """
    engines = [name for name in ENGINES if name != AUTO]
    if engine not in engines:
        # Of `auto` each page is another's.
        raise typer.BadParameter(f"{engine!r} is none of {', '.join(engines)}")
    target = out or Path(load_settings().calibration_file or "")
    if target == Path():
        raise typer.BadParameter("name a file with --out, or set CASOLA_CALIBRATION_FILE")
    if not target.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {target.parent}")
    tables = read_tables(target) if target.exists() else {}
    entries = _suitable(corpus, engine, limit)
    fitting, others = halves(entries)
    client = connect(server, token)
    found, failed = run(_judge(client, entries, engine, force=force, in_flight=in_flight))
    try:
        made = fitted(_pooled(found, fitting), _pooled(found, others))
    except TooFewWords as error:
        tell(f"error: {engine}: {error}, so no table was written")
        raise typer.Exit(FAILED) from None
    write_tables(target, {**tables, engine: made.table})
    shown = Table("", "words", "confidence", "right", box=None)
    for row in made.rows():
        shown.add_row(*row)
    tell(f"{engine}: {made}")
    errors.print(shown)
    tell(f"{target} has the table. Workers take it when they are started with "
         f"CASOLA_CALIBRATION_FILE={target.absolute()}.")  # fmt: skip
    raise typer.Exit(FAILED if failed else 0)


def _suitable(corpus: Path, engine: str, limit: int) -> list[Entry]:
    try:
        entries = read_manifest(corpus, limit=limit)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise typer.BadParameter(f"{corpus} is no corpus: {error!r}") from error
    known = languages_of(engine)
    found = [entry for entry in entries if can_be_judged(entry) and entry.language in known]
    if len({entry.name for entry in found}) < len(found):
        raise typer.BadParameter(f"{corpus} is no corpus: two documents have the same name")
    return found


async def _judge(
    client: AsyncClient, entries: Iterable[Entry], engine: str, *, force: bool, in_flight: int
) -> tuple[dict[str, Sequence[Verdict]], bool]:
    """The verdicts by the documents' names, and whether something could not be read."""
    entries = list(entries)
    found: dict[str, Sequence[Verdict]] = {}
    failed = False
    async with client:

        async def one(entry: Entry) -> Judged:
            return await _read(client, entry, engine, force=force)

        with progress() as shown:
            bar = shown.add_task("", total=len(entries))
            async for judged in each(entries, one, limit=in_flight):
                found[judged.entry.name] = judged.verdicts
                for problem in judged.problems:
                    failed = True
                    tell(f"error: {judged.entry.name}: {problem}")
                shown.advance(bar)
    return found, failed


async def _read(client: AsyncClient, entry: Entry, engine: str, *, force: bool) -> Judged:
    options = Options(model=engine, lane="bulk", expires_in=KEPT_SECONDS)
    try:
        job = await ended_job(client, entry.path, options, anew=force)
        job.check_read()
        pages = [page async for page in client.pages(job)]
    except NotReached:
        raise
    except ClientError as error:
        return Judged(entry=entry, problems=(error.detail,))
    except OSError as error:
        return Judged(entry=entry, problems=(error.strerror or str(error),))
    problems = tuple(f"page {page.page}: {page.error.detail}" for page in pages if page.error)
    return Judged(entry=entry, verdicts=raw_verdicts(entry, pages, engine), problems=problems)


def _pooled(found: Mapping[str, Sequence[Verdict]], entries: Iterable[Entry]) -> list[Verdict]:
    return [verdict for entry in entries for verdict in found.get(entry.name, ())]
