"""The object store on S3 or a server that speaks its protocol, through boto3."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO
from uuid import uuid4

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from casola_ocr.errors import ObjectNotFound, StoreUnavailable
from casola_ocr.objects import UploadForm

CHUNK_BYTES = 1024 * 1024
#: S3's own limit for one DeleteObjects request.
DELETE_KEYS = 1000
_MISSING = {"NoSuchKey", "404", "NotFound"}


class _KeepOpen:
    """boto3 closes what it uploads; the caller may still need it."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


class S3Store:
    """Keys are kept below `prefix` of a bucket. Empty strings leave it to boto3's own search.

    Safe to share between threads and greenlets; make one in each process, after a fork.
    """

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "",
        endpoint_url: str = "",
        public_endpoint_url: str = "",
        access_key_id: str = "",
        secret_access_key: str = "",
        region: str = "",
    ):
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._options: dict[str, Any] = {
            "endpoint_url": endpoint_url or None,
            "aws_access_key_id": access_key_id or None,
            "aws_secret_access_key": secret_access_key or None,
            "region_name": region or ("us-east-1" if endpoint_url else None),
        }
        self._endpoint = endpoint_url.rstrip("/")
        #: The signature covers no address: clients may use another one than this process.
        self._public = public_endpoint_url.rstrip("/")
        self._path_style = bool(endpoint_url)
        self._lock = threading.Lock()
        self._made: Any = None

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        with _translated():
            if isinstance(data, bytes):
                self._client.put_object(Bucket=self._bucket, Key=self._full(key), Body=data)
                return
            self._client.upload_fileobj(
                _KeepOpen(data),
                self._bucket,
                self._full(key),
                # Greenlets and prefork children must not grow threads of their own.
                Config=TransferConfig(use_threads=False),
            )

    def put_all(self, objects: Sequence[tuple[str, bytes | BinaryIO]]) -> None:
        for key, data in objects:
            self.put(key, data)

    def get(self, key: str) -> bytes:
        with _translated():
            answer = self._client.get_object(Bucket=self._bucket, Key=self._full(key))
            with answer["Body"] as body:
                found: bytes = body.read()
        return found

    def exists(self, key: str) -> bool:
        try:
            with _translated():
                self._client.head_object(Bucket=self._bucket, Key=self._full(key))
        except ObjectNotFound:
            return False
        return True

    def stream(self, key: str) -> Iterator[bytes]:
        with _translated():
            answer = self._client.get_object(Bucket=self._bucket, Key=self._full(key))
        return _chunks(answer["Body"])

    def list(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self.sizes(prefix))

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        with _translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._full(prefix)
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield entry["Key"].removeprefix(self._prefix), int(entry["Size"])

    def folders(self, prefix: str) -> Iterator[str]:
        full = self._full(prefix)
        with _translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=full, Delimiter="/"
            )
            for page in pages:
                for entry in page.get("CommonPrefixes", ()):
                    yield entry["Prefix"].removeprefix(full).rstrip("/")

    def delete(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        while chunk := list(islice(remaining, DELETE_KEYS)):
            with _translated():
                answer = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._full(k)} for k in chunk], "Quiet": True},
                )
            if any(error.get("Code") not in _MISSING for error in answer.get("Errors", ())):
                raise StoreUnavailable("The object store did not delete every object.")

    def upload_form(self, key: str, *, max_bytes: int, seconds: int) -> UploadForm:
        with _translated():
            form = self._client.generate_presigned_post(
                self._bucket,
                self._full(key),
                Fields={"success_action_status": "201"},
                Conditions=[
                    {"success_action_status": "201"},
                    ["content-length-range", 1, max_bytes],
                ],
                ExpiresIn=seconds,
            )
        url: str = form["url"]
        if self._public and self._endpoint:
            url = self._public + url.removeprefix(self._endpoint)
        return UploadForm(url=url, fields=form["fields"])

    def check(self) -> None:
        key = f".check/{uuid4().hex}"
        self.put(key, b"casola")
        self.delete([key])

    def _full(self, key: str) -> str:
        return self._prefix + key

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = boto3.session.Session().client(
                    "s3",
                    **self._options,
                    config=Config(
                        signature_version="s3v4",
                        connect_timeout=3,
                        read_timeout=20,
                        retries={"mode": "standard", "max_attempts": 3},
                        max_pool_connections=50,
                        # boto3 sends CRC headers by default, which break some S3 clones.
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                        s3={"addressing_style": "path" if self._path_style else "auto"},
                    ),
                )
            return self._made


def _chunks(body: Any) -> Iterator[bytes]:
    with body, _translated():
        while chunk := body.read(CHUNK_BYTES):
            yield chunk


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _MISSING:
            raise ObjectNotFound() from error
        raise StoreUnavailable(retry_after_seconds=5) from error
    except (BotoCoreError, OSError) as error:
        raise StoreUnavailable(retry_after_seconds=5) from error
