"""Telling receivers that jobs ended, at least once.

What is owed is an object below ``owed/``: it is written before a job's result, and goes when the
delivery has ended. When it is due is in the records, and is made again from those objects; what was
tried so far lies with the job. A process that dies in a delivery leaves all three as they were, so
it is made again: receivers know a repetition by its ID.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby, islice

import structlog

from casola_ocr import erasure
from casola_ocr.errors import Conflict, NotFound, ObjectNotFound, RecordsUnavailable
from casola_ocr.jobs import Jobs
from casola_ocr.model import Job, Manifest
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.records import Records
from casola_ocr.records.schedule import Due
from casola_ocr.results import stored_job, stored_manifest
from casola_ocr.settings import Settings
from casola_ocr.times import now_ms
from casola_ocr.webhooks.delivery import Delivery, DeliveryStatus, first_of, pause_seconds
from casola_ocr.webhooks.fal_key import FalKey
from casola_ocr.webhooks.fal_result import fal_result
from casola_ocr.webhooks.messages import Message, fal_message, standard_event, standard_message
from casola_ocr.webhooks.secrets import Secrets
from casola_ocr.webhooks.sending import Sender

log = structlog.get_logger(__name__)

#: How soon a delivery is looked at again whose job is still being closed.
UNFINISHED_MS = 5_000
#: Owed deliveries that are scheduled with one listing's worth of round trips.
CHUNK = 500
#: Part by which a pause is longer or shorter, so that a receiver is not met by all at once.
JITTER = 0.2


class Deliveries:
    """The verbs of deliveries. Safe to share between threads and greenlets.

    All raise `StoreUnavailable` or `RecordsUnavailable`: repeat them.
    """

    def __init__(
        self,
        settings: Settings,
        records: Records,
        store: ObjectStore,
        jobs: Jobs,
        secrets: Secrets,
        fal_key: FalKey,
    ):
        self._settings = settings
        self._records = records
        self._store = store
        self._jobs = jobs
        self._secrets = secrets
        self._fal_key = fal_key
        self._sender = Sender(
            timeout_seconds=settings.webhook_timeout_seconds,
            allow_networks=settings.fetch_allow_networks,
        )

    def list(self, tenant: str, request_id: str) -> tuple[str, list[Delivery]]:
        """The host that is told of a job, and the deliveries of its runs, the newest first.

        An empty host and none where the job asked for no webhook, or has not ended.

        Raises:
            NotFound, Gone: as `Jobs.get`.
        """
        job = self._jobs.get(tenant, request_id)
        manifest = stored_manifest(self._store, tenant, request_id)
        if manifest is None or manifest.webhook is None:
            return "", []
        found = {}
        for key in self._store.list(keys.deliveries_prefix(tenant, request_id)):
            with suppress(ObjectNotFound):
                delivery = Delivery.from_json(self._store.get(key))
                found[delivery.run] = delivery
        if job.status.terminal:
            found.setdefault(job.run, first_of(job))
        return manifest.webhook.hostname, [found[run] for run in sorted(found, reverse=True)]

    def replay(self, tenant: str, request_id: str, delivery_id: str) -> tuple[str, Delivery]:
        """Have a delivery tried again now, with all its tries before it; its ID stays.

        Raises:
            NotFound, Gone: as `Jobs.get`, or the job has no such delivery.
            Conflict: the job was read again since; what is to be told now is another delivery.
        """
        host, found = self.list(tenant, request_id)
        wanted = next((one for one in found if one.delivery_id == delivery_id), None)
        if wanted is None:
            raise NotFound("The job has no delivery with this ID.")
        if wanted is not found[0]:
            raise Conflict("The job was read again since; replay its newest delivery.")
        manifest = stored_manifest(self._store, tenant, request_id)
        if manifest is None:
            raise NotFound()
        again = wanted.again()
        self._write(tenant, again)
        self._store.put(keys.owed(tenant, manifest.hook, request_id, again.run), b"")
        # The marker is enough: without the records it is found a little later.
        with suppress(RecordsUnavailable):
            self._records.schedule.put(_due(manifest, again.run))
        return host, again

    def schedule_owed(self) -> Iterator[int]:
        """Schedule what is owed and is not scheduled; yields after each chunk how many it saw."""
        names = iter(self._store.list(keys.OWED_PREFIX))
        while chunk := list(islice(names, CHUNK)):
            owed = sorted(keys.parse_owed(key) for key in chunk)
            for (tenant, host), found in groupby(owed, key=lambda parts: parts[:2]):
                self._records.schedule.add(tenant, host, [name for _, _, name in found])
            yield len(chunk)

    def deliver(self, due: Due) -> None:
        """Try a delivery once, and write down what came of it."""
        manifest = stored_manifest(self._store, due.tenant, due.request_id)
        if manifest is None or manifest.webhook is None:
            # The job was deleted: there is nothing to tell any more.
            self._settle(due)
            return
        job = stored_job(self._store, due.tenant, due.request_id)
        if job is None or job.run < due.run or self._is_behind(job):
            self._records.schedule.put(due, UNFINISHED_MS)
            return
        delivery = self._known(job)
        if job.run > due.run or delivery.status is not DeliveryStatus.PENDING:
            # It was told, or a later run is told instead.
            self._settle(due)
            return
        wait = delivery.next_at - now_ms()
        if wait > 0:
            # The schedule was lost and made again.
            self._records.schedule.put(due, wait)
            return
        self._try(due, manifest, job, delivery)

    def _try(self, due: Due, manifest: Manifest, job: Job, delivery: Delivery) -> None:
        assert manifest.webhook is not None  # noqa: S101 - for the type checker
        message = self._message(manifest, job, delivery)
        tried = self._sender.post(manifest.webhook.url, message.headers, message.body)
        pause = pause_seconds(delivery.count + 1, self._settings.webhook_pause_seconds)
        pause *= 1 + random.uniform(-JITTER, JITTER)
        delivery = delivery.after(tried, int(pause * 1000))
        self._write(due.tenant, delivery)
        if delivery.status is DeliveryStatus.PENDING:
            self._records.schedule.put(due, max(0, delivery.next_at - now_ms()))
        else:
            self._settle(due)
        log.log(
            logging.INFO if tried.delivered else logging.WARNING,
            "a webhook was tried",
            action=f"webhook_{'delayed' if delivery.next_at else delivery.status.value}",
            request_id=due.request_id,
            run=due.run,
            host=manifest.webhook.hostname,
            status_code=tried.status_code,
            error=tried.error or None,
            seconds=tried.seconds,
            count=delivery.count,
        )

    def _message(self, manifest: Manifest, job: Job, delivery: Delivery) -> Message:
        assert manifest.webhook is not None  # noqa: S101 - for the type checker
        if manifest.webhook.style == "fal":
            told = fal_result(self._jobs, job)
            return fal_message(job.request_id, job.tenant, told, self._fal_key)
        secrets = self._secrets.valid(job.tenant)
        return standard_message(delivery.delivery_id, standard_event(job, delivery), secrets)

    def _known(self, job: Job) -> Delivery:
        """The delivery of the job's run; a new one before its first try."""
        try:
            key = keys.delivery(job.tenant, job.request_id, job.run)
            return Delivery.from_json(self._store.get(key))
        except ObjectNotFound:
            return first_of(job)

    def _is_behind(self, stored: Job) -> bool:
        """Whether the job was cancelled after this result was stored, and another one comes."""
        job = self._records.get(stored.request_id)
        return job is not None and job.run == stored.run and job.status is not stored.status

    def _write(self, tenant: str, delivery: Delivery) -> None:
        key = keys.delivery(tenant, delivery.request_id, delivery.run)
        self._store.put(key, delivery.to_json())
        erasure.remove_late(self._store, tenant, delivery.request_id)

    def _settle(self, due: Due) -> None:
        """Nothing is owed any more."""
        self._store.delete([keys.owed(due.tenant, due.host, due.request_id, due.run)])
        self._records.schedule.remove(due)


def _due(manifest: Manifest, run: int) -> Due:
    name = f"{manifest.request_id}-{run}"
    return Due(tenant=manifest.tenant, host=manifest.hook, name=name)
