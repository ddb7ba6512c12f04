"""JSON: the stored result, and the schema that it follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from casola_ocr.exports.document import PAGE_RESULT, Document
from casola_ocr.model import MODES, TEXT_LAYERS, JobError, JobStatus, Lane, PageCounts

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES = "#/$defs/{model}"
_NUMBER, _TEXT = {"type": ["number", "null"]}, {"type": "string"}
_TIME = {"type": ["string", "null"], "format": "date-time"}


def write(document: Document) -> Iterator[bytes]:
    return document.body


def result_schema() -> dict[str, Any]:
    """The JSON Schema of a result, drawn from the records that results are made of.

    Fields that were added to pages later are optional, since stored results stay as they are.
    """
    parts, definitions = TypeAdapter.json_schemas(
        [
            ("page", "validation", PAGE_RESULT),
            ("counts", "validation", TypeAdapter(PageCounts)),
            ("error", "validation", TypeAdapter(JobError | None)),
        ],
        ref_template=_REFERENCES,
    )
    page, counts, error = (parts[name, "validation"] for name in ("page", "counts", "error"))
    properties = {
        "request_id": _TEXT,
        "status": {"enum": [status.value for status in JobStatus]},
        "model": _TEXT,
        "engine": _TEXT,
        "language": _TEXT,
        "file_name": _TEXT,
        "media_type": {"type": ["string", "null"]},
        "batch_id": {"type": ["string", "null"]},
        "batch_position": {"type": ["integer", "null"]},
        "lane": {"enum": [lane.value for lane in Lane]},
        "pages": counts,
        "words": {"type": ["integer", "null"]},
        "confidence": _NUMBER,
        "created_at": _TIME,
        "started_at": _TIME,
        "finished_at": _TIME,
        "expires_at": _TIME,
        "run": {"type": "integer", "minimum": 1},
        "size": {"type": "integer", "minimum": 0},
        "pages_selected": {"type": ["string", "null"]},
        "text_layer": {"enum": list(TEXT_LAYERS)},
        "mode": {"enum": list(MODES)},
        "prompt": {"type": ["string", "null"]},
        "fallback": {"type": "boolean"},
        "error": error,
        "links": {"type": "object", "additionalProperties": _TEXT},
        "page_results": {"type": "array", "items": page},
        "text": {**_TEXT, "description": "The pages' texts, joined by form feeds."},
    }
    return {
        "$schema": DIALECT,
        "title": "Result of a job",
        "type": "object",
        "properties": properties,
        "required": ["request_id", "status", "file_name", "pages", "error", "page_results", "text"],
        "$defs": definitions["$defs"],
    }
