"""Accepting documents: checked, stored, committed with one object, registered.

The order is the promise. Sources and manifests come first; then one ``inflight/`` marker, for a
batch the one that names all its jobs, *commits* the submission: what it names will be run, whatever
dies afterwards. Only then the records hear of it, and only then the client.
"""

from __future__ import annotations

import hashlib
import json
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from io import BytesIO
from typing import Any, BinaryIO
from uuid import uuid4

import structlog

from casola_ocr import documents, recovery
from casola_ocr.documents.names import clean_file_name
from casola_ocr.egress import validate_url
from casola_ocr.engines import choose_engine
from casola_ocr.erasure import is_erased
from casola_ocr.errors import (
    BadUrl,
    CasolaError,
    EmptyFile,
    FetchRefused,
    FileTooLarge,
    Gone,
    InProgress,
    KeyReused,
    MalformedRequest,
    NoFile,
    Overloaded,
    RecordsUnavailable,
    StoreUnavailable,
)
from casola_ocr.ids import new_batch_id, new_request_id
from casola_ocr.languages import language_codes
from casola_ocr.model import MODES, TEXT_LAYERS, WEBHOOK_STYLES, Lane, Manifest, Marker, Webhook
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.prompts import checked_prompt
from casola_ocr.publisher import Publisher
from casola_ocr.records import Limits, Records, Registration
from casola_ocr.results import stored_job, stored_manifest
from casola_ocr.selection import Selection
from casola_ocr.settings import Settings
from casola_ocr.tenants import Tenants
from casola_ocr.times import now_ms

log = structlog.get_logger(__name__)

#: What is answered while Redis is fuller than it may be; its memory falls as work is finished.
FULL_RETRY_SECONDS = 15
RECORDS_FULL = "The memory of the job records is nearly full; nothing is accepted until it falls."

