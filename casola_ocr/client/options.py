"""What may be said beside a document, and which jobs of the library are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict


class Options(TypedDict, total=False):
    """What is asked for beside a document; the API reference says what each means."""

    model: str
    language: str
    pages: str
    password: str
    text_layer: str
    mode: str
    prompt: str
    fallback: bool
    lane: str
    expires_in: int
    webhook_url: str


class Filters(TypedDict, total=False):
    """Which jobs of the library; times are RFC 3339, several statuses have commas between them."""

    status: str
    model: str
    language: str
    file_name: str
    created_from: str
    created_to: str
    low_confidence: bool


def as_fields(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as a form or a query has them."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in options.items()
        if value is not None
    }
