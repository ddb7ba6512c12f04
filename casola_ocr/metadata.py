"""A client's own words about what it asks for, which come back with it.

All dialects have OpenAI's limits, and each tells what is wrong in a shape of its own.
"""

from __future__ import annotations

from typing import Any

from casola_ocr.errors import MalformedRequest

#: OpenAI's limits: pairs, and characters of a name and of a value.
MAX_PAIRS, MAX_NAME, MAX_VALUE = 16, 64, 512


def check_metadata(value: Any) -> dict[str, str]:
    """The metadata in a body, where None is none.

    Raises:
        MalformedRequest: it is no object of strings, or beyond the limits.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise _wrong("is an object of strings.", "dict_type")
    too_long = any(len(name) > MAX_NAME or len(one) > MAX_VALUE for name, one in value.items())
    if too_long or len(value) > MAX_PAIRS:
        raise _wrong(
            f"has at most {MAX_PAIRS} pairs, names of {MAX_NAME} and values of {MAX_VALUE} "
            "characters.",
            "too_long",
        )
    return dict(value)


def _wrong(how: str, kind: str) -> MalformedRequest:
    return MalformedRequest(f"'metadata' {how}", field="metadata", kind=kind)
