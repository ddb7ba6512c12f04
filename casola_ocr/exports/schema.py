"""JSON: the stored result, and the schema that it follows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ConfigDict, TypeAdapter, with_config

from casola_ocr import shapes
from casola_ocr.exports.document import Document
from casola_ocr.pages import Block, Line, PageResult, Word

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: What every result has: the others were added later, and stored results stay as they are.
_ALWAYS = ["request_id", "status", "file_name", "pages", "error", "page_results", "text"]
_PAGE = PageResult(
    page=1,
    width=1654,
    height=2339,
    text="Invoice 4711",
    words=2,
    confidence=0.98,
    confidence_low=0.97,
    engine="pp-ocrv6",
    engine_version="rapidocr 3.10",
    attempts=1,
    seconds=0.84,
    language="en",
    markdown="Invoice 4711",
    blocks=(Block(label="text", box=(180, 210, 640, 260), span=(0, 12)),),
    lines=(
        Line(
            text="Invoice 4711",
            confidence=0.98,
            box=(180, 210, 640, 260),
            words=(
                Word(text="Invoice", confidence=0.99, start=0, box=(180, 210, 420, 260)),
                Word(text="4711", confidence=0.97, start=8, box=(450, 210, 640, 260)),
            ),
        ),
    ),
)
#: A page result as JSON has it.
EXAMPLE_PAGE = json.loads(_PAGE.to_json())


def _look(schema: dict[str, Any]) -> None:
    schema["required"] = list(_ALWAYS)
    whole = {**shapes.EXAMPLE_JOB, "page_results": [EXAMPLE_PAGE], "text": _PAGE.text}
    schema["examples"] = [whole]


@with_config(ConfigDict(use_attribute_docstrings=True, json_schema_extra=_look))
class Result(shapes.Job):
    """A job with what was read on its pages."""

    page_results: list[PageResult]
    text: str
    """The pages' texts, joined by form feeds."""


def write(document: Document) -> Iterator[bytes]:
    return document.body


def result_schema() -> dict[str, Any]:
    """The JSON Schema of a result, drawn from the records that results are made of."""
    drawn = TypeAdapter(Result).json_schema()
    return {"$schema": DIALECT, **drawn, "title": "Result of a job"}