#: How often a request that stores many documents makes sure that its key is still its own.
RESERVATION_SECONDS = 2.0

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class NewDocument:
    """A document to submit: its bytes, or a URL that a worker downloads when `source` is None."""

    file_name: str
    source: bytes | BinaryIO | None
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the documents of one submission are to be read and kept."""

    model: str = "auto"
    language: str = "auto"
    #: Such as ``1-5,8``; empty = the format's usual ones. See `casola_ocr.selection`.
    pages: str = ""
    #: One of `TEXT_LAYERS`.
    text_layer: str = TEXT_LAYERS[0]
    #: One of `MODES`, and the client's own words instead of the mode's; see `prompts`.
    mode: str = MODES[0]
    prompt: str = ""
    #: Whether another engine may read a page that the model's cannot be trusted with.
    fallback: bool = False
    #: Opens an encrypted document; is kept in the manifest and nowhere else.
    password: str = field(default="", repr=False)
    lane: Lane = Lane.INTERACTIVE
    #: Which foreign endpoint makes the job, such as ``fal:fal-ai/got-ocr/v2``; empty = our own.
    origin: str = ""
    #: What that endpoint wants to find again, as JSON values; see `Jobs.noted`.
    note: Mapping[str, Any] = field(default_factory=dict)
    #: Submitting again with the same key is the same submission; empty = each is a new one.
    idempotency_key: str = ""
    #: Seconds after which the jobs are deleted; None = as the tenant's retention says.
    expires_in: int | None = None
    #: Where the end of each job is told.
    webhook: Webhook | None = None
    #: Seconds after which each job is cancelled whose work has not begun; None = never.
    start_within: float | None = None


class Submissions:
    """Accepts documents. Safe to share between threads and greenlets."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        store: ObjectStore,
        publisher: Publisher,
        tenants: Tenants,
    ):
        self._settings = settings
        self._records = records
        self._store = store
        self._publisher = publisher
        self._tenants = tenants

    def submit(
        self, tenant: str, documents: Sequence[NewDocument], options: Options
    ) -> tuple[list[str], bool, list[Registration]]:
        """Accept documents, all or none; the request IDs, and whether they were accepted before.

        Told with them is how they were registered, where no other request can have done it first.
        See `Jobs.submit_or_find`.
        """
        if not documents:
            raise NoFile()
        options = _checked(options, self._settings)
        seed = _seed(tenant, options.idempotency_key)
        fingerprint = fingerprint_of(documents, options) if seed else ""
        if seed:
            ids = ids_of_key(tenant, options.idempotency_key, len(documents))
            if self._replayed(tenant, ids[0], fingerprint):
                return ids, True, []
        accepted = self._manifests(tenant, documents, options, seed, fingerprint)
        registrations = [
            Registration(manifest=manifest, pages=_pages_known(manifest))
            for manifest, _ in accepted
        ]
        self._admit(tenant, registrations)
        if not seed:
            return self._commit(tenant, accepted, registrations, nonce=""), False, registrations
        nonce, first = uuid4().hex, accepted[0][0].request_id
        if not self._records.reserve(first, nonce):
            raise InProgress(retry_after_seconds=1)
        try:
            # Since this was asked another request may have been accepted: leave its objects alone.
            if self._replayed(tenant, first, fingerprint):
                return ids, True, []
            return self._commit(tenant, accepted, registrations, nonce), False, []
        finally:
            self._records.unreserve(first, nonce)

    def _replayed(self, tenant: str, first: str, fingerprint: str) -> bool:
        """Whether a submission with this key, of which `first` is the first job, was accepted."""
        if is_erased(self._store, tenant, first):
            raise Gone("The job of this idempotency key was deleted.")
        manifest = stored_manifest(self._store, tenant, first)
        if manifest is None:
            return False
        if not self._records.known([first])[0]:
            # The records may have been wiped a moment ago: what was committed is registered now.
            recovery.recover_one(
                self._settings, self._records, self._store, self._publisher, manifest
            )
            unknown = not self._records.known([first])[0]
            if unknown and stored_job(self._store, tenant, first) is None:
                return False
        if manifest.fingerprint != fingerprint:
            raise KeyReused()
        return True

    def _manifests(
        self,
        tenant: str,
        documents: Sequence[NewDocument],
        options: Options,
        seed: str,
        fingerprint: str,
    ) -> list[tuple[Manifest, NewDocument]]:
        selection = str(Selection.parse(options.pages))
        language = language_codes(options.language)
        engine = choose_engine(
            self._records, options.model, language, mode=options.mode, prompt=options.prompt
        )
        several = len(documents) > 1
        batch_id = new_batch_id(seed) if several else ""
        now = now_ms()
        expires_at = self._expiry(tenant, options, now)
        ids = [
            new_request_id(f"{seed}{number}" if seed else "") for number in range(len(documents))
        ]
        accepted = []
        for number, document in enumerate(documents):
            media_type, size = self._check(document, named=several)
            noted = bool(options.note) and number == 0
            manifest = Manifest(
                request_id=ids[number],
                tenant=tenant,
                file_name=clean_file_name(document.file_name),
                media_type=media_type,
                url=document.url if document.source is None else "",
                model=options.model,
                engine=engine,
                language=language,
                lane=options.lane,
                batch_id=batch_id,
                created_at=now,
                expires_at=expires_at,
                size=size,
                fingerprint=fingerprint,
                position=number,
                selection=selection,
                text_layer=options.text_layer,
                mode=options.mode,
                prompt=options.prompt,
                fallback=options.fallback,
                password=options.password,
                webhook=options.webhook,
                origin=options.origin,
                note=dict(options.note) if noted else {},
                noted_jobs=tuple(ids) if noted else (),
                start_by=now + round(options.start_within * 1000) if options.start_within else 0,
            )
            accepted.append((manifest, document))
        return accepted

    def _expiry(self, tenant: str, options: Options, now: int) -> int:
        """When the jobs are to be deleted, in ms since 1970; 0 = never."""
        seconds = self._tenants.retention_seconds(tenant, self._settings.retention_days)
        asked = options.expires_in
        if asked is not None:
            # A tenant's retention is the most: a job may ask for less.
            seconds = min(seconds, asked) if seconds else asked
        return now + int(seconds * 1000) if seconds else 0

    def _admit(self, tenant: str, registrations: Sequence[Registration]) -> None:
        """Refuse what would not be accepted before its bytes are stored."""
        check_memory(self._records, self._settings)
        self._records.admit(
            tenant,
            pages=sum(item.pages or 1 for item in registrations),
            size=sum(item.manifest.size for item in registrations),
            limits=limits(self._settings),
        )

    def _commit(
        self,
        tenant: str,
        accepted: Sequence[tuple[Manifest, NewDocument]],
        registrations: Sequence[Registration],
        nonce: str,
    ) -> list[str]:
        manifests = [manifest for manifest, _ in accepted]
        ids = [manifest.request_id for manifest in manifests]
        batch_id = manifests[0].batch_id
        marker = Marker(tenant=tenant, jobs=tuple(ids) if batch_id else ())
        reserved = _Reservation(self._records, ids[0], nonce)
        try:
            # Alone and without a key nobody else can have taken over in between.
            together = not nonce and len(accepted) == 1
            commit = (keys.inflight(batch_id or ids[0]), marker.to_json())
            for manifest, document in accepted:
                reserved.check()
                objects = _objects(manifest, document)
                self._store.put_all([*objects, commit] if together else objects)
                # Others' requests have their turn; and gevent closes what was closed only then:
                # ten thousand files ran out of descriptors.
                time.sleep(0)
            if not together:
                reserved.check()
                self._store.put(*commit)
            hints = self._records.submit(
                tenant,
                [_with_nonce(item, nonce) for item in registrations],
                window=self._settings.window_pages,
                limits=limits(self._settings),
            )
        except InProgress:
            # Another request with this key took over; what is stored now is its submission.
            raise
        except CasolaError:
            if reserved.is_ours():
                self._discard(tenant, ids, batch_id)
            raise
        self._publisher.publish(hints)
        log.info(
            "jobs were accepted",
            action="jobs_accepted",
            tenant=tenant,
            request_ids=ids if len(ids) <= 20 else None,
            jobs=len(ids),
            batch_id=batch_id or None,
        )
        return ids

    def _check(self, document: NewDocument, *, named: bool) -> tuple[str, int]:
        """The media type found in the bytes and their number; nothing of a URL is known yet."""
        try:
            if document.source is None:
                validate_url(document.url, allow_networks=self._settings.fetch_allow_networks)
                return "", 0
            file = _as_file(document.source)
            size = file.seek(0, 2)
            file.seek(0)
            if size == 0:
                raise EmptyFile()
            if size > self._settings.max_file_bytes:
                raise FileTooLarge(
                    f"The file has {size / 1e6:.1f} MB; the limit is "
                    f"{self._settings.max_file_mb} MB."
                )
            media_type = documents.sniff(file.read(documents.HEAD_BYTES))
            file.seek(0)
            documents.check_header(
                file, media_type, max_pixels=self._settings.max_page_megapixels * 1_000_000
            )
            file.seek(0)
            return media_type, size
        except CasolaError as error:
            if named:
                raise type(error)(
                    f"{clean_file_name(document.file_name)}: {error.detail}"
                ) from error
            raise

    def _discard(self, tenant: str, ids: Sequence[str], batch_id: str) -> None:
        """Leave nothing of a submission that was not accepted; the marker goes first."""
        try:
            self._store.delete([keys.inflight(batch_id or ids[0])])
            for request_id in ids:
                self._store.delete(
                    [keys.manifest(tenant, request_id), keys.source(tenant, request_id)]
                )
        except StoreUnavailable:
            log.warning(
                "a refused submission left objects behind; recovery will run or remove them",
                action="discard_failed",
                request_ids=list(ids),
            )


