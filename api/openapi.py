"""The OpenAPI document of our own API, made of the views' descriptions and the models they use.

Source: OpenAPI Specification 3.1.1; its schemas are JSON Schema 2020-12.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any

from flask import Flask, current_app
from pydantic import BaseModel, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from werkzeug.routing import Rule

from api.description import BYTES, FORM, JSON, Answer, Description
from api.params import MAX_KEY_LENGTH
from api.problems import described
from casola_ocr import __version__, shapes
from casola_ocr.errors import (
    CasolaError,
    FileTooLarge,
    Forbidden,
    FormTooLarge,
    InProgress,
    KeyReused,
    MalformedRequest,
    NoSuchRoute,
    NotFound,
    RecordsUnavailable,
    StoreUnavailable,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    all_errors,
)
from casola_ocr.webhooks.shapes import JobEnded

PROBLEM = "application/problem+json"

ABOUT = """\
Documents go in, their text comes out, with a confidence for every word. Submit one with
`POST /api/v1/jobs`; wait for it with `Prefer: wait=N`, ask again, follow its events, or give an
address that is told.

Send `Authorization: Bearer TOKEN` once the service has tokens. Errors are problem documents (RFC
9457) with a stable `code`. A method that an address does not know is 405 `method_not_allowed`, an
address that does not exist 404 `no_such_route`. Fields may be added to answers at any time.\
"""

#: Headers that a request may have.
ASKED_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Prefer": (
        "`wait=N` waits up to N seconds; `respond-async` is what happens anyway (RFC 7240).",
        {"type": "string", "examples": ["wait=30"]},
    ),
    "Idempotency-Key": (
        "The same key with the same request does nothing again and is answered the same.",
        {"type": "string", "maxLength": MAX_KEY_LENGTH},
    ),
    "Last-Event-ID": ("The `id` of the last event that was seen.", {"type": "string"}),
    "If-None-Match": ("The `ETag` of what the client has.", {"type": "string"}),
}
#: Headers that an answer may have.
ANSWER_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Location": ("The address of what was made.", {"type": "string", "format": "uri-reference"}),
    "Retry-After": (
        "Seconds after which to ask again.",
        {"type": "string", "pattern": "^[0-9]+$"},
    ),
    "Preference-Applied": ("What of `Prefer` was done.", {"type": "string"}),
    "Idempotent-Replayed": (
        "This request did nothing: an earlier one with its key did.",
        {"type": "string", "enum": ["true"]},
    ),
    "Link": ('The address of the next page, with `rel="next"` (RFC 8288).', {"type": "string"}),
    "ETag": ("Changes when the bytes do.", {"type": "string"}),
    "Content-Disposition": ("The file's name (RFC 6266).", {"type": "string"}),
    "X-Pages": ("How many pages the document has.", {"type": "string", "pattern": "^[0-9]+$"}),
    "WWW-Authenticate": ("How to tell who is asking.", {"type": "string"}),
}

#: What stands in an address. An ID that is not of its form does not exist.
_IN_PATHS: dict[str, Any] = {
    "request_id": shapes.RequestId,
    "batch_id": shapes.BatchId,
    "upload_id": shapes.UploadId,
    "page": Annotated[int, Field(ge=1)],
}
_BYTES = {"type": "string", "format": "binary"}
_REFERENCES = "#/components/schemas/{model}"
_PLACEHOLDER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


class _Schemas(GenerateJsonSchema):
    """Without titles, which would only repeat the names; in the order of the code."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        return value


def of_app() -> dict[str, Any]:
    """The document of the running application, made once; not to be changed."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return document(app)


@cache
def document(app: Flask) -> dict[str, Any]:
    """The document: every route of the application that has a description."""
    made = _Document()
    for rule, method, view in described_routes(app):
        description = Description.of(view)
        if description is not None:
            made.add(rule, method, view, description)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Casola OCR",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name, "description": said} for name, said in made.tags.items()],
        "paths": made.paths,
        "webhooks": {"job_ended": {"post": made.webhook()}},
        "components": {
            "schemas": dict(sorted(made.schemas.items())),
            "examples": made.examples,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `casola-ocr tokens create`. A service without any "
                    "token that listens on loopback needs none.",
                }
            },
        },
    }


def described_routes(app: Flask) -> Iterator[tuple[Rule, str, Callable[..., Any]]]:
    """Every rule, method and view of the application, but what Flask adds by itself."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method, app.view_functions[rule.endpoint]


