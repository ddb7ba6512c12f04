"""A zip of a batch, written while its documents are: no entry is ever held as a whole."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from casola_ocr.documents.names import MAX_NAME_BYTES, cut_name

#: The entry that tells of documents and pages that are missing.
ERRORS_NAME = "errors.json"
#: What Windows unpacks no file with.
_FORBIDDEN = re.compile(r'[<>:"|?*]')
#: Names of devices on Windows, whatever stands behind a dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL)
#: The earliest moment that a zip can hold.
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Archive:
    """A zip that is taken away chunk by chunk. Not thread-safe."""

    def __init__(self, *, packed: bool) -> None:
        """`packed` tells that the entries are compressed already."""
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w")
        self._method = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED

    def entry(self, name: str, chunks: Iterable[bytes], modified_ms: int = 0) -> Iterator[bytes]:
        """Add an entry; `modified_ms` is in ms since 1970."""
        moment = datetime.fromtimestamp(modified_ms / 1000, tz=UTC).timetuple()[:6]
        info = zipfile.ZipInfo(name, max(moment, _EPOCH))
        info.compress_type = self._method
        info.external_attr = 0o644 << 16
        # Nobody knows yet whether it will be larger than the old format allows.
        with self._zip.open(info, "w", force_zip64=True) as entry:
            for chunk in chunks:
                entry.write(chunk)
                yield self._sink.taken()
        yield self._sink.taken()

    def end(self, missing: list[dict[str, Any]]) -> Iterator[bytes]:
        """Add the list of what is missing, if anything is, and close."""
        if missing:
            text = json.dumps(missing, ensure_ascii=False, indent=2) + "\n"
            yield from self.entry(ERRORS_NAME, [text.encode()])
        self._zip.close()
        yield self._sink.taken()


class EntryNames:
    """Names for entries: that of the original with another suffix, never twice the same.

    Each can be unpacked, whatever the original was called.
    """

    def __init__(self) -> None:
        # Most file systems that a zip is unpacked on take no notice of case.
        self._used = {ERRORS_NAME}

    def name(self, original: str, suffix: str) -> str:
        stem = _FORBIDDEN.sub("_", exported_name(original, ""))
        if _DEVICE.fullmatch(stem):
            stem = f"_{stem}"
        name, number = _short(stem, suffix), 1
        while name.casefold() in self._used:
            number += 1
            name = _short(stem, f"-{number}{suffix}")
        self._used.add(name.casefold())
        return name


def exported_name(original: str, suffix: str) -> str:
    """The name of an exported file: ``scan.png`` becomes ``scan.txt``."""
    return (PurePosixPath(original).stem or "document") + suffix


def _short(stem: str, end: str) -> str:
    """The stem, cut where it is too long, with the end."""
    return cut_name(stem, MAX_NAME_BYTES - len(end)) + end


class _Sink(io.RawIOBase):
    """A file that is written only at its end, and from whose beginning bytes are taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        made = b"".join(self._parts)
        self._parts.clear()
        return made