class _Reservation:
    """The right of one request to store what it submits under an idempotency key.

    Without a nonce nobody else has these IDs. With one, another request may have taken over while
    this one waited for the store: what is stored then belongs to that one.
    """

    def __init__(self, records: Records, first: str, nonce: str):
        self._records = records
        self._first = first
        self._nonce = nonce
        self._checked = 0.0

    def check(self) -> None:
        """Keep the right; asks at most once in `RESERVATION_SECONDS`.

        Raises:
            InProgress: another request has it, or was accepted.
        """
        now = time.monotonic()
        if self._nonce and now - self._checked > RESERVATION_SECONDS:
            if not self._holds():
                raise InProgress(retry_after_seconds=1)
            self._checked = now

    def is_ours(self) -> bool:
        """Whether what was stored may be removed again; not, when nobody can tell."""
        try:
            return not self._nonce or self._holds()
        except RecordsUnavailable:
            return False

    def _holds(self) -> bool:
        reserved = self._records.reserve(self._first, self._nonce)
        return reserved and not self._records.known([self._first])[0]


def ids_of_key(tenant: str, idempotency_key: str, documents: int) -> list[str]:
    """The request IDs that so many documents get that are submitted with this key."""
    seed = _seed(tenant, idempotency_key)
    return [new_request_id(f"{seed}{number}") for number in range(documents)]


