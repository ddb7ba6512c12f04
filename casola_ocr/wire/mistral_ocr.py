"""Mistral's OCR requests: what they ask for, and how they are refused.

Shapes: the mistralai package's models. Fields that are not known here are ignored, as there.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from casola_ocr.documents.names import clean_file_name
from casola_ocr.engines import AUTO
from casola_ocr.errors import CasolaError, MalformedRequest, UnknownModel
from casola_ocr.jobs import Options
from casola_ocr.model import Lane
from casola_ocr.selection import MAX_NUMBER
from casola_ocr.wire.bodies import parsed

#: Mistral's own names for its OCR: a client that only changed its address sends one.
_THEIRS = re.compile(r"mistral-ocr(-[a-z0-9]+)*")
#: A page or a range; 0 is the first.
_PAGES = re.compile(r"\s*([0-9]{1,7})\s*(?:-\s*([0-9]{1,7})\s*)?")
_ANNOTATIONS = ("bbox_annotation_format", "document_annotation_format")
#: Our codes that blame something else than the document.
_LOCATIONS = {
    "bad_pages": "pages",
    "no_such_pages": "pages",
    "unknown_language": "model",
    "language_not_installed": "model",
}


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class DocumentUrl(_Part):
    type: Literal["document_url"]
    document_url: str
    document_name: str | None = None


class ImageUrl(_Part):
    url: str


class ImageDocument(_Part):
    type: Literal["image_url"]
    image_url: str | ImageUrl


class FileDocument(_Part):
    type: Literal["file"]
    file_id: str


class OcrRequest(_Part):
    """The body of ``POST /v1/ocr``. Numbers of pages count from 0."""

    model: str | None = None
    document: Annotated[DocumentUrl | ImageDocument | FileDocument, Field(discriminator="type")]
    pages: str | list[Annotated[int, Field(ge=0, lt=MAX_NUMBER)]] | None = None
    include_image_base64: bool | None = None
    image_limit: int | None = Field(None, ge=0)
    image_min_size: int | None = Field(None, ge=0)
    bbox_annotation_format: Any = None
    document_annotation_format: Any = None
    table_format: Literal["markdown", "html"] | None = None
    extract_header: bool | None = None
    extract_footer: bool | None = None
    #: Mistral's clients send true unless they are told otherwise.
    include_blocks: bool | None = True
    confidence_scores_granularity: Literal["word", "page", "block"] | None = None

    @property
    def url(self) -> str:
        """Where the document is, which may be a data: URL; empty for one of the tenant's files."""
        if isinstance(self.document, DocumentUrl):
            return self.document.document_url
        if isinstance(self.document, ImageDocument):
            image = self.document.image_url
            return image if isinstance(image, str) else image.url
        return ""

    @property
    def file_id(self) -> str:
        return self.document.file_id if isinstance(self.document, FileDocument) else ""

    @property
    def file_name(self) -> str:
        """The name that the client gave the document, if any."""
        given = self.document.document_name if isinstance(self.document, DocumentUrl) else None
        return clean_file_name(given) if given else ""

    def light(self) -> OcrRequest:
        """The same without its document, which may be 30 MB, for those who wait for the answer."""
        return self.model_copy(update={"document": FileDocument(type="file", file_id="")})

    def options(self, lane: Lane) -> Options:
        """How the document is to be read."""
        model = self.model or AUTO
        return Options(
            model=AUTO if _THEIRS.fullmatch(model) else model,
            pages=_selection(self.pages),
            lane=lane,
        )


def parse(body: dict[str, Any]) -> OcrRequest:
    """The request in a body.

    Raises:
        MalformedRequest: it is none, or asks for what no engine here can do; `field` names the
            first wrong part, with dots, and `kind` how it is wrong.
    """
    asked = parsed(OcrRequest, body)
    for field in _ANNOTATIONS:
        if getattr(asked, field) is not None:
            raise MalformedRequest(
                f"'{field}' needs a model that fills in a schema, and no engine here is one.",
                field=field,
                kind="unsupported",
            )
    _selection(asked.pages)
    return asked


def refusal(error: CasolaError) -> tuple[int, dict[str, Any]]:
    """Status and body of an error: 422 with a list for what the request is to blame for.

    Mistral's clients raise an exception of another type when a 422 holds anything but a list.
    """
    field, kind = getattr(error, "field", ""), getattr(error, "kind", "")
    if isinstance(error, UnknownModel):
        told = {"message": f"Invalid model: {error.detail}", "type": "invalid_model"}
        return 400, {"object": "error", **told, "param": "model", "code": "1500"}
    if error.status == 422 or kind:
        location = field.split(".") if field else [_LOCATIONS.get(error.code, "document")]
        detail = {"loc": ["body", *location], "msg": error.detail, "type": kind or error.code}
        return 422, {"detail": [detail]}
    told = {"message": error.detail, "type": error.code}
    return error.status, {"object": "error", **told, "param": field or None, "code": None}


def _selection(pages: str | list[int] | None) -> str:
    """Our selection, which counts from 1."""
    if pages is None:
        return ""
    parts = pages.split(",") if isinstance(pages, str) else list(map(str, pages))
    made = []
    for part in parts:
        match = _PAGES.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if last < first or last >= MAX_NUMBER:
            raise _bad_pages()
        made.append(f"{first + 1}-{last + 1}")
    if not made:
        raise _bad_pages()
    return ",".join(made)


def _bad_pages() -> MalformedRequest:
    return MalformedRequest(
        "'pages' is a list of numbers, or text such as '0-5,7'; the first page is 0.",
        field="pages",
        kind="value_error",
    )
