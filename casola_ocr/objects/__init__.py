"""The object store: where documents and results are kept.

The port is `ObjectStore`; `directory` and `s3` implement it, `casola_ocr.testing` has one in
memory; all pass the same contract tests (tests/integration/test_object_store_contract.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from casola_ocr.settings import Settings


@dataclass(frozen=True, kw_only=True)
class UploadForm:
    """A multipart form to POST to `url`: these fields, and after them the file as ``file``."""

    url: str
    fields: dict[str, str]


class ObjectStore(Protocol):
    """A flat map from keys to bytes.

    Every method may be called from any thread or greenlet, and again after a failure: all are
    idempotent. Keys are made by `objects.keys`. Each raises `StoreUnavailable` when the store
    cannot be reached, is full, or answers with an error that may pass.
    """

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Store the bytes; a reader sees the whole old or the whole new object, never a part.

        When it returns the object survives the death of the process and of the machine, as far
        as the medium does. A file object is read from its current position in bounded memory.
        """

    def put_all(self, objects: Sequence[tuple[str, bytes | BinaryIO]]) -> None:
        """As a `put` of each in turn, and at most as dear: no reader sees a later one alone.

        When it fails some of the first may have been stored. After the death of the machine those
        in different folders are there in their order; of neighbours in one folder any may be.
        """

    def get(self, key: str) -> bytes:
        """The object's bytes.

        Raises:
            ObjectNotFound: there is no such object.
        """

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    def stream(self, key: str) -> Iterator[bytes]:
        """The object's bytes in chunks of at most 1 MiB; opened before a chunk is asked for.

        Raises:
            ObjectNotFound: there is no such object (raised by the call, not by the iteration).
        """

    def list(self, prefix: str) -> Iterator[str]:
        """Every key under `prefix` (which ends in ``/``), in bounded memory.

        The order is the store's own: not every S3 server sorts by bytes.
        """

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """As `list`, with the bytes of each object; one that goes meanwhile may be left out."""

    def folders(self, prefix: str) -> Iterator[str]:
        """The names directly under `prefix` (which ends in ``/``) that have keys below them.

        As cheap as a listing of so many keys, however many lie below each name.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Remove these objects; one that does not exist is no error."""

    def upload_form(self, key: str, *, max_bytes: int, seconds: int) -> UploadForm | None:
        """A form with which anybody can put this one object, of 1 to `max_bytes` bytes.

        None where the store has no address of its own. Sends nothing.
        """

    def check(self) -> None:
        """Prove that an object can be written: for readiness and ``doctor``."""


def open_store(settings: Settings) -> ObjectStore:
    """The store that the settings name. Makes no connection yet."""
    url = urlsplit(settings.store_url)
    if url.scheme == "file":
        from casola_ocr.objects.directory import DirectoryStore

        return DirectoryStore(Path(unquote(url.path)))

    from casola_ocr.objects.s3 import S3Store

    return S3Store(
        bucket=url.netloc,
        prefix=url.path.strip("/"),
        endpoint_url=settings.s3_endpoint_url,
        public_endpoint_url=settings.s3_public_endpoint_url,
        access_key_id=settings.aws_access_key_id,
        secret_access_key=settings.aws_secret_access_key.get_secret_value(),
        region=settings.aws_region,
    )
