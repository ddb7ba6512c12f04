"""IDs and names: how they are written, made and told."""

from __future__ import annotations

import hashlib
import re

from ulid import ULID

from casola_ocr.times import now_ms

#: How IDs and names are written, as regular expressions.
REQUEST_ID, FILE_ID, UPLOAD_ID, BATCH_ID = (
    f"{prefix}[0-9A-HJKMNP-TV-Z]{{26}}" for prefix in ("req_", "file-", "upload_", "batch_")
)
TENANT_NAME = "[a-z0-9][a-z0-9_-]{0,39}"


def new_request_id(seed: str = "") -> str:
    """A new ID; the same one for the same seed, so that one key cannot make two jobs."""
    return f"req_{_ulid(seed)}"


def new_batch_id(seed: str = "") -> str:
    return f"batch_{_ulid(seed)}"


def new_errand_id(seed: str = "") -> str:
    """A new ID; later ones sort after earlier ones, and the same seed has the same `id_tail`."""
    if not seed:
        return f"batch_{_ulid('')}"
    moment = now_ms().to_bytes(6, "big")
    return f"batch_{ULID(moment + hashlib.sha256(seed.encode()).digest()[:10])}"


def id_tail(text: str) -> str:
    """What an ID ends in behind its moment: 80 bits."""
    return text[-16:]


def new_file_id() -> str:
    """A new ID; later ones sort after earlier ones, but for those of the same millisecond."""
    return f"file-{_ulid('')}"


def new_upload_id(seed: str = "") -> str:
    return f"upload_{_ulid(seed)}"


def _ulid(seed: str) -> ULID:
    # Not derived from the time where there is a seed: the same request may come again any day.
    return ULID(hashlib.sha256(seed.encode()).digest()[:16]) if seed else ULID()


def is_request_id(text: str) -> bool:
    return re.fullmatch(REQUEST_ID, text) is not None


def is_batch_id(text: str) -> bool:
    return re.fullmatch(BATCH_ID, text) is not None


def is_file_id(text: str) -> bool:
    return re.fullmatch(FILE_ID, text) is not None


def is_upload_id(text: str) -> bool:
    return re.fullmatch(UPLOAD_ID, text) is not None


def is_cursor(text: str) -> bool:
    """Whether it is a place in a list: ``{ms since 1970, 13 digits}/{request ID}``."""
    milliseconds, _, request_id = text.partition("/")
    digits = milliseconds.isascii() and milliseconds.isdecimal()
    return digits and len(milliseconds) == 13 and is_request_id(request_id)


def is_tenant_name(text: str) -> bool:
    return re.fullmatch(TENANT_NAME, text) is not None