class _Document:
    """The parts of the document, as they grow."""

    def __init__(self) -> None:
        self.paths: dict[str, dict[str, Any]] = defaultdict(dict)
        self.schemas: dict[str, Any] = {}
        self.examples = {error.code: _example(error) for error in all_errors()}
        self.tags: dict[str, str] = {}
        self._draw(shapes.Problem)

    def add(
        self, rule: Rule, method: str, view: Callable[..., Any], description: Description
    ) -> None:
        title, _, more = inspect.cleandoc(view.__doc__ or "").partition("\n")
        tag = view.__module__.rpartition(".")[2]
        self.tags[tag] = (sys.modules[view.__module__].__doc__ or "").partition("\n")[0]
        operation: dict[str, Any] = {
            "operationId": description.name,
            "tags": [tag],
            "summary": title.removesuffix("."),
            **({"description": more.strip()} if more.strip() else {}),
            **({} if description.needs_token else {"security": []}),
        }
        parameters = list(self._parameters(rule, view, description))
        if parameters:
            operation["parameters"] = parameters
        if description.takes:
            operation["requestBody"] = {
                "required": description.needs_body,
                "content": {
                    kind: self._body(kind, model) for kind, model in description.takes.items()
                },
            }
        keyed = _takes_key(view, description)
        answers = {
            str(status): self._answer(answer, keyed)
            for status, answer in description.answers.items()
        }
        operation["responses"] = answers | self._problems(_errors(rule, description, keyed))
        self.paths[_PLACEHOLDER.sub(r"{\1}", rule.rule)][method.lower()] = operation

    def webhook(self) -> dict[str, Any]:
        """What is sent to the `webhook_url` of a job; docs/webhooks.md tells it whole."""
        return {
            "operationId": "job_ended",
            "summary": "The end of a job, told to its webhook_url",
            "description": "Told at least once, signed as Standard Webhooks says.",
            "security": [],
            "parameters": [
                {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
                for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
            ],
            "requestBody": {"required": True, "content": {JSON: self._content(JobEnded)}},
            "responses": {"2XX": {"description": "It was taken. Anything else is tried again."}},
        }

    def _parameters(
        self, rule: Rule, view: Callable[..., Any], description: Description
    ) -> Iterator[dict[str, Any]]:
        for name in _PLACEHOLDER.findall(rule.rule):
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "schema": self._draw(_IN_PATHS.get(name, str)),
            }
        if description.query is not None:
            drawn = self._draw(description.query, inline=True)
            for name, schema in drawn["properties"].items():
                listed = schema.get("type") == "array" and name not in description.query.repeated
                said = schema.pop("description", "")
                _drop_null(schema)
                # What is named twice is named.
                schema.pop("uniqueItems", None)
                yield {
                    "name": name,
                    "in": "query",
                    **({"description": said} if said else {}),
                    **({"required": True} if name in drawn.get("required", ()) else {}),
                    # Several values with commas between them.
                    **({"style": "form", "explode": False} if listed else {}),
                    "schema": schema,
                }
        key = ("Idempotency-Key",) if _takes_key(view, description) else ()
        for name in (*description.headers, *key):
            said, schema = ASKED_HEADERS[name]
            yield {"name": name, "in": "header", "description": said, "schema": schema}

    def _body(self, kind: str, model: type[BaseModel] | type[bytes]) -> dict[str, Any]:
        if model is bytes:
            return {"schema": _BYTES}
        content = self._content(model)
        if kind == FORM:
            for schema in self.schemas[model.__name__]["properties"].values():
                _drop_null(schema)
        return content

    def _answer(self, answer: Answer, keyed: bool) -> dict[str, Any]:
        made: dict[str, Any] = {"description": answer.says}
        headers = (*answer.headers, *(("Idempotent-Replayed",) if keyed else ()))
        if headers:
            made["headers"] = {name: _header(name) for name in headers}
        if answer.leads_to:
            made["links"] = {
                name: {"operationId": name, "parameters": {told: f"$response.body#/{told}"}}
                for told, names in answer.leads_to.items()
                for name in names
            }
        if answer.shape is not None:
            made["content"] = {JSON: {**self._content(answer.shape), **_own(answer)}}
        elif answer.media_types:
            made["content"] = {
                kind.partition(";")[0]: {"schema": _written(kind), **_own(answer)}
                for kind in answer.media_types
            }
        return made

    def _content(self, shape: Any) -> dict[str, Any]:
        schema = self._draw(shape)
        shapes_in_it = [one.get("$ref", "") for one in schema.get("anyOf", [schema])]
        names = [reference.rpartition("/")[2] for reference in shapes_in_it]
        examples = {name: _shared(name) for name in names if name in self.examples}
        return {"schema": schema, "examples": examples} if examples else {"schema": schema}

    def _problems(self, errors: list[type[CasolaError]]) -> dict[str, Any]:
        by_status: dict[int, list[type[CasolaError]]] = defaultdict(list)
        for error in errors:
            by_status[error.status].append(error)
        return {str(status): _problem(by_status[status]) for status in sorted(by_status)}

    def _draw(self, shape: Any, *, inline: bool = False) -> dict[str, Any]:
        """The schema of a type, what it refers to being put among the others."""
        drawn = TypeAdapter(shape).json_schema(ref_template=_REFERENCES, schema_generator=_Schemas)
        for name, schema in drawn.pop("$defs", {}).items():
            self._keep(name, schema)
        if inline or "title" not in drawn:
            return drawn
        self._keep(drawn["title"], drawn)
        return {"$ref": _REFERENCES.format(model=drawn["title"])}

    def _keep(self, name: str, schema: dict[str, Any]) -> None:
        for example in schema.pop("examples", []):
            self.examples[name] = {"value": example}
        if self.schemas.setdefault(name, schema) != schema:
            raise ValueError(f"two shapes are called {name}")


