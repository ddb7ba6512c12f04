"""The API's description as a page: from the OpenAPI document to what the template shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

_CODE = re.compile(r"`([^`]+)`")
#: A line's end within a paragraph is the source's, not the reader's; before a list it stays.
_WRAP = re.compile(r"(?<!\n)\n(?![\n\-*])")
_NOTHING = Markup()
_LOCATIONS = {"path": "address", "query": "query", "header": "header"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A parameter of a route, or a field of a shape."""

    name: str
    #: Of a parameter: where it stands.
    place: str = ""
    kind: Markup
    needed: bool
    about: Markup


@dataclass(frozen=True, kw_only=True)
class Content:
    """A body that is sent or answered; the status and sentence are an answer's."""

    status: str = ""
    about: Markup = _NOTHING
    media_types: tuple[str, ...] = ()
    kind: Markup = _NOTHING
    example: str = ""


@dataclass(frozen=True, kw_only=True)
class Route:
    """What is shown of one operation."""

    name: str
    method: str
    path: str
    title: str
    about: Markup
    rows: tuple[Row, ...]
    bodies: tuple[Content, ...]
    answers: tuple[Content, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """Routes of one kind."""

    name: str
    about: Markup
    routes: tuple[Route, ...]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is shown of a named schema."""

    name: str
    title: Markup
    about: Markup
    rows: tuple[Row, ...]


def sections(document: Mapping[str, Any]) -> list[Section]:
    """The routes as the document's tags part them."""
    routes = [
        (operation["tags"][0], _route(document, path, method, operation))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return [
        Section(
            name=tag["name"],
            about=said(tag["description"]),
            routes=tuple(route for name, route in routes if name == tag["name"]),
        )
        for tag in document["tags"]
    ]


def shapes(document: Mapping[str, Any]) -> list[Shape]:
    """The schemas with fields, by name."""
    return [
        _shape(name, schema)
        for name, schema in document["components"]["schemas"].items()
        if "properties" in schema
    ]


def said(text: str) -> Markup:
    """A description: text, in which code stands between backticks."""
    whole = str(escape(_WRAP.sub(" ", text.replace("``", "`"))))
    return Markup(_CODE.sub(r"<code>\1</code>", whole))  # noqa: S704 - escaped above


def _shape(name: str, schema: Mapping[str, Any]) -> Shape:
    title, _, about = schema.get("description", "").partition("\n\n")
    return Shape(name=name, title=said(title), about=said(about), rows=tuple(_fields(schema)))


def _route(
    document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> Route:
    told = document["components"]["examples"]
    bodies = operation.get("requestBody", {}).get("content", {})
    return Route(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        title=operation["summary"],
        about=said(operation.get("description", "")),
        rows=tuple(
            Row(
                name=row["name"],
                place=_LOCATIONS[row["in"]],
                kind=kind(row["schema"]),
                needed=row.get("required", False),
                about=said(row.get("description", "")),
            )
            for row in operation.get("parameters", ())
        ),
        bodies=tuple(
            Content(
                media_types=(media_type,),
                kind=kind(content["schema"]),
                example=_example(content, told),
            )
            for media_type, content in bodies.items()
        ),
        answers=tuple(
            _answer(status, answer, told) for status, answer in operation["responses"].items()
        ),
    )


def _answer(status: str, answer: Mapping[str, Any], told: Mapping[str, Any]) -> Content:
    contents = answer.get("content", {})
    first: Mapping[str, Any] = next(iter(contents.values()), {})
    failed = status >= "400"
    return Content(
        status=status,
        about=said(answer["description"]),
        media_types=tuple(contents),
        # Every error has the same shape, and says the same as its sentence.
        kind=kind({"$ref": "/Problem"}) if failed else kind(first.get("schema", {})),
        example="" if failed else _example(first, told),
    )


def _fields(schema: Mapping[str, Any]) -> Iterator[Row]:
    for name, field in schema["properties"].items():
        yield Row(
            name=name,
            kind=kind(field),
            needed=name in schema.get("required", ()),
            about=said(field.get("description", "")),
        )


def kind(schema: Mapping[str, Any]) -> Markup:
    """A schema in a few words; another shape is a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if "properties" not in schema and (choices := schema.get("anyOf")) and "type" not in schema:
        return Markup(" or ").join(kind(choice) for choice in choices)
    if "enum" in schema:
        words = [str(word) for word in schema["enum"]]
        return Markup(" | ").join(Markup("<code>{}</code>").format(word) for word in words)
    if schema.get("type") == "array":
        return Markup("list of {}").format(kind(schema.get("items", {})))
    name = "bytes" if schema.get("format") == "binary" else schema.get("type", "")
    limits = [
        f"{sign} {schema[limit]:,}"
        for limit, sign in (("minimum", "≥"), ("maximum", "≤"))
        if limit in schema
    ]
    return Markup("{}").format(" ".join((name, *limits)))


def _example(content: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    for example in content.get("examples", {}).values():
        shared = told[example["$ref"].rpartition("/")[2]] if "$ref" in example else example
        value = shared["value"]
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return ""
