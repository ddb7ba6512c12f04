"""The command: its options, several documents in flight, and what is told of each."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer

from casola_ocr.errors import CasolaError
from casola_ocr.exports import FORMATS
from casola_ocr.reading.client import Server
from casola_ocr.reading.running import FAILED, connect, each, errors, progress, run, tell
from casola_ocr.reading.sources import Source, collect, plan

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
    options = {
        "model": model,
        "language": language,
        "pages": pages,
        "text_layer": text_layer,
        "password": password,
        "lane": "interactive" if len(sources) == 1 else "bulk",
    }
    reading = Reading(
        sources=sources,
        options={name: value for name, value in options.items() if value},
        force=force,
        in_flight=in_flight,
        printed="" if formats else "json" if as_json else "txt",
    )
    client = connect(server, token)
    failed = run(reading.run(client), client)
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
    options: dict[str, str]
    force: bool
    in_flight: int
    printed: str

    async def run(self, client: httpx.AsyncClient) -> bool:
        """Read all sources; whether any page of them could not be read."""
        wanted = [source for source in self.sources if self.force or not source.is_done()]
        skipped, failed = len(self.sources) - len(wanted), 0
        async with client:
            server = Server(client)
            with progress(quiet=bool(self.printed)) as show:
                bar = show.add_task("", total=len(wanted))
                async for outcome in each(
                    wanted,
                    lambda source: self._one(server, source),
                    limit=self.in_flight,
                    ordered=bool(self.printed),
                ):
                    failed += bool(outcome.problems)
                    self._report(outcome, several=len(self.sources) > 1)
                    show.advance(bar)
        if not self.printed:
            tell(f"{len(wanted) - failed} read, {skipped} there already, {failed} with errors")
        return bool(failed)

    async def _one(self, server: Server, source: Source) -> Outcome:
        try:
            job = await server.read(source.path, self.options, again=self.force)
            if job["status"] != "completed":
                detail = (job["error"] or {}).get("detail") or f"the job is {job['status']}"
                return Outcome(source=source, problems=(detail,))
            for format, target in source.outputs:
                await server.save(job, format, target)
            text = await self._text(server, job)
            failed = await server.failed_pages(job)
            if failed:
                source.leave_undone()
            problems = tuple(f"page {page}: {detail}" for page, detail in failed)
            return Outcome(source=source, problems=problems, text=text)
        except CasolaError as error:
            return Outcome(source=source, problems=(error.detail,))
        except OSError as error:
            return Outcome(source=source, problems=(error.strerror or str(error),))

    async def _text(self, server: Server, job: dict[str, object]) -> bytes:
        if not self.printed:
            return b""
        with tempfile.TemporaryFile() as body:
            await server.download(job, self.printed, body)
            body.seek(0)
            return body.read()

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