def check_memory(records: Records, settings: Settings) -> None:
    """Refuse new work while Redis is fuller than it may be.

    Raises:
        Overloaded: it is.
    """
    if records.memory_share() > settings.redis_memory_share:
        raise Overloaded(RECORDS_FULL, retry_after_seconds=FULL_RETRY_SECONDS)


def limits(settings: Settings) -> Limits:
    return Limits(
        total_pages=settings.max_pending_pages,
        tenant_pages=settings.max_pending_pages_per_tenant,
        total_bytes=settings.max_pending_mb * 1_000_000,
        tenant_bytes=settings.max_pending_mb_per_tenant * 1_000_000,
    )


def _checked(options: Options, settings: Settings) -> Options:
    """The options as they are kept. Whether the model takes them is the engines' to say."""
    Selection.parse(options.pages)
    if options.text_layer not in TEXT_LAYERS:
        raise MalformedRequest(
            f"'text_layer' is one of {', '.join(TEXT_LAYERS)}.", field="text_layer"
        )
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in options.password):
        raise MalformedRequest("'password' holds what is no character.", field="password")
    if options.webhook is not None:
        if options.webhook.style not in WEBHOOK_STYLES:
            raise MalformedRequest("The webhook's style is not known.", field="webhook_url")
        check_webhook_url(options.webhook.url, settings)
    return replace(options, prompt=checked_prompt(options.prompt))


def check_webhook_url(url: str, settings: Settings) -> None:
    """Refuse early a URL to which nothing would be sent.

    Raises:
        MalformedRequest: it is not one, or leads to an address that is not public.
    """
    try:
        validate_url(url, allow_networks=settings.fetch_allow_networks)
    except (BadUrl, FetchRefused) as error:
        # Not as it is: dialects take those for the document's own.
        raise MalformedRequest(f"The webhook: {error.detail}", field="webhook_url") from error


def _seed(tenant: str, idempotency_key: str) -> str:
    return f"{tenant}\n{idempotency_key}\n" if idempotency_key else ""


def _with_nonce(item: Registration, nonce: str) -> Registration:
    return Registration(manifest=item.manifest, pages=item.pages, nonce=nonce)


def _objects(manifest: Manifest, document: NewDocument) -> list[tuple[str, bytes | BinaryIO]]:
    """What is stored of a document: its source, then the manifest that tells of it."""
    tenant, request_id = manifest.tenant, manifest.request_id
    objects: list[tuple[str, bytes | BinaryIO]] = []
    if document.source is not None:
        objects.append((keys.source(tenant, request_id), _as_file(document.source)))
    return [*objects, (keys.manifest(tenant, request_id), manifest.to_json())]


def _as_file(source: bytes | BinaryIO) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else source


def _pages_known(manifest: Manifest) -> int:
    """1 for a plain image, whose source is its page image; 0 for what has to be opened first."""
    selection = Selection.parse(manifest.selection)
    return int(documents.is_single_picture(manifest.media_type, selection))


def fingerprint_of(documents: Sequence[NewDocument], options: Options) -> str:
    """What makes two submissions the same: the options and the documents, not how one waits."""
    asked: list[object] = [options.model, options.language, options.expires_in]
    password = options.password and hashlib.sha256(options.password.encode()).hexdigest()
    later = [str(Selection.parse(options.pages)), options.text_layer, password]
    if later != ["", TEXT_LAYERS[0], ""]:
        # Only then: what was submitted before there were these options is still the same.
        asked += later
    wishes = [options.mode, options.prompt, options.fallback]
    if wishes != [MODES[0], "", False]:
        asked.append(wishes)
    if options.webhook is not None:
        asked.append(list(astuple(options.webhook)))
    if options.note:
        asked.append(dict(options.note))
    described = [[item.file_name, item.url, _digest(item.source)] for item in documents]
    return hashlib.sha256(json.dumps([asked, described]).encode(errors="replace")).hexdigest()


def _digest(source: bytes | BinaryIO | None) -> str:
    if source is None:
        return ""
    file = _as_file(source)
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
