"""JSON in and out, whatever text a client invents."""

from __future__ import annotations

import json
import re
from typing import Any

from flask.json.provider import DefaultJSONProvider

#: How JSON writes half of a character, and each half of one beyond the 16-bit plane.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


class JsonProvider(DefaultJSONProvider):
    """Flask's, for text that every encoding can write (I-JSON, RFC 7493 section 2.1)."""

    ensure_ascii = False
    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """As Flask's.

        Raises:
            ValueError: it is not JSON in UTF-8 (RFC 8259 section 8.1), or holds half of a
                character, which nothing could store.
        """
        # Python's own reading of bytes would let the three bytes of half a character through.
        text = s.decode("utf-8-sig") if isinstance(s, bytes) else s
        values = super().loads(text, **kwargs)
        if _HALF.search(text):
            json.dumps(values, ensure_ascii=False).encode()
        return values

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """As Flask's; half of a character that was stored once is a question mark."""
        return super().dumps(obj, **kwargs).encode(errors="replace").decode()