def _drop_null(schema: dict[str, Any]) -> None:
    """Leave out what stands for nothing given: query strings and forms have no null."""
    if schema.get("default") == []:
        del schema["default"]
    if schema.get("default", "") is None:
        del schema["default"]
        schema |= next(one for one in schema.pop("anyOf") if one != {"type": "null"})


def _takes_key(view: Callable[..., Any], description: Description) -> bool:
    return description.keyed or getattr(view, "takes_key", False)


def _errors(rule: Rule, description: Description, keyed: bool) -> list[type[CasolaError]]:
    """What the route may be refused with: by itself, and for what it has."""
    found: list[type[CasolaError]] = [CasolaError]
    if description.needs_service:
        found += [Unavailable, StoreUnavailable, RecordsUnavailable]
    if description.needs_token:
        found += [Unauthorized, Forbidden]
    if rule.arguments:
        found += [NotFound, NoSuchRoute] if "int:" in rule.rule else [NotFound]
    if description.query is not None:
        found += [MalformedRequest]
    if description.takes:
        found += [FileTooLarge, FormTooLarge] if FORM in description.takes else [FileTooLarge]
        found += [] if BYTES in description.takes else [MalformedRequest, UnsupportedMediaType]
    if keyed:
        found += [MalformedRequest, KeyReused, InProgress]
    return list(dict.fromkeys((*found, *description.raises)))


def _problem(errors: list[type[CasolaError]]) -> dict[str, Any]:
    """The answer with one status: which codes it may have, and what they look like."""
    codes = [error.code for error in errors]
    headers = ["Retry-After"] if any(error.retryable for error in errors) else []
    headers += ["WWW-Authenticate"] if Unauthorized in errors else []
    return {
        "description": " ".join(f"`{error.code}`: {_sentence(error)}" for error in errors),
        **({"headers": {name: _header(name) for name in headers}} if headers else {}),
        "content": {
            PROBLEM: {
                "schema": {
                    "allOf": [{"$ref": _REFERENCES.format(model="Problem")}],
                    "properties": {"code": {"enum": codes}},
                },
                "examples": {code: _shared(code) for code in codes},
            }
        },
    }


def _example(error: type[CasolaError]) -> dict[str, Any]:
    return {"summary": _sentence(error), "value": described(error())}


def _shared(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/examples/{name}"}


def _sentence(error: type[CasolaError]) -> str:
    return (error.__doc__ or "").strip()


def _header(name: str) -> dict[str, Any]:
    said, schema = ANSWER_HEADERS[name]
    return {"description": said, "schema": schema}


def _own(answer: Answer) -> dict[str, Any]:
    return {"examples": {"own": {"value": answer.example}}} if answer.example else {}


def _written(media_type: str) -> dict[str, Any]:
    """The schema of what no shape describes: an object, text, or bytes."""
    if media_type.endswith("json"):
        return {"type": "object"}
    return {"type": "string"} if media_type.startswith("text/") else _BYTES
