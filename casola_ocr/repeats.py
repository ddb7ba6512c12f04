"""Requests that come again: with an idempotency key of their own, or as an SDK's next try.

Submissions with a key need nothing of this: their jobs' IDs follow from the key. For everything
else that a request creates, the answer is kept in the store for a day or two, under the key. An
SDK's tries carry no key; what they submit is remembered in Redis alone, for minutes: forgetting it
costs no more than reading a page twice.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from casola_ocr.errors import InProgress, KeyReused, ObjectNotFound, RecordsUnavailable
from casola_ocr.model import Job, JobStatus
from casola_ocr.objects import ObjectStore, keys
from casola_ocr.records import Records
from casola_ocr.times import now_ms

#: Days after which answers are not found any more: at least one, at most two whole ones.
KEPT_DAYS = 2
#: For how long the jobs of an SDK's try are remembered: its longest pause between tries, and the
#: longest time that it waits for an answer.
TRIES_SECONDS = 1200
#: A job that ended longer ago than this is read again: its client has had the answer, perhaps.
JUST_ENDED_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request was answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Answers:
    """Kept answers. Safe to share between threads and greenlets.

    All methods raise `RecordsUnavailable` or `StoreUnavailable`.
    """

    def __init__(self, records: Records, store: ObjectStore):
        self._records = records
        self._store = store

    def once(
        self, tenant: str, key: str, fingerprint: str, make: Callable[[], Answer]
    ) -> tuple[Answer, bool]:
        """The answer of the first request with this key, and whether that was an earlier one.

        What `make` raises, or answers with another status than 2xx, is not kept: then nothing was
        created. If this process dies in `make`, the next request makes it again.

        Raises:
            KeyReused: that one was another request.
            InProgress: it is being answered now.
        """
        name = hashlib.sha256(f"{tenant}\n{key}".encode(errors="replace")).hexdigest()
        kept = self._find(tenant, name, fingerprint)
        if kept is not None:
            return kept, True
        nonce, reserved = uuid4().hex, f"answer:{name}"
        if not self._records.reserve(reserved, nonce):
            raise InProgress(retry_after_seconds=1)
        try:
            # It may have been answered since this was asked.
            kept = self._find(tenant, name, fingerprint)
            if kept is not None:
                return kept, True
            made = make()
            if 200 <= made.status < 300:
                self._store.put(keys.answer(_day(), tenant, name), _written(made, fingerprint))
            return made, False
        finally:
            self._records.unreserve(reserved, nonce)

    def _find(self, tenant: str, name: str, fingerprint: str) -> Answer | None:
        for ago in range(KEPT_DAYS):
            try:
                values = json.loads(self._store.get(keys.answer(_day(ago), tenant, name)))
                answer = Answer(
                    status=values["status"],
                    body=base64.b64decode(values["body"]),
                    headers=values["headers"],
                )
            except (ObjectNotFound, ValueError, KeyError, binascii.Error):
                continue
            if values["fingerprint"] != fingerprint:
                raise KeyReused()
            return answer
        return None


def forget_old_answers(store: ObjectStore) -> Iterator[int]:
    """Remove answers that are not found any more; yields after each day that it looked at."""
    oldest = _day(KEPT_DAYS)
    for day in store.folders(keys.ANSWERS_PREFIX):
        if day < oldest:
            store.delete(store.list(keys.answers_prefix(day)))
        yield int(day < oldest)


class Tries:
    """What SDKs submitted a short while ago. Safe to share between threads and greenlets."""

    def __init__(self, records: Records):
        self._records = records

    def before(self, tenant: str, fingerprint: str) -> Sequence[Job] | None:
        """The jobs of a try before, if they are still what the client wants.

        That is, all of them are being worked on, or were read just now. None also when the records
        cannot tell.
        """
        try:
            ids = self._records.recall(f"{tenant}:{fingerprint}")
            jobs = [job for job in self._records.jobs(ids) if job is not None]
        except RecordsUnavailable:
            return None
        mine = [job for job in jobs if job.tenant == tenant and _is_wanted(job)]
        if not ids or len(mine) < len(ids):
            return None
        with suppress(RecordsUnavailable):
            self._records.recollect(_taken(ids[0]), [uuid4().hex], seconds=TRIES_SECONDS)
        return mine

    def holder(self, job: Job) -> str:
        """Changes whenever a later try is given jobs of which this is the first.

        Until then, and when the records cannot tell, it is empty.
        """
        try:
            return "".join(self._records.recall(_taken(job.request_id)))
        except RecordsUnavailable:
            return ""

    def remember(self, tenant: str, fingerprint: str, jobs: Sequence[Job]) -> None:
        ids = [job.request_id for job in jobs]
        try:
            self._records.recollect(f"{tenant}:{fingerprint}", ids, seconds=TRIES_SECONDS)
        except RecordsUnavailable:
            # The submission is accepted; only its repetition would not be noticed.
            return


def _taken(request_id: str) -> str:
    return f"taken:{request_id}"


def _is_wanted(job: Job) -> bool:
    if not job.status.terminal:
        return True
    just_now = now_ms() - (job.finished_at or 0) < JUST_ENDED_MS
    return job.status is JobStatus.COMPLETED and just_now


def _day(ago: int = 0) -> str:
    moment = datetime.fromtimestamp(time.time(), tz=UTC) - timedelta(days=ago)
    return f"{moment:%Y-%m-%d}"


def _written(answer: Answer, fingerprint: str) -> bytes:
    values = {
        **asdict(answer),
        "body": base64.b64encode(answer.body).decode(),
        "fingerprint": fingerprint,
    }
    return json.dumps(values).encode()
