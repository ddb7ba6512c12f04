"""The one structure that `response_format` may ask for: the pages, or a part of what is known.

A client's JSON schema is compared with it property by property, so a pydantic or zod model of some
of the fields works as well; what is answered holds exactly the properties that were asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from casola_ocr.errors import MalformedRequest

#: Field of a page → JSON types of its value.
PAGE_FIELDS: dict[str, frozenset[str]] = {
    "document": frozenset({"integer"}),
    "page": frozenset({"integer"}),
    "text": frozenset({"string"}),
    "words": frozenset({"integer"}),
    "confidence": frozenset({"number", "null"}),
}
#: What only describes a schema.
_NOTES = {"title", "description", "default", "$schema", "$defs", "definitions", "examples"}
_OBJECT = _NOTES | {"type", "properties", "required", "additionalProperties"}

PUBLISHED = "an object with 'pages', a list of objects with any of: " + ", ".join(PAGE_FIELDS)


def fields_of(response_format: Any, where: str = "response_format") -> tuple[str, ...] | None:
    """The page's fields to answer as JSON; None where plain text is wanted.

    `where` is what the client calls the field.

    Raises:
        MalformedRequest: it asks for a structure that is not the published one.
    """
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return tuple(PAGE_FIELDS)
    if kind != "json_schema":
        raise MalformedRequest(f"'{where}.type' is text, json_object or json_schema.", field=where)
    wrapped = response_format.get("json_schema", response_format)
    schema = wrapped.get("schema") if isinstance(wrapped, dict) else None
    try:
        return _fields(schema)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise MalformedRequest(
            f"This service reads text and fills only one schema: {PUBLISHED}.",
            field=where,
        ) from error


def page_json(page: Mapping[str, Any], document: int, fields: tuple[str, ...]) -> str:
    """A page as JSON with these fields; `document` is its place in the request, the first is 1."""
    known = {**page, "document": document}
    return json.dumps({name: known[name] for name in fields}, ensure_ascii=False)


def _fields(schema: Any) -> tuple[str, ...]:
    outer = _properties(schema, schema)
    if set(outer) != {"pages"}:
        raise ValueError("not the pages")
    pages = _resolved(outer["pages"], schema)
    if pages["type"] != "array" or set(pages) - _NOTES - {"type", "items"}:
        raise ValueError("not a list")
    fields = _properties(pages["items"], schema)
    for name, wanted in fields.items():
        if not PAGE_FIELDS[name] <= _types(_resolved(wanted, schema)):
            raise ValueError("another type")
    if not fields:
        raise ValueError("no field")
    return tuple(name for name in PAGE_FIELDS if name in fields)


def _properties(schema: Any, root: Any) -> dict[str, Any]:
    found = _resolved(schema, root)
    properties: dict[str, Any] = found["properties"]
    if (
        found["type"] != "object"
        or set(found) - _OBJECT
        or set(properties) < set(found.get("required", ()))
    ):
        raise ValueError("more than an object with properties")
    return properties


def _types(schema: Mapping[str, Any]) -> set[str]:
    if set(schema) - _NOTES - {"type", "anyOf"}:
        raise ValueError("a narrower type")
    if "anyOf" in schema:
        return {kind for item in schema["anyOf"] for kind in _types(item)}
    kinds = schema["type"]
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    # Every integer is a number.
    return found | {"integer"} if "number" in found else found


def _resolved(schema: Any, root: Any) -> Any:
    """The schema, or what its ``$ref`` into the same document names."""
    for _ in range(8):
        if "$ref" not in schema:
            return schema
        found: Any = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = found
    raise ValueError("references that go on")
