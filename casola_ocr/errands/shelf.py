"""The client's verbs for errands: create, get, list, cancel, delete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

import structlog

from casola_ocr import expiry
from casola_ocr.errands.model import Errand, ErrandStatus, Report
from casola_ocr.errors import (
    Conflict,
    KeyReused,
    MalformedRequest,
    NotFound,
    ObjectNotFound,
    RecordsUnavailable,
)
from casola_ocr.files import BATCH, Files
from casola_ocr.ids import id_tail, is_batch_id, new_errand_id
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.records import Records
from casola_ocr.repeats import TRIES_SECONDS
from casola_ocr.settings import Settings
from casola_ocr.side_by_side import each
from casola_ocr.tenants import Tenants
from casola_ocr.times import now_ms

log = structlog.get_logger(__name__)


class Errands:
    """The errands of all tenants. Safe to share between threads and greenlets.

    Every verb takes the tenant first; an errand of another tenant is answered like an unknown one.
    All raise `StoreUnavailable` when the store is down; none needs Redis, which only remembers what
    an SDK's last try made.
    """

    def __init__(
        self,
        settings: Settings,
        records: Records,
        store: ObjectStore,
        files: Files,
        tenants: Tenants,
    ):
        self._settings = settings
        self._records = records
        self._store = store
        self._files = files
        self._tenants = tenants

    def create(
        self,
        tenant: str,
        *,
        endpoint: str,
        input_files: Sequence[str] = (),
        content: BinaryIO | None = None,
        model: str = "",
        window: str,
        seconds: int,
        metadata: Mapping[str, str] | None = None,
        output_expires_in: int | None = None,
        attempt: int | None = None,
        idempotency_key: str = "",
    ) -> tuple[Errand, Report]:
        """Accept lines in files, or in `content`, that are to be worked off within `seconds`.

        When it returns, the errand is in the store: it will be worked on, whatever dies. `attempt`
        is the number of the try where an SDK tells it, the first is 0: a later one is given what an
        earlier one made. So is who comes again with the same key, for as long as the errand exists;
        that no two come at once is the caller's to see to.

        Raises:
            MalformedRequest: a file that does not exist or is not for this.
            KeyReused: the key came with something else before.
        """
        asked = [endpoint, *input_files, model, window, output_expires_in, dict(metadata or {})]
        fingerprint = _fingerprint(asked, content)
        seed = f"{tenant}\nerrand\n{idempotency_key}" if idempotency_key else ""
        errand_id = new_errand_id(seed)
        if seed and (made := self._made(tenant, id_tail(errand_id))):
            if made[0].fingerprint != fingerprint:
                raise KeyReused()
            return made
        for file_id in input_files:
            self._check_input(tenant, file_id)
        tried = f"{tenant}:errand:{fingerprint}"
        if attempt and (before := self._before(tenant, tried)):
            return before
        now = now_ms()
        deadline = now + seconds * 1000
        errand = Errand(
            errand_id=errand_id,
            tenant=tenant,
            endpoint=endpoint,
            input_files=tuple(input_files),
            model=model,
            window=window,
            created_at=now,
            deadline_at=deadline,
            metadata=dict(metadata or {}),
            output_expires_in=output_expires_in,
            expires_at=self._expiry(tenant, deadline),
            fingerprint=fingerprint,
        )
        name = errand.errand_id
        looks = [now + expiry.UNFINISHED_MS]
        looks += [] if errand.expires_at is None else [errand.expires_at]
        for when in looks:
            expiry.look_at(self._store, tenant, keys.ERRANDS, name, when_ms=when)
        if content is not None:
            self._store.put(keys.content(tenant, keys.ERRANDS, name), content)
        # Before what it is about: a marker alone does nothing, an errand alone would never run.
        self._store.put(keys.errand_marker(tenant, name), b"")
        self._store.put(keys.about(tenant, keys.ERRANDS, name), errand.to_json())
        if attempt is not None:
            with suppress(RecordsUnavailable):
                self._records.recollect(tried, [name], seconds=TRIES_SECONDS)
        log.info("an errand was accepted", action="errand_accepted", tenant=tenant, errand_id=name)
        return errand, Report()

    def get(self, tenant: str, errand_id: str) -> tuple[Errand, Report]:
        """What was asked for, and how it stands.

        Raises:
            NotFound: there is no such errand, it expired, or it is another tenant's.
        """
        found = self._find(tenant, errand_id) if is_batch_id(errand_id) else None
        if found is None:
            raise NotFound("There is no batch with this ID.")
        return found

    def list(
        self, tenant: str, endpoints: Collection[str], after: str = ""
    ) -> Iterator[tuple[Errand, Report]]:
        """Errands of these endpoints, newest first, from behind the ID `after`; read as asked for.

        Raises:
            NotFound: `after` is not an errand's ID; raised by the call, not by the iteration.
        """
        if after and not is_batch_id(after):
            raise NotFound("The cursor 'after' is not a batch's ID.")
        prefix = keys.kept_prefix(tenant, keys.ERRANDS)
        names = sorted(self._store.folders(prefix), reverse=True)
        wanted = (name for name in names if not after or name < after)
        found = filter(None, each(partial(self._find, tenant), wanted))
        return (item for item in found if item[0].endpoint in endpoints)

    def cancel(self, tenant: str, errand_id: str) -> tuple[Errand, Report]:
        """Have an errand stopped; what has ended stays. Repeating it changes nothing.

        Raises:
            NotFound: as of `get`.
            Conflict: it has ended.
        """
        errand, report = self.get(tenant, errand_id)
        if report.status in (ErrandStatus.CANCELLING, ErrandStatus.CANCELLED):
            return errand, report
        if report.status.terminal:
            raise Conflict(f"A batch whose status is '{report.status}' cannot be cancelled.")
        note = json.dumps({"at": now_ms()}).encode()
        self._store.put(keys.errand_note(tenant, errand_id, "cancel"), note)
        return self.get(tenant, errand_id)

    def delete(self, tenant: str, errand_id: str) -> None:
        """Remove an errand that has ended; its files stay.

        Raises:
            NotFound: as of `get`.
            Conflict: it has not ended.
        """
        _, report = self.get(tenant, errand_id)
        if not report.status.terminal:
            raise Conflict("A batch that has not ended cannot be deleted; cancel it first.")
        expiry.remove(self._store, tenant, keys.ERRANDS, errand_id)

    def stored(self, tenant: str, errand_id: str) -> tuple[Errand, Report] | None:
        """As `get` for the runner, who goes on with what is over; None when there is none."""
        try:
            about = self._store.get(keys.about(tenant, keys.ERRANDS, errand_id))
        except ObjectNotFound:
            return None
        return Errand.from_json(about), self._report(tenant, errand_id)

    def put(self, errand: Errand, report: Report) -> None:
        """Keep how an errand stands; for the runner alone."""
        name = "outcome" if report.status.terminal else "progress"
        key = keys.errand_note(errand.tenant, errand.errand_id, name)
        self._store.put(key, report.to_json())

    def cancelled_at(self, errand: Errand) -> int | None:
        """When the client changed its mind."""
        try:
            note = self._store.get(keys.errand_note(errand.tenant, errand.errand_id, "cancel"))
        except ObjectNotFound:
            return None
        at: int = json.loads(note)["at"]
        return at

    def _made(self, tenant: str, tail: str) -> tuple[Errand, Report] | None:
        """The errand whose ID ends so."""
        for name in self._store.folders(keys.kept_prefix(tenant, keys.ERRANDS)):
            # One without what it is about was never accepted.
            if id_tail(name) == tail and (found := self._find(tenant, name)):
                return found
        return None

    def _before(self, tenant: str, tried: str) -> tuple[Errand, Report] | None:
        """What a try before has made."""
        try:
            ids = self._records.recall(tried)
        except RecordsUnavailable:
            return None
        return self._find(tenant, ids[0]) if ids else None

    def _find(self, tenant: str, errand_id: str) -> tuple[Errand, Report] | None:
        found = self.stored(tenant, errand_id)
        if found is None:
            return None
        errand, report = found
        if errand.expires_at is not None and errand.expires_at <= now_ms():
            return None
        cancelled_at = None if report.status.terminal else self.cancelled_at(errand)
        if cancelled_at is not None:
            report = replace(report, status=ErrandStatus.CANCELLING, cancelling_at=cancelled_at)
        return errand, report

    def _report(self, tenant: str, errand_id: str) -> Report:
        for name in ("outcome", "progress"):
            try:
                found = self._store.get(keys.errand_note(tenant, errand_id, name))
            except ObjectNotFound:
                continue
            return Report.from_json(found)
        return Report()

    def _check_input(self, tenant: str, file_id: str) -> None:
        try:
            file = self._files.get(tenant, file_id)
        except NotFound as error:
            raise MalformedRequest(
                "There is no file with the ID of the input file.", field="input_file_id"
            ) from error
        if file.purpose != BATCH:
            raise MalformedRequest(
                f"The input file needs the purpose '{BATCH}'.", field="input_file_id"
            )

    def _expiry(self, tenant: str, deadline: int) -> int | None:
        seconds = self._tenants.retention_seconds(tenant, self._settings.retention_days)
        return deadline + int(seconds * 1000) if seconds else None


def _fingerprint(asked: Sequence[Any], content: BinaryIO | None) -> str:
    """What makes two errands the same."""
    digest = hashlib.sha256(json.dumps(asked).encode())
    if content is not None:
        digest.update(hashlib.file_digest(content, "sha256").digest())  # type: ignore[arg-type]
        content.seek(0)
    return digest.hexdigest()
