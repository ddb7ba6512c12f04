"""Files: bytes that a tenant keeps for later requests, such as documents and requests of a batch.

They live in the object store alone. ``about.json`` comes last and goes first: a file exists exactly
as long as it does. See `expiry` for how files end.
"""

from __future__ import annotations

import builtins
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import BinaryIO, cast

from casola_ocr import documents, expiry
from casola_ocr.documents.names import clean_file_name
from casola_ocr.errors import (
    EmptyFile,
    FileTooLarge,
    NotFound,
    ObjectNotFound,
    UnsupportedFormat,
)
from casola_ocr.ids import is_file_id, new_file_id
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.settings import Settings
from casola_ocr.side_by_side import each
from casola_ocr.tenants import Tenants
from casola_ocr.times import now_ms

#: Purposes with limits of their own: requests of a batch, and what came of them.
BATCH = "batch"
BATCH_OUTPUT = "batch_output"
#: Of files whose bytes say nothing about themselves.
UNKNOWN_MEDIA_TYPE = "application/octet-stream"

#: An opened file is held in memory up to this size, on disk above it.
SPOOL_BYTES = 1024 * 1024
#: How much of a request's body is read at a time.
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class File:
    """What is known of a file. Times are milliseconds since 1970."""

    #: ``file-`` and a ULID.
    file_id: str
    tenant: str
    #: Name that the client gave it; data, never a path.
    file_name: str
    media_type: str
    #: Bytes.
    size: int
    #: What the client wants it for, in the client's own words.
    purpose: str
    created_at: int
    #: None = kept until it is deleted.
    expires_at: int | None

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> File:
        """Read what was stored; fields that a newer version added are ignored."""
        values = json.loads(data)
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


