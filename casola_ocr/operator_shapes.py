"""What our API answers to those who look after the service; as of `casola_ocr.shapes`."""

from __future__ import annotations

from pydantic import with_config

# As of `casola_ocr.shapes`.
from typing_extensions import TypedDict

from casola_ocr.overview import Activity
from casola_ocr.shapes import DESCRIBED, Count, Part, Time, example_of

_AT = "2026-11-25T12:00:00.000Z"
_TENANT = {"name": "acme", "created_at": _AT, "retention_days": None}
_TOKEN = {
    "id": "3f9c2a",
    "tenant": "acme",
    "label": "scanner",
    "admin": False,
    "created_at": _AT,
    "revoked_at": None,
}


@with_config(example_of(_TENANT))
class Tenant(TypedDict):
    """Who owns jobs, tokens and a library."""

    name: str
    created_at: Time
    retention_days: float | None
    """Its jobs are deleted after so many days; null is the service's setting, 0 keeps them."""


@with_config(example_of({"data": [_TENANT]}))
class Tenants(TypedDict):
    """All tenants."""

    data: list[Tenant]


@with_config(example_of(_TOKEN))
class Token(TypedDict):
    """What is known of a token; not the token itself."""

    id: str
    tenant: str
    label: str
    admin: bool
    created_at: Time
    revoked_at: Time | None


@with_config(example_of({**_TOKEN, "token": "casola_Zk3T0n9uQm"}))
class FreshToken(Token):
    """A token that was made just now."""

    token: str
    """Told this once."""


@with_config(example_of({"data": [_TOKEN]}))
class Tokens(TypedDict):
    """Tokens, newest first."""

    data: list[Token]


@with_config(DESCRIBED)
class TenantUsage(TypedDict):
    """What a tenant keeps."""

    tenant: str
    jobs: Count
    pages: Count
    files: Count
    bytes: Count


@with_config(
    example_of(
        {
            "counted_at": _AT,
            "data": [{"tenant": "acme", "jobs": 12, "pages": 80, "files": 1, "bytes": 9_400_000}],
        }
    )
)
class Usage(TypedDict):
    """What lies in the store."""

    counted_at: Time | None
    """null before the first time."""
    data: list[TenantUsage]


@with_config(DESCRIBED)
class RecordsServer(TypedDict):
    """The server that keeps the records."""

    version: str
    used_bytes: Count
    max_bytes: Count
    """0 = unlimited."""
    append_only: bool
    uptime_seconds: Count


@with_config(DESCRIBED)
class EngineWorkers(TypedDict):
    """An engine and how many processes run it."""

    name: str
    live: bool
    version: str | None
    workers: Count


@with_config(
    example_of(
        {
            "at": _AT,
            "ready": True,
            "parts": {"store": {"ready": True, "detail": None}},
            "records": {
                "version": "9.1.0",
                "used_bytes": 2_400_000,
                "max_bytes": 0,
                "append_only": True,
                "uptime_seconds": 86_400,
            },
            "activity": {
                "pages_per_second": 1.4,
                "pending_pages": 3,
                "pending_bytes": 553_000,
                "dead_letters": 0,
                "queues": [
                    {
                        "name": "pages.pp-ocrv6",
                        "waiting": 1,
                        "running": 2,
                        "seconds_per_step": 1.2,
                        "oldest_seconds": 0.4,
                        "served": True,
                    }
                ],
                "workers": [{"name": "host:4711:k3", "does": ["pp-ocrv6"], "seen_seconds": 0.8}],
                "failures": [
                    {
                        "code": "damaged_document",
                        "count": 2,
                        "meaning": "The document is cut off or damaged and cannot be opened.",
                        "ours": False,
                    }
                ],
            },
            "engines": [
                {"name": "pp-ocrv6", "live": True, "version": "rapidocr 3.10", "workers": 2}
            ],
        }
    )
)
class Overview(TypedDict):
    """How the service is doing; what only the records can tell is null while they are down."""

    at: Time
    ready: bool
    parts: dict[str, Part]
    records: RecordsServer | None
    activity: Activity | None
    engines: list[EngineWorkers] | None
