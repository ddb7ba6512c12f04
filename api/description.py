"""What there is to say of a route; it stands above its view, and `openapi` makes the document.

    @blueprint.post("/<request_id>/cancel")
    @Description("cancel_job", answers={200: Answer("The job.", shapes.Job)}, raises=(Gone,))
    def cancel(request_id: str) -> ResponseReturnValue:
        \"\"\"Stop a job.

        Finished pages stay readable.
        \"\"\"

The view's docstring is for those who use the API: its first line is the title of the route. What
every route can answer (no token, a store that is down), and what follows from its having a query, a
body, an ID or an idempotency key, is added by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from api.validation import Query
from casola_ocr.errors import (
    CasolaError,
    EngineUnavailable,
    LanguageNotInstalled,
    MalformedRequest,
    Overloaded,
    TooBusy,
    UnknownLanguage,
    UnknownModel,
)

_View = TypeVar("_View", bound=Callable[..., Any])

JSON = "application/json"
FORM = "multipart/form-data"
BYTES = "application/octet-stream"
EVENTS = "text/event-stream"

#: What choosing an engine for a job, and accepting it, may be refused with.
CHOOSING: tuple[type[CasolaError], ...] = (
    MalformedRequest, UnknownModel, UnknownLanguage, LanguageNotInstalled, EngineUnavailable,
    TooBusy, Overloaded,
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a route answers with one status."""

    #: A sentence on what it is.
    says: str
    #: Of JSON: a type of `shapes`, or another that pydantic can draw.
    shape: Any = None
    #: Media types of what is not JSON.
    media_types: tuple[str, ...] = ()
    #: Headers that only this answer has, of those in `openapi.ANSWER_HEADERS`.
    headers: tuple[str, ...] = ()
    #: What is told here → routes, by their names, that take it in their address.
    leads_to: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Where the shape has none itself.
    example: Any = None


@dataclass(frozen=True)
class Description:
    """Everything about a route that its address, method and docstring do not tell; a decorator."""

    #: What generated clients call it; unique.
    name: str
    _: KW_ONLY
    answers: Mapping[int, Answer]
    #: Errors of its own.
    raises: tuple[type[CasolaError], ...] = ()
    query: type[Query] | None = None
    #: Media type → model of a body, or `bytes`.
    takes: Mapping[str, type[BaseModel] | type[bytes]] = field(default_factory=dict)
    needs_body: bool = True
    #: Headers of requests, of those in `openapi.ASKED_HEADERS`.
    headers: tuple[str, ...] = ()
    #: Whether ``Idempotency-Key`` is taken; `replayable` says so by itself.
    keyed: bool = False
    needs_token: bool = True
    #: Whether something else than the store and the records has to be there.
    needs_service: bool = True

    def __call__(self, view: _View) -> _View:
        view.description = self  # type: ignore[attr-defined]
        return view

    @staticmethod
    def of(view: Callable[..., Any]) -> Description | None:
        """What was said of a view, if anything."""
        found: Description | None = getattr(view, "description", None)
        return found
