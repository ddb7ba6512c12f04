"""The object stores that everything above them is tested on."""

from __future__ import annotations

from pathlib import Path

import pytest

from casola_ocr.objects import ObjectStore
from casola_ocr.objects.directory import DirectoryStore
from casola_ocr.objects.s3 import S3Store
from casola_ocr.testing import MemoryStore
from tests.servers import S3Server

#: Parameters of a fixture that returns `open_store(request, tmp_path)`.
STORES = ["memory", "directory", pytest.param("s3", marks=pytest.mark.s3)]


def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """The store that the parameter names, empty."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "directory":
        return DirectoryStore(tmp_path / "objects")
    server: S3Server = request.getfixturevalue("s3_server")
    return S3Store(
        bucket=server.bucket,
        endpoint_url=server.endpoint_url,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        prefix=f"run/{tmp_path.name}",
    )
