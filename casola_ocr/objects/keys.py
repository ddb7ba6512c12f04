"""Every key of the object store, in one place.

A page's keys go by its position among the wanted pages of its document, the first is 1: the same
by which its steps go. See `casola_ocr.selection`.

Tenants and request IDs are checked before they come here (`model.is_tenant_name`,
`model.is_request_id`); the assertions below are the second lock.
"""

from __future__ import annotations

import re

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

INFLIGHT_PREFIX = "inflight/"
TENANTS_PREFIX = "tenants/"
TOMBSTONES_PREFIX = "tombstones/"
TOKENS_PREFIX = "tokens/"


#: Suffix of the marker of a deletion.
DELETED = "deleted"


def _safe(part: str) -> str:
    if not _SAFE.fullmatch(part):
        raise ValueError("not a name that can be part of a key")
    return part


def tenant(name: str) -> str:
    return f"{TENANTS_PREFIX}{_safe(name)}/tenant.json"


def token(sha256_hex: str) -> str:
    return f"{TOKENS_PREFIX}{_safe(sha256_hex)}.json"


def jobs_prefix(tenant: str) -> str:
    return f"{TENANTS_PREFIX}{_safe(tenant)}/jobs/"


def job_prefix(tenant: str, request_id: str) -> str:
    return f"{jobs_prefix(tenant)}{_safe(request_id)}/"


def source(tenant: str, request_id: str) -> str:
    return job_prefix(tenant, request_id) + "source"


def manifest(tenant: str, request_id: str) -> str:
    return job_prefix(tenant, request_id) + "manifest.json"


def pages_prefix(tenant: str, request_id: str) -> str:
    return job_prefix(tenant, request_id) + "pages/"


def page_note(tenant: str, request_id: str, page: int) -> str:
    """What was found of a page's own text while preparing; see `casola_ocr.opening`."""
    return f"{pages_prefix(tenant, request_id)}{page:05}/text.json"


def page_image(tenant: str, request_id: str, page: int) -> str:
    return f"{pages_prefix(tenant, request_id)}{page:05}/image.png"


def page_result(tenant: str, request_id: str, page: int, attempt: str) -> str:
    """Key of one attempt's result; `attempt` is ``{attempt}-{fence}``, see docs/why.md."""
    return f"{pages_prefix(tenant, request_id)}{page:05}/{_safe(attempt)}.json"


def result(tenant: str, request_id: str) -> str:
    return job_prefix(tenant, request_id) + "result.json"


def text(tenant: str, request_id: str) -> str:
    return job_prefix(tenant, request_id) + "text.txt"


def page_prefix(tenant: str, request_id: str, page: int) -> str:
    return f"{pages_prefix(tenant, request_id)}{page:05}/"


def inflight(unfinished: str) -> str:
    """Key of the marker of a batch, or of the first run of a job."""
    return INFLIGHT_PREFIX + _safe(unfinished)


def marker(request_id: str, run: int) -> str:
    """Key of the marker of one run of a job: what ends a run removes no other's."""
    return inflight(request_id if run == 1 else f"{request_id}-{run}")


def deletion(request_id: str) -> str:
    """Key of the marker of a deletion that is under way."""
    return inflight(f"{request_id}-{DELETED}")


def parse_marker(name: str) -> tuple[str, str]:
    """The job or batch of a marker, and its suffix: a run's number, `DELETED` or nothing."""
    unfinished, _, suffix = name.partition("-")
    return unfinished, suffix


def tombstone(tenant: str, request_id: str) -> str:
    """What is left of a deleted job: that it was deleted, and when."""
    return f"{TOMBSTONES_PREFIX}{_safe(tenant)}/{_safe(request_id)}"


def parse_tombstone(key: str) -> tuple[str, str]:
    """The tenant and the request ID of a tombstone's key."""
    _, tenant, request_id = key.split("/")
    return tenant, request_id


_PAGE_RESULT = re.compile(r"pages/(\d+)/([0-9]+-[0-9]+)\.json$")


def parse_page_result(key: str) -> tuple[int, str] | None:
    """The page and the attempt of a page result's key; None for any other key."""
    match = _PAGE_RESULT.search(key)
    return (int(match[1]), match[2]) if match else None
