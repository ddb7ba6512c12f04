"""Uploads, on every object store, with the form of a real S3 server."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import httpx
import pytest

from casola_ocr import expiry, uploads
from casola_ocr.errors import (
    EmptyFile,
    FileTooLarge,
    Forbidden,
    KeyReused,
    NotFound,
    NotUploaded,
    Unprocessable,
)
from casola_ocr.objects import ObjectStore
from casola_ocr.objects.s3 import S3Store
from casola_ocr.settings import Settings
from casola_ocr.signing import Signer
from casola_ocr.times import now_ms
from casola_ocr.uploads import FORM_SECONDS, MAX_PARTS, Uploads
from tests.servers import S3Server
from tests.stores import STORES, open_store

HOUR_MS = 3_600_000


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_store(request, tmp_path)


def verbs(store: ObjectStore) -> Uploads:
    """The verbs of a process that knows nothing of earlier ones."""
    return Uploads(Settings(max_file_mb=1), store, Signer(store))


def test_each_step_can_be_another_process(store: ObjectStore) -> None:
    made = verbs(store).create("acme", "a/scan.pdf")
    assert made.file_name == "scan.pdf"
    assert made.expires_at == made.created_at + 24 * HOUR_MS
    policy, ends_at = verbs(store).policy(made)
    assert ends_at <= now_ms() + FORM_SECONDS * 1000
    assert verbs(store).allowed(policy) == made
    assert not verbs(store).has_come(made)
    with pytest.raises(NotUploaded):
        verbs(store).open("acme", made.upload_id)
    verbs(store).receive(made, BytesIO(b"content"))
    assert verbs(store).has_come(made)
    with verbs(store).open("acme", made.upload_id) as file:
        assert file.read() == b"content"
    with verbs(store).open("acme", made.upload_id) as again:
        assert again.read() == b"content"


def test_a_foreign_or_unknown_upload_is_not_found(store: ObjectStore) -> None:
    made = verbs(store).create("acme", "a")
    for tenant, name in (("other", made.upload_id), ("acme", "upload_x"), ("acme", "../x")):
        for ask in (verbs(store).get, verbs(store).open, verbs(store).delete):
            with pytest.raises(NotFound):
                ask(tenant, name)


def test_what_is_no_document_is_refused(store: ObjectStore) -> None:
    made = verbs(store).create("acme", "a")
    with pytest.raises(EmptyFile):
        verbs(store).receive(made, BytesIO())
    with pytest.raises(FileTooLarge):
        verbs(store).receive(made, BytesIO(bytes(1_000_001)))
    assert not verbs(store).has_come(made)


def test_one_key_is_one_upload(store: ObjectStore) -> None:
    made = verbs(store).create("acme", "a.pdf", "key")
    assert verbs(store).create("acme", "a.pdf", "key") == made
    assert verbs(store).create("other", "a.pdf", "key").upload_id != made.upload_id
    with pytest.raises(KeyReused):
        verbs(store).create("acme", "b.pdf", "key")


def test_parts_are_joined_in_their_order_and_may_come_twice(store: ObjectStore) -> None:
    made = verbs(store).create("acme", "a")
    for number, content in ((2, b"world"), (1, b"hullo "), (1, b"hello ")):
        verbs(store).receive_part(made, number, BytesIO(content))
    with verbs(store).joined(made, 2) as file:
        assert file.read() == b"hello world"
    with pytest.raises(NotUploaded, match="Part 3"):
        verbs(store).joined(made, 3)
    for number in (0, MAX_PARTS + 1):
        with pytest.raises(Unprocessable):
            verbs(store).receive_part(made, number, BytesIO(b"x"))
    verbs(store).receive_part(made, 3, BytesIO(bytes(999_990)))
    with pytest.raises(FileTooLarge):
        verbs(store).joined(made, 3)


def test_an_upload_ends_with_all_its_bytes(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = verbs(store).create("acme", "a")
    verbs(store).receive(made, BytesIO(b"content"))
    verbs(store).receive_part(made, 1, BytesIO(b"part"))
    policy, _ = verbs(store).policy(made)
    assert list(expiry.tend(store, made.expires_at - 1)) == []
    assert list(expiry.tend(store, made.expires_at)) == [1]
    assert [*store.list("tenants/"), *store.list("expiries/")] == []
    with pytest.raises(NotFound):
        verbs(store).allowed(policy)
    monkeypatch.setattr("casola_ocr.signing.now_ms", lambda: made.expires_at)
    with pytest.raises(Forbidden):
        verbs(store).allowed(policy)


def test_an_upload_whose_time_is_over_is_gone_before_it_is_removed(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = verbs(store).create("acme", "a")
    monkeypatch.setattr(uploads, "now_ms", lambda: made.expires_at)
    with pytest.raises(NotFound):
        verbs(store).get("acme", made.upload_id)


def test_what_a_form_brings_after_the_deletion_is_removed_too(store: ObjectStore) -> None:
    made = verbs(store).create("acme", "a")
    verbs(store).delete("acme", made.upload_id)
    assert list(store.list("tenants/")) == []
    verbs(store).receive(made, BytesIO(b"late"))
    assert list(expiry.tend(store, made.expires_at)) == [1]
    assert [*store.list("tenants/"), *store.list("expiries/")] == []


@pytest.mark.s3
class TestForm:
    """The form that a real S3 server checks by itself."""

    @pytest.fixture
    def store(self, s3_server: S3Server, tmp_path: Path) -> S3Store:
        return S3Store(
            bucket=s3_server.bucket,
            endpoint_url=s3_server.endpoint_url,
            access_key_id=s3_server.access_key_id,
            secret_access_key=s3_server.secret_access_key,
            prefix=f"run/{tmp_path.name}",
        )

    def send(self, url: str, fields: dict[str, str], content: bytes) -> int:
        answer = httpx.post(url, data=fields, files={"file": ("x", content)}, timeout=20)
        return answer.status_code

    def test_it_takes_the_file(self, store: S3Store) -> None:
        made = verbs(store).create("acme", "scan.pdf")
        form = verbs(store).form(made)
        assert form is not None
        assert self.send(form.url, form.fields, b"content") == 201
        with verbs(store).open("acme", made.upload_id) as file:
            assert file.read() == b"content"

    @pytest.mark.parametrize("size", [0, 1_000_001])
    def test_it_takes_nothing_of_another_size(self, store: S3Store, size: int) -> None:
        made = verbs(store).create("acme", "scan.pdf")
        form = verbs(store).form(made)
        assert form is not None
        assert self.send(form.url, form.fields, bytes(size)) in (400, 403)
        assert not verbs(store).has_come(made)

    def test_it_takes_nothing_under_another_key(self, store: S3Store) -> None:
        form = verbs(store).form(verbs(store).create("acme", "scan.pdf"))
        assert form is not None
        other = {**form.fields, "key": form.fields["key"].replace("acme", "other")}
        assert self.send(form.url, other, b"content") == 403
        assert list(store.list("tenants/other/")) == []

    def test_it_ends(self, store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(uploads, "FORM_SECONDS", -60)
        form = verbs(store).form(verbs(store).create("acme", "scan.pdf"))
        assert form is not None
        assert self.send(form.url, form.fields, b"content") == 403

    def test_it_names_the_address_that_clients_use(self, s3_server: S3Server) -> None:
        store = S3Store(
            bucket="b",
            endpoint_url="http://s3.internal:8333/",
            public_endpoint_url="https://s3.example.com",
            access_key_id="k",
            secret_access_key="s",
        )
        form = store.upload_form("a/b", max_bytes=5, seconds=60)
        assert form.url == "https://s3.example.com/b"


def test_other_stores_have_no_form(tmp_path: Path) -> None:
    from casola_ocr.objects.directory import DirectoryStore

    store = DirectoryStore(tmp_path)
    assert verbs(store).form(verbs(store).create("acme", "a")) is None