class Files:
    """The files of all tenants. Safe to share between threads and greenlets.

    Every verb takes the tenant first; a file of another tenant is answered like an unknown one.
    All raise `StoreUnavailable` when the store is down; none needs Redis.
    """

    def __init__(self, settings: Settings, store: ObjectStore, tenants: Tenants | None = None):
        self._settings = settings
        self._store = store
        self._tenants = tenants or Tenants(store)

    def create(
        self,
        tenant: str,
        source: BinaryIO,
        *,
        file_name: str,
        purpose: str,
        media_type: str = "",
        expires_in: int | None = None,
        file_id: str = "",
    ) -> File:
        """Keep the whole of a seekable file; when it returns, the file is durable.

        It expires after `expires_in` seconds and at the latest when the tenant's retention says
        so. An empty media type is found in the bytes. With a `file_id` it replaces what was kept
        under that ID.

        Raises:
            EmptyFile: it has no bytes.
            FileTooLarge: it has more than a document, or with the purpose `BATCH` a file of
                requests, may have. What a batch wrote is not limited.
        """
        size = self._size(source, purpose)
        file_id = file_id or new_file_id()
        if not is_file_id(file_id):
            raise ValueError("not a file ID")
        now = now_ms()
        file = File(
            file_id=file_id,
            tenant=tenant,
            file_name=clean_file_name(file_name),
            media_type=media_type or _sniffed(source),
            size=size,
            purpose=purpose,
            created_at=now,
            expires_at=self._expiry(tenant, now, expires_in),
        )
        unfinished = now + expiry.UNFINISHED_MS
        expiry.look_at(self._store, tenant, keys.FILES, file_id, when_ms=unfinished)
        if file.expires_at is not None:
            expiry.look_at(self._store, tenant, keys.FILES, file_id, when_ms=file.expires_at)
        source.seek(0)
        self._store.put(keys.content(tenant, keys.FILES, file_id), source)
        self._store.put(keys.about(tenant, keys.FILES, file_id), file.to_json())
        return file

    def get(self, tenant: str, file_id: str) -> File:
        """What is known of a file.

        Raises:
            NotFound: there is no such file, it expired, or it is another tenant's.
        """
        file = self._find(tenant, file_id) if is_file_id(file_id) else None
        if file is None:
            raise NotFound("There is no file with this ID.")
        return file

    def stream(self, tenant: str, file_id: str) -> Iterator[bytes]:
        """As `content`, of the file with this ID.

        Raises:
            NotFound: as of `get`; raised by the call, not by the iteration.
        """
        return self.content(self.get(tenant, file_id))

    def content(self, file: File) -> Iterator[bytes]:
        """The bytes of a file that was looked up, in chunks of at most 1 MiB.

        Raises:
            NotFound: it was deleted meanwhile; raised by the call, not by the iteration.
        """
        try:
            return self._store.stream(keys.content(file.tenant, keys.FILES, file.file_id))
        except ObjectNotFound as error:
            raise NotFound("There is no file with this ID.") from error

    def open(self, tenant: str, file_id: str) -> BinaryIO:
        """A copy of the file's bytes to read and seek in; the caller closes it.

        Raises:
            NotFound: as of `get`.
        """
        return spooled(self.stream(tenant, file_id))

    def list(
        self,
        tenant: str,
        *,
        limit: int,
        after: str = "",
        purpose: str = "",
        newest_first: bool = True,
    ) -> tuple[builtins.list[File], bool]:
        """At most `limit` files by their time, and whether more follow.

        They begin after the file with the ID `after`, which need not exist any more; with
        `purpose`, only files that have it count.

        Raises:
            NotFound: `after` is not a file's ID.
        """
        if after and not is_file_id(after):
            raise NotFound("The cursor 'after' is not a file's ID.")
        ids = sorted(
            (name for name in self._store.folders(keys.kept_prefix(tenant, keys.FILES))),
            reverse=newest_first,
        )
        if after:
            ids = [name for name in ids if (name < after if newest_first else name > after)]
        found: list[File] = []
        for file in each(partial(self._find, tenant), ids):
            if file is None or (purpose and file.purpose != purpose):
                continue
            if len(found) == limit:
                return found, True
            found.append(file)
        return found, False

    def delete(self, tenant: str, file_id: str) -> None:
        """Remove a file; when it returns its bytes are gone.

        Raises:
            NotFound: as of `get`.
        """
        self.get(tenant, file_id)
        expiry.remove(self._store, tenant, keys.FILES, file_id)

    def _size(self, source: BinaryIO, purpose: str) -> int:
        size = source.seek(0, 2)
        if size == 0:
            raise EmptyFile()
        settings = self._settings
        most = settings.max_request_file_mb if purpose == BATCH else settings.max_file_mb
        if purpose != BATCH_OUTPUT and size > most * 1_000_000:
            raise FileTooLarge(f"The file has {size / 1e6:.1f} MB; the limit is {most} MB.")
        return size

    def _expiry(self, tenant: str, now: int, expires_in: int | None) -> int | None:
        retention = self._tenants.retention_seconds(tenant, self._settings.retention_days)
        limits = [seconds for seconds in (expires_in, retention or None) if seconds is not None]
        return now + int(min(limits) * 1000) if limits else None

    def _find(self, tenant: str, file_id: str) -> File | None:
        try:
            file = File.from_json(self._store.get(keys.about(tenant, keys.FILES, file_id)))
        except ObjectNotFound:
            return None
        expired = file.expires_at is not None and file.expires_at <= now_ms()
        return None if expired else file


def spooled(chunks: Iterator[bytes]) -> BinaryIO:
    """The bytes as a file at its beginning: in memory while small, else on disk."""
    file = cast(BinaryIO, tempfile.SpooledTemporaryFile(SPOOL_BYTES))  # noqa: SIM115 - the caller's
    try:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _sniffed(source: BinaryIO) -> str:
    source.seek(0)
    try:
        return documents.sniff(source.read(documents.HEAD_BYTES))
    except UnsupportedFormat:
        return UNKNOWN_MEDIA_TYPE
