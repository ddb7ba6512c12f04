"""Files behind links that need no token."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api.context import files, links
from api.serving import attachment

blueprint = Blueprint("files", __name__)


@blueprint.get("/files/<sealed>")
@blueprint.get("/files/<sealed>/<name>")
def linked(sealed: str, name: str = "") -> ResponseReturnValue:
    file = links().follow(sealed)
    response = attachment(
        files().content(file),
        media_type=file.media_type,
        file_name=file.file_name,
        size=file.size,
    )
    # The link is a secret: it must not stay in a cache that others share.
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Content-Security-Policy"] = "sandbox"
    return response
