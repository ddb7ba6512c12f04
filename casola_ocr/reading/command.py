"""The command: its options, several documents in flight, and what is told of each."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from casola_ocr.client import AsyncClient, ClientError, NotReached, Options
from casola_ocr.exports import FORMATS
from casola_ocr.reading.running import FAILED, connect, each, errors, progress, run, tell
from casola_ocr.reading.sources import Source, collect, plan
from casola_ocr.reading.submitted import ended_job

_FORMAT_HELP = f"what to write: {', '.join(FORMATS)}; several with commas or by repeating it"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a document: `problems` are sentences, `text` is what is printed."""

    source: Source
    problems: tuple[str, ...] = ()
    text: bytes = b""


def read(
    files: Annotated[
        list[str], typer.Argument(help="documents, folders of documents, or patterns like '*.png'")
    ],
    server: Annotated[str | None, typer.Option(help="address of a running server")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="write into this folder, not beside the files"),
    ] = None,
    format: Annotated[list[str] | None, typer.Option("--format", "-f", help=_FORMAT_HELP)] = None,
    force: Annotated[
        bool, typer.Option("--force", help="read again what has been read already")
    ] = False,
    in_flight: Annotated[
        int, typer.Option("--in-flight", min=1, max=64, help="documents that are read at once")
    ] = 4,
    model: Annotated[str, typer.Option(help="an engine, or auto")] = "auto",
    language: Annotated[str, typer.Option(help="ISO 639-1 code, or auto")] = "auto",
    pages: Annotated[str, typer.Option(help="only these pages, such as 1-5,8")] = "",
    text_layer: Annotated[
        str, typer.Option(help="'prefer' takes text that a document holds, 'ignore' never does")
    ] = "",
    password: Annotated[
        str, typer.Option(envvar="CASOLA_PASSWORD", help="opens encrypted documents")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the whole result")] = False,
    token: Annotated[str, typer.Option(envvar="CASOLA_TOKEN", help="token of a tenant")] = "",
) -> None:
    """Read documents on a running server, and print their text or write it to files.

    With --format or --out files are written: beside each document, or below the folder --out with
    the folders that the documents were in. What is there already, and newer than its document, is
    not read again, so a run that was stopped goes on where it was.
    """
    formats = _formats(format or (["txt"] if out else []))
    found, problems = collect(files, out)
    for problem in problems:
        tell(f"error: {problem}")
    sources = plan(found, formats, out)
    options = Options(
        model=model, language=language, lane="interactive" if len(sources) == 1 else "bulk"
    )
    if pages:
        options["pages"] = pages
    if text_layer:
        options["text_layer"] = text_layer
    if password:
        options["password"] = password
    reading = Reading(
        sources=sources,
        options=options,
        force=force,
        in_flight=in_flight,
        printed="" if formats else "json" if as_json else "txt",
    )
    client = connect(server, token)
    failed = run(reading.run(client))
    raise typer.Exit(FAILED if failed or problems else 0)


def _formats(given: Iterable[str]) -> list[str]:
    names = dict.fromkeys(name.strip() for item in given for name in item.split(","))
    for name in names:
        if name not in FORMATS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(FORMATS)}")
    return list(names)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One run of the command. `printed` is the format that goes to standard output, if any."""

    sources: list[Source]
    options: Options
    force: bool
    in_flight: int
    printed: str

    async def run(self, client: AsyncClient) -> bool:
        """Read all sources; whether any page of them could not be read."""
        wanted = [source for source in self.sources if self.force or not source.is_done()]
        skipped, failed = len(self.sources) - len(wanted), 0
        async with client:
            with progress(quiet=bool(self.printed)) as show:
                bar = show.add_task("", total=len(wanted))
                async for outcome in each(
                    wanted,
                    lambda source: self._one(client, source),
                    limit=self.in_flight,
                    ordered=bool(self.printed),
                ):
                    failed += bool(outcome.problems)
                    self._report(outcome, several=len(self.sources) > 1)
                    show.advance(bar)
        if not self.printed:
            tell(f"{len(wanted) - failed} read, {skipped} there already, {failed} with errors")
        return bool(failed)

    async def _one(self, client: AsyncClient, source: Source) -> Outcome:
        try:
            job = await ended_job(client, source.path, self.options, anew=self.force)
            job.check_read()
            for format, target in source.outputs:
                await client.save(job, format, target)
            text = await client.export(job, self.printed) if self.printed else b""
            problems: tuple[str, ...] = ()
            if job.pages.failed:
                source.leave_undone()
                problems = tuple(
                    [
                        f"page {page.page}: {page.error.detail}"
                        async for page in client.pages(job)
                        if page.error
                    ]
                )
            return Outcome(source=source, problems=problems, text=text)
        except NotReached:
            raise
        except ClientError as error:
            return Outcome(source=source, problems=(error.detail,))
        except OSError as error:
            return Outcome(source=source, problems=(error.strerror or str(error),))

    def _report(self, outcome: Outcome, *, several: bool) -> None:
        path = outcome.source.path
        if self.printed:
            if several and self.printed == "txt":
                tell(f"== {path}")
            if outcome.text:
                sys.stdout.write(outcome.text.decode() + "\n")
                sys.stdout.flush()
        elif not errors.is_terminal and not outcome.problems:
            tell(f"{path}: read")
        for problem in outcome.problems:
            tell(f"error: {path}: {problem}")
