"""Results as files, and the schema of the JSON one."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import exports
from casola_ocr.exports import ZIP, result_schema
from casola_ocr.exports.exporter import Export

blueprint = Blueprint("exports", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)


@blueprint.get("/jobs/<request_id>/export")
def job(request_id: str) -> ResponseReturnValue:
    return _file(exports().job(tenant(), request_id, request.args.get("format", "")))


@blueprint.get("/batches/<batch_id>/export")
def batch(batch_id: str) -> ResponseReturnValue:
    asked, of = request.args.get("format", ZIP), request.args.get("of", "txt")
    return _file(exports().batch(tenant(), batch_id, asked, of))


@blueprint.get("/schemas/result.json")
def schema() -> ResponseReturnValue:
    return result_schema(), 200, {"Content-Type": "application/schema+json"}


def _file(export: Export) -> Response:
    response = Response(export.chunks, content_type=export.media_type)
    response.headers.set("Content-Disposition", "attachment", **_names(export.file_name))
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _names(name: str) -> dict[str, str]:
    """The file's name as RFC 6266 has it: in ASCII for old clients, and as RFC 8187 encodes it."""
    if name.isascii():
        return {"filename": name}
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return {"filename": plain, "filename*": f"UTF-8''{quote(name, safe='')}"}
