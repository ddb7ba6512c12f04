"""Results as files, and the schema of the JSON one."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import exports
from api.description import Answer, Description
from api.serving import attachment
from api.validation import Query, asked
from casola_ocr import shapes
from casola_ocr.errors import Conflict, Gone, NoPageRead, PictureMissing, UnknownFormat
from casola_ocr.exports import FORMATS, ZIP, result_schema
from casola_ocr.exports.exporter import Export

blueprint = Blueprint("exports", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)


class JobExport(Query):
    """What a job is exported as."""

    format: Annotated[str, shapes.one_of(FORMATS)]


class BatchExport(Query):
    """What a batch is exported as."""

    format: Annotated[str, shapes.one_of([ZIP])] = ZIP
    of: Annotated[str, shapes.one_of(FORMATS)] = "txt"
    """The format of the entries."""


_MEDIA_TYPES = tuple(made.media_type for made in FORMATS.values())
_RAISES = (Gone, Conflict, UnknownFormat, PictureMissing, NoPageRead)


@blueprint.get("/jobs/<request_id>/export")
@Description(
    "export_job",
    query=JobExport,
    answers={200: Answer("The file.", media_types=_MEDIA_TYPES, headers=("Content-Disposition",))},
    raises=_RAISES,
)
def job(request_id: str) -> ResponseReturnValue:
    """Export an ended job as a file."""
    return _file(exports().job(tenant(), request_id, asked(JobExport).format))


@blueprint.get("/batches/<batch_id>/export")
@Description(
    "export_batch",
    query=BatchExport,
    answers={
        200: Answer(
            "One entry for each document, and `errors.json` where something is missing.",
            media_types=("application/zip",),
            headers=("Content-Disposition",),
        )
    },
    raises=_RAISES,
)
def batch(batch_id: str) -> ResponseReturnValue:
    """Export an ended batch as a zip of files."""
    query = asked(BatchExport)
    return _file(exports().batch(tenant(), batch_id, query.format, query.of))


@blueprint.get("/schemas/result.json")
@Description(
    "get_result_schema",
    answers={200: Answer("A JSON Schema.", media_types=("application/schema+json",))},
)
def schema() -> ResponseReturnValue:
    """Read the JSON Schema of a result."""
    return result_schema(), 200, {"Content-Type": "application/schema+json"}


def _file(export: Export) -> Response:
    return attachment(export.chunks, media_type=export.media_type, file_name=export.file_name)
