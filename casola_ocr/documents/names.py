"""Names that clients give to files: shown and logged, never used as a path."""

from __future__ import annotations

import unicodedata

#: Longest name kept, in characters.
MAX_NAME_LENGTH = 200

#: Longest name of a file on the disks that are in use, in bytes.
MAX_NAME_BYTES = 255

_FALLBACK = "document"


def clean_file_name(name: str) -> str:
    """A file name that is safe to store, log and show; never empty.

    Folders (of either slash) are cut off; control characters and everything invisible that
    changes how the rest is displayed (bidirectional overrides, zero-width marks, line
    separators, lone surrogates) are dropped; the rest is brought to NFC and cut to
    `MAX_NAME_LENGTH` characters, the extension kept. Raises nothing.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(
        char for char in last if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )
    # No slash can come back: NFC, unlike NFKC, maps no other character to one.
    cleaned = unicodedata.normalize("NFC", kept).strip()
    if cleaned in ("", ".", ".."):
        return _FALLBACK
    if len(cleaned) > MAX_NAME_LENGTH:
        stem, dot, extension = cleaned.rpartition(".")
        if stem and len(extension) <= 10:
            keep = MAX_NAME_LENGTH - len(extension) - 1
            return stem[:keep].rstrip() + dot + extension
        return cleaned[:MAX_NAME_LENGTH].rstrip()
    return cleaned


def cut_name(name: str, most: int) -> str:
    """The name's beginning, of at most `most` bytes in UTF-8. Raises nothing."""
    written = name.encode(errors="surrogateescape")
    return name if len(written) <= most else written[:most].decode(errors="ignore")
