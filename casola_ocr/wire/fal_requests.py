"""fal's endpoints that read text: what their inputs ask for.

Shapes: ``endpoints.d.ts`` of fal's JavaScript client. Fields that are not known here are ignored,
as there; `OPTIONS` are ours and work at each endpoint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from casola_ocr.jobs import Options
from casola_ocr.wire.bodies import parsed

#: Fields of an input that are options of ours by the same name; all are text.
OPTIONS = ("model", "language", "pages", "text_layer", "mode", "prompt")

#: What a job's `origin` begins with that one of these endpoints made.
_ORIGIN = "fal:"


class _Input(BaseModel, ABC):
    model_config = ConfigDict(strict=True, extra="ignore")

    model: str = ""
    language: str = ""
    pages: str = ""
    text_layer: str = ""
    mode: str = ""
    prompt: str = ""

    @abstractmethod
    def urls(self) -> list[str]:
        """The documents, in order."""

    def form(self) -> dict[str, bool]:
        """What shapes the output."""
        return {}


class ImageInput(_Input):
    image_url: str

    def urls(self) -> list[str]:
        return [self.image_url]


class OcrInput(ImageInput):
    sync_mode: bool = False


class GotInput(_Input):
    input_image_urls: list[str] = Field(min_length=1)
    do_format: bool = False
    multi_page: bool = False

    def urls(self) -> list[str]:
        return self.input_image_urls

    def form(self) -> dict[str, bool]:
        return {"do_format": self.do_format, "multi_page": self.multi_page}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One of fal's endpoints. `field` is the part of its input that holds the documents."""

    name: str
    input: type[_Input]
    field: str

    @property
    def app(self) -> str:
        """The name without a path: statuses and results are asked for under it."""
        return "/".join(self.name.split("/")[:2])


OCR = Endpoint(name="fal/ocr", input=OcrInput, field="image_url")
GOT = Endpoint(name="fal-ai/got-ocr/v2", input=GotInput, field="input_image_urls")
FLORENCE = Endpoint(name="fal-ai/florence-2-large/ocr", input=ImageInput, field="image_url")
FLORENCE_REGIONS = Endpoint(
    name="fal-ai/florence-2-large/ocr-with-region", input=ImageInput, field="image_url"
)
ENDPOINTS = {found.name: found for found in (OCR, GOT, FLORENCE, FLORENCE_REGIONS)}
APPS = frozenset(found.app for found in ENDPOINTS.values())


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request for text."""

    endpoint: Endpoint
    urls: Sequence[str]
    options: Options
    #: Ours, of ``fal/ocr``: whether the client waits for the text.
    sync_mode: bool

    def location(self, index: int) -> list[str | int]:
        """Where in the body the document with this index is."""
        return location(self.endpoint, index)


def parse(endpoint: Endpoint, body: dict[str, Any]) -> Asked:
    """The request in a body.

    Raises:
        MalformedRequest: it is none; `field` names the first wrong part, with dots, `kind` how it
            is wrong, and `others` are the other wrong parts.
    """
    found = parsed(endpoint.input, body)
    form = urlencode({name: "true" for name, wanted in found.form().items() if wanted})
    name = f"{endpoint.name}?{form}" if form else endpoint.name
    given = found.model_dump(include=set(OPTIONS), exclude_unset=True)
    return Asked(
        endpoint=endpoint,
        urls=found.urls(),
        options=Options(**given, origin=f"{_ORIGIN}{name}"),
        sync_mode=isinstance(found, OcrInput) and found.sync_mode,
    )


def endpoint_of(origin: str) -> tuple[Endpoint, frozenset[str]]:
    """The endpoint in a job's `origin`, with what shapes its output, such as ``do_format=true``.

    Other jobs are told as those of ``fal/ocr``.
    """
    name, _, form = origin.removeprefix(_ORIGIN).partition("?")
    return ENDPOINTS.get(name, OCR), frozenset(form.split("&") if form else ())


def location(endpoint: Endpoint, index: int) -> list[str | int]:
    """Where in the body of this endpoint the document with this index is."""
    return [endpoint.field, index] if endpoint is GOT else [endpoint.field]
