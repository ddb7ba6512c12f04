"""Uploads: documents that reach the store before they are submitted, and not through the API.

An upload is made first, then its bytes come: on S3 straight from the client by a form that S3
itself checks, else through a route of ours; whole, or in parts that are joined at the end. All of
it is in the object store alone, so that each step survives whatever dies between them. An upload
ends by itself; see `expiry`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from casola_ocr import expiry
from casola_ocr.documents.names import clean_file_name
from casola_ocr.errors import (
    EmptyFile,
    FileTooLarge,
    Forbidden,
    KeyReused,
    NotFound,
    NotUploaded,
    ObjectNotFound,
    Unprocessable,
)
from casola_ocr.files import spooled
from casola_ocr.ids import is_upload_id, new_upload_id
from casola_ocr.objects import ObjectStore, UploadForm, keys
from casola_ocr.settings import Settings
from casola_ocr.signing import Signer, is_over
from casola_ocr.times import now_ms

#: How long a form can be used: it may still be under way when this time is over.
FORM_SECONDS = 3600
#: Parts of one upload; fal's client sends 10 MB in each.
MAX_PARTS = 1000

_KIND = "upload"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What is known of an upload. Times are milliseconds since 1970."""

    #: ``upload_`` and a ULID.
    upload_id: str
    tenant: str
    file_name: str
    created_at: int
    expires_at: int


class Uploads:
    """The uploads of all tenants. Safe to share between threads and greenlets.

    Every verb takes the tenant first; an upload of another tenant is answered like an unknown one.
    All raise `StoreUnavailable` when the store is down; none needs Redis.
    """

    def __init__(self, settings: Settings, store: ObjectStore, signer: Signer):
        self._settings = settings
        self._store = store
        self._signer = signer

    def create(self, tenant: str, file_name: str, idempotency_key: str = "") -> Upload:
        """Make an upload; with the same key it is the same one.

        Raises:
            KeyReused: the key was used with another file name.
        """
        seed = f"{tenant}\nupload\n{idempotency_key}" if idempotency_key else ""
        now = now_ms()
        upload = Upload(
            upload_id=new_upload_id(seed),
            tenant=tenant,
            file_name=clean_file_name(file_name),
            created_at=now,
            expires_at=now + self._settings.upload_hours * 3_600_000,
        )
        made = self._find(tenant, upload.upload_id) if seed else None
        if made is not None:
            if made.file_name != upload.file_name:
                raise KeyReused()
            return made
        name = upload.upload_id
        expiry.look_at(self._store, tenant, keys.UPLOADS, name, when_ms=upload.expires_at)
        about = json.dumps(asdict(upload), ensure_ascii=False).encode()
        self._store.put(keys.about(tenant, keys.UPLOADS, name), about)
        return upload

    def form(self, upload: Upload) -> UploadForm | None:
        """How the bytes reach the store by themselves; None where `receive` has to take them."""
        return self._store.upload_form(
            keys.content(upload.tenant, keys.UPLOADS, upload.upload_id),
            max_bytes=self._settings.max_file_bytes,
            seconds=FORM_SECONDS,
        )

    def policy(self, upload: Upload) -> tuple[str, int]:
        """What `allowed` takes instead of a token, and when that ends (ms since 1970)."""
        expires_at = min(upload.expires_at, now_ms() + FORM_SECONDS * 1000)
        values = {"tenant": upload.tenant, "upload_id": upload.upload_id}
        return self._signer.seal(_KIND, values, expires_at=expires_at), expires_at

    def allowed(self, policy: str) -> Upload:
        """The upload that a policy is for.

        Raises:
            Forbidden: it is not one of ours, or its time is over.
            NotFound: the upload does not exist any more.
        """
        values = self._signer.unseal(_KIND, policy)
        if values is None or is_over(values):
            raise Forbidden("The policy of this upload is not valid, or not any more.")
        return self.get(values["tenant"], values["upload_id"])

    def get(self, tenant: str, upload_id: str) -> Upload:
        """What is known of an upload.

        Raises:
            NotFound: there is no such upload, it ended, or it is another tenant's.
        """
        upload = self._find(tenant, upload_id) if is_upload_id(upload_id) else None
        if upload is None:
            raise NotFound("There is no upload with this ID.")
        return upload

    def has_come(self, upload: Upload) -> bool:
        """Whether its bytes are in the store."""
        return self._store.exists(keys.content(upload.tenant, keys.UPLOADS, upload.upload_id))

    def receive(self, upload: Upload, source: BinaryIO) -> None:
        """Take the whole of a seekable file as the upload's bytes; they are durable afterwards.

        Raises:
            EmptyFile, FileTooLarge: it is no document.
        """
        size = source.seek(0, 2)
        if size == 0:
            raise EmptyFile()
        self._check(size)
        source.seek(0)
        self._store.put(keys.content(upload.tenant, keys.UPLOADS, upload.upload_id), source)

    def receive_part(self, upload: Upload, number: int, source: BinaryIO) -> None:
        """Take one part, the first is 1; sent again it replaces what came before.

        Raises:
            Unprocessable: there are more than `MAX_PARTS`.
        """
        if not 1 <= number <= MAX_PARTS:
            raise Unprocessable(f"An upload has at most {MAX_PARTS} parts; the first is 1.")
        self._store.put(keys.part(upload.tenant, upload.upload_id, number), source)

    def joined(self, upload: Upload, parts: int) -> BinaryIO:
        """All parts as one file, which the caller closes.

        Raises:
            NotUploaded: one of the parts did not come.
            FileTooLarge: together they are no document.
        """
        return self._opened(self._parts(upload, parts))

    def open(self, tenant: str, upload_id: str) -> BinaryIO:
        """A copy of the upload's bytes to read and seek in; the caller closes it.

        Raises:
            NotFound: as of `get`.
            NotUploaded: they did not come yet.
            FileTooLarge: there are more than the form allowed.
        """
        upload = self.get(tenant, upload_id)
        try:
            chunks = self._store.stream(keys.content(tenant, keys.UPLOADS, upload.upload_id))
        except ObjectNotFound as error:
            raise NotUploaded() from error
        return self._opened(chunks)

    def delete(self, tenant: str, upload_id: str) -> None:
        """Remove an upload. Its entry stays, for what a form may still bring.

        Raises:
            NotFound: as of `get`.
        """
        self.get(tenant, upload_id)
        expiry.remove(self._store, tenant, keys.UPLOADS, upload_id)

    def _find(self, tenant: str, upload_id: str) -> Upload | None:
        try:
            stored = self._store.get(keys.about(tenant, keys.UPLOADS, upload_id))
        except ObjectNotFound:
            return None
        values: dict[str, Any] = json.loads(stored)
        upload = Upload(**{name: values[name] for name in Upload.__dataclass_fields__})
        return None if upload.expires_at <= now_ms() else upload

    def _parts(self, upload: Upload, parts: int) -> Iterator[bytes]:
        for number in range(1, min(parts, MAX_PARTS) + 1):
            try:
                yield from self._store.stream(keys.part(upload.tenant, upload.upload_id, number))
            except ObjectNotFound as error:
                raise NotUploaded(f"Part {number} was not uploaded.") from error

    def _opened(self, chunks: Iterator[bytes]) -> BinaryIO:
        return spooled(self._counted(chunks))

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            self._check(size)
            yield chunk

    def _check(self, size: int) -> None:
        if size > self._settings.max_file_bytes:
            raise FileTooLarge(f"The file has more than {self._settings.max_file_mb} MB.")
