"""Page results built by hand, and what each format makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from casola_ocr.errors import PictureMissing
from casola_ocr.exports import FORMATS, Document
from casola_ocr.ids import new_request_id
from casola_ocr.model import Job, JobError, JobStatus, Lane, Manifest, PageCounts, queued_job
from casola_ocr.pages import Line, PageResult, Word

#: Width of a character of `line`, in parts of its height.
ASPECT = 0.5


def line(
    text: str, *, x: int = 50, y: int = 40, height: int = 36, words: bool = True, **more: Any
) -> Line:
    """A line whose words lie side by side; text from right to left begins at the right end."""
    size = height * ASPECT
    width = round(len(text) * size)
    found, start = [], 0
    for part in text.split(" "):
        begin, end = x + round(start * size), x + round((start + len(part)) * size)
        if "\u0590" <= text[0] <= "\u08ff":
            begin, end = 2 * x + width - end, 2 * x + width - begin
        box = (begin, y, end, y + height)
        found.append(Word(text=part, confidence=0.9, start=start, box=box))
        start += len(part) + 1
    box = (x, y, x + width, y + height)
    return Line(text=text, confidence=0.9, box=box, words=tuple(found) if words else (), **more)


def page(*lines: Line, number: int = 1, **more: Any) -> PageResult:
    values: dict[str, Any] = {
        "page": number, "width": 800, "height": 400, "words": 2, "confidence": 0.9,
        "text": "\n".join(found.text for found in lines), "confidence_low": 0.8, "engine": "e",
        "engine_version": "1", "attempts": 1, "seconds": 0.1, "lines": lines,
    }  # fmt: skip
    return PageResult(**{**values, **more})


def failed(number: int = 1) -> PageResult:
    error = JobError(code="damaged_document", detail="The page is damaged.")
    return page(number=number, width=0, height=0, confidence=None, error=error)


def job(pages: int = 1, **more: Any) -> Job:
    manifest = Manifest(
        request_id=new_request_id(), tenant="acme", file_name="scan.png", media_type="image/png",
        url="", model="auto", engine="e", language="auto", lane=Lane.BULK, batch_id="",
        created_at=1_760_000_000_000,
    )  # fmt: skip
    counts = PageCounts(total=pages, done=pages, failed=0)
    ended = replace(queued_job(manifest), status=JobStatus.COMPLETED, pages=counts)
    return replace(ended, finished_at=1_760_000_002_000, **more)


def document(
    pages: Sequence[PageResult],
    pictures: Sequence[bytes] = (),
    media_type: str = "image/png",
    **more: Any,
) -> Document:
    made = job(len(pages), media_type=media_type, **more)
    text = "\f".join(found.text for found in pages)
    head = json.dumps(made.to_dict())[:-1].encode() + b',"page_results":['
    tail = b'],"text":' + json.dumps(text).encode() + b"}"
    results = [b"," * (index > 0) + found.to_json() for index, found in enumerate(pages)]

    def picture(number: int) -> tuple[bytes, str, int]:
        if not pictures:
            raise PictureMissing()
        return pictures[number - 1], media_type, 1

    body = iter([head, *results, tail])
    return Document(job=made, body=body, picture=picture, max_pixels=100_000_000)


def exported(name: str, made: Document) -> bytes:
    return b"".join(FORMATS[name].write(made))
