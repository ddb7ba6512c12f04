"""Documents of the library that are searched for, and what an index knows of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from PIL import Image

from casola_ocr.jobs import NewDocument, Options
from casola_ocr.library import Wanted
from casola_ocr.search.indexes import Indexes
from casola_ocr.testing import ScriptedEngine
from tests.world import PNG, World, tiff


def read(world: World, text: str, name: str = "a.png", tenant: str = "acme", **options: str) -> str:
    """A document that was read as `text`, a form feed between pages: its request ID."""
    pages = text.split("\f")

    def script(image: Image.Image, page: int, attempt: int) -> str:
        return pages[page - 1]

    world.engine = ScriptedEngine(script=script)
    world.others = {"tesseract": ScriptedEngine("tesseract", script=script)}
    source = PNG if len(pages) == 1 else tiff(len(pages))
    document = NewDocument(file_name=name, source=source)
    (job,) = world.jobs.submit(tenant, [document], Options(**options))
    world.run()
    return job.request_id


def found(
    world: World, text: str, tenant: str = "acme", limit: int = 50, **wanted: object
) -> list[str]:
    after, ids = None, []
    while True:
        jobs, after = world.jobs.library(tenant, limit, after, Wanted(text=text, **wanted))
        ids += [job.request_id for job in jobs]
        if after is None:
            return ids


def dump(indexes: Indexes, tenant: str) -> list[tuple[object, ...]]:
    """All that an index knows, with the lists of words as FTS5 has them."""
    path = indexes.path(tenant)
    if path is None:
        return []
    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO words(words) VALUES('integrity-check')")
        db.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, instance)")
        places = dict(db.execute("SELECT place, request_id FROM documents"))
        entries = db.execute("SELECT doc, term, col, offset FROM vocabulary")
        listed = sorted((places[doc], term, col, offset) for doc, term, col, offset in entries)
        documents = db.execute(
            "SELECT request_id, run, status, model, engine, languages, file_name, confidence, text "
            "FROM documents JOIN texts USING(place) ORDER BY request_id"
        )
        return [*documents, *listed]
