"""Every key of the object store, in one place.

A page's keys go by its position among the wanted pages of its document, the first is 1: the same
by which its steps go. See `casola_ocr.selection`.

Tenants and request IDs are checked before they come here (`ids.is_tenant_name`,
`ids.is_request_id`); the assertions below are the second lock.
"""

from __future__ import annotations

import re

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

INFLIGHT_PREFIX = "inflight/"
TENANTS_PREFIX = "tenants/"
TOMBSTONES_PREFIX = "tombstones/"
TOKENS_PREFIX = "tokens/"
ANSWERS_PREFIX = "answers/"
EXPIRIES_PREFIX = "expiries/"
SIGNING_PREFIX = "signing/"
ERRANDS_PREFIX = "errands/"
OWED_PREFIX = "owed/"
FAL_KEYS_PREFIX = "webhooks/fal/"

#: What the tenants keep, as it was counted last.
USAGE = "usage.json"

#: What a tenant keeps beside jobs, each in a folder of its own that expires as a whole.
FILES = "files"
UPLOADS = "uploads"
ERRANDS = "errands"

_HOUR_MS = 3_600_000


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


def signing(key_id: str) -> str:
    """A secret key with which links are sealed."""
    return SIGNING_PREFIX + _safe(key_id)


def tenant_prefix(name: str) -> str:
    """The folder of everything that belongs to a tenant."""
    return f"{TENANTS_PREFIX}{_safe(name)}/"


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


def lent_reading(tenant: str, request_id: str, page: int, run: int) -> str:
    """What the job's own engine read before the page was lent; see `casola_ocr.lending`."""
    return f"{pages_prefix(tenant, request_id)}{page:05}/lent-{run}.json"


def result(tenant: str, request_id: str) -> str:
    return job_prefix(tenant, request_id) + "result.json"


def text(tenant: str, request_id: str) -> str:
    return job_prefix(tenant, request_id) + "text.txt"


def preview(tenant: str, request_id: str) -> str:
    """Key of the first page's small picture, made when somebody first looks at it."""
    return job_prefix(tenant, request_id) + "preview.webp"


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


def deliveries_prefix(tenant: str, request_id: str) -> str:
    return job_prefix(tenant, request_id) + "deliveries/"


def delivery(tenant: str, request_id: str, run: int) -> str:
    """What is known of telling the end of one run; see `casola_ocr.webhooks.delivery`."""
    return f"{deliveries_prefix(tenant, request_id)}{run:05}.json"


def owed(tenant: str, host: str, request_id: str, run: int) -> str:
    """Exists from before a run of a job ends until its receiver was told, or given up."""
    return f"{OWED_PREFIX}{_safe(tenant)}/{_safe(host)}/{_safe(request_id)}-{run}"


def parse_owed(key: str) -> tuple[str, str, str]:
    """The tenant, the host and ``{request ID}-{run}`` of the key of what is owed."""
    _, tenant, host, name = key.split("/")
    return tenant, host, name


def webhook_secrets_prefix(tenant: str) -> str:
    return f"{TENANTS_PREFIX}{_safe(tenant)}/webhooks/"


def webhook_secret(tenant: str, secret_id: str) -> str:
    """One of the secrets with which a tenant's webhooks are signed."""
    return f"{webhook_secrets_prefix(tenant)}{_safe(secret_id)}.json"


def fal_key(key_id: str) -> str:
    """A secret key with which webhooks are signed as fal's are."""
    return FAL_KEYS_PREFIX + _safe(key_id)


def answers_prefix(day: str) -> str:
    return f"{ANSWERS_PREFIX}{_safe(day)}/"


def answer(day: str, tenant: str, name: str) -> str:
    """What a request with an idempotency key was answered on a day; `name` is made of the key."""
    return f"{answers_prefix(day)}{_safe(tenant)}/{_safe(name)}.json"


def is_manifest(key: str) -> bool:
    """Whether it is a job's manifest, of which each job has one."""
    return key.endswith("/manifest.json") and key.split("/")[2] == "jobs"


_PAGE_RESULT = re.compile(r"pages/(\d+)/([0-9]+-[0-9]+)\.json$")


def parse_page_result(key: str) -> tuple[int, str] | None:
    """The page and the attempt of a page result's key; None for any other key."""
    match = _PAGE_RESULT.search(key)
    return (int(match[1]), match[2]) if match else None


def kept_prefix(tenant: str, kind: str, name: str = "") -> str:
    """The folder of all of a tenant's `FILES` or `UPLOADS`, or of the one with this name."""
    folder = f"{TENANTS_PREFIX}{_safe(tenant)}/{_safe(kind)}/"
    return f"{folder}{_safe(name)}/" if name else folder


def about(tenant: str, kind: str, name: str) -> str:
    """What is known of a file or upload; it exists as long as this object does."""
    return kept_prefix(tenant, kind, name) + "about.json"


def content(tenant: str, kind: str, name: str) -> str:
    return kept_prefix(tenant, kind, name) + "content"


def part(tenant: str, upload_id: str, number: int) -> str:
    """One of the parts in which an upload arrives; the first is 1."""
    return f"{kept_prefix(tenant, UPLOADS, upload_id)}parts/{number:05}"


def errand_marker(tenant: str, errand_id: str) -> str:
    """Exists while there is something to do for an errand."""
    return f"{ERRANDS_PREFIX}{_safe(tenant)}/{_safe(errand_id)}"


def parse_errand_marker(key: str) -> tuple[str, str]:
    """The tenant and the ID of an errand's marker."""
    _, tenant, errand_id = key.split("/")
    return tenant, errand_id


def errand_note(tenant: str, errand_id: str, name: str) -> str:
    """One of the small objects that say how an errand stands; see `casola_ocr.errands`."""
    return f"{kept_prefix(tenant, ERRANDS, errand_id)}{_safe(name)}.json"


def errand_parts_prefix(tenant: str, errand_id: str) -> str:
    return kept_prefix(tenant, ERRANDS, errand_id) + "parts/"


def errand_part(tenant: str, errand_id: str, number: int, kind: str) -> str:
    """What came of some lines, the first part is 0; `kind` is ``json``, ``output``, ``error``."""
    return f"{errand_parts_prefix(tenant, errand_id)}{number:05}.{_safe(kind)}"


def parse_errand_part(key: str) -> int | None:
    """The number of a whole part, from the key of its ``json``; None for any other key."""
    name = key.rpartition("/")[2]
    return int(name.removesuffix(".json")) if name.endswith(".json") else None


def expiry(when_ms: int, tenant: str, kind: str, name: str) -> str:
    """When a file, upload or errand is to be looked at; see `casola_ocr.expiry`."""
    return f"{expiries_prefix(when_ms)}{when_ms:013}/{_safe(tenant)}/{_safe(kind)}/{_safe(name)}"


def expiries_prefix(when_ms: int) -> str:
    """Where the entries of one hour are, so that those of later ones need not be listed."""
    return f"{EXPIRIES_PREFIX}{when_ms // _HOUR_MS:07}/"


def parse_expiry(key: str) -> tuple[int, str, str, str]:
    """The time in ms, the tenant, the kind and the name of an entry's key."""
    _, _, when_ms, tenant, kind, name = key.split("/")
    return int(when_ms), tenant, kind, name
