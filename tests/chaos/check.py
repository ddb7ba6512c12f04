"""What must hold when the load is over, the faults are undone and nobody helped."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook as Verifier

from casola_ocr import fsck
from casola_ocr.service import Service
from casola_ocr.tenants import LOCAL_TENANT
from tests.chaos import marker
from tests.chaos.client import Client
from tests.chaos.documents import FILES_PER_SUBMISSION
from tests.chaos.hooks import HookServer, Told
from tests.chaos.ledger import TERMINAL, Findings, Job, Ledger
from tests.chaos.watch import Watch

#: How long everything may take to become terminal by itself.
DRAIN_SECONDS = 300
#: How long the last traces may take to go after the last job ended: some sweeps of a reconciler;
#: and a listing of what is owed, for a webhook whose worker died before it scheduled it.
SETTLE_SECONDS = 90
READERS = 4
_RESULT = re.compile(r"jobs/(req_[^/]+)/pages/(\d+)/\d+-\d+\.json$")
_NAME = re.compile(r"document-(\d+)\.")
#: Lists the store's keys below a prefix, from outside of the service.
ListKeys = Callable[[str], Iterator[str]]


def directory_keys(root: Path) -> ListKeys:
    def keys(prefix: str) -> Iterator[str]:
        for path in (root / prefix).rglob("*"):
            if path.is_file():
                yield path.relative_to(root).as_posix()

    return keys


def s3_keys(client: Any, bucket: str, root: str) -> ListKeys:
    def keys(prefix: str) -> Iterator[str]:
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{root}/{prefix}"
        )
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"].removeprefix(f"{root}/")

    return keys


def drain(busy: Callable[[], bool]) -> float | None:
    """Seconds until nothing was open; None when that did not happen."""
    begun = time.monotonic()
    while busy():
        if time.monotonic() - begun > DRAIN_SECONDS:
            return None
        time.sleep(0.2)
    return time.monotonic() - begun


class Check:
    """The invariants. Each method adds what it finds to the findings."""

    def __init__(
        self,
        client: Client,
        watch: Watch,
        ledger: Ledger,
        findings: Findings,
        keys: ListKeys,
        service: Service,
        hooks: HookServer,
    ):
        self._service = service
        self._hooks = hooks
        self._signed = [Verifier(one.secret) for one in service.secrets.valid(LOCAL_TENANT)]
        self._client = client
        self._watch = watch
        self._ledger = ledger
        self._findings = findings
        self._keys = keys
        #: Page runs beyond the first, and the like.
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        self._settled()
        jobs = list(self._ledger.jobs.values())
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(self._job, jobs))
        self._library()
        self._store()
        self._fsck()

    def _settled(self) -> None:
        """Nothing is left in the records and no marker in the store."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            left = self._watch.leftovers()
            markers = list(self._keys("inflight/"))
            owed = list(self._keys("owed/"))
            if not (left or markers or owed) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        for sentence in left:
            self._findings.add("the records hold something for ended jobs", sentence)
        for key in markers:
            job = self._ledger.jobs.get(key.removeprefix("inflight/"))
            self._findings.add("a marker is left in inflight/", f"{key}: {_of(job)}")
        for key in owed:
            self._findings.add("a webhook is still owed", key)

    def _job(self, job: Job) -> None:
        path = f"/api/v1/jobs/{job.request_id}"
        answer = self._client.request("GET", path)
        if answer is None:
            return
        if job.deleted:
            self.counts["jobs deleted"] += 1
            if answer.status != 410:
                self._findings.add(
                    "a deleted job does not answer 410", f"{answer.status}: {_of(job)}"
                )
            return
        if answer.status != 200:
            self._lost(job, f"{answer.status} {answer.response.text}")
            return
        body = answer.response.json()
        status = body["status"]
        if status not in TERMINAL:
            self._lost(job, f"still {status}: {body['pages']}")
            return
        self.counts[f"jobs {status}"] += 1
        if job.plan.hook:
            self._told(job, body["run"], status)
        if job.cancelled or status == "cancelled":
            if not (job.cancelled and status == "cancelled"):
                self._wrong("a cancelled job did not stay so", job, f"{status}")
            return
        pages = body["pages"]
        self.counts["pages done"] += pages["done"]
        self.counts["pages failed"] += pages["failed"]
        if pages["done"] + pages["failed"] != pages["total"] and status == "completed":
            self._wrong("done + failed is not total", job, f"{pages}")
        if not job.plan.readable:
            if status == "completed" and not pages["failed"]:
                self._wrong("an unreadable document was read", job, f"{body}")
            return
        poison = sum(page.poison for page in job.file.pages)
        right = "failed" if poison == len(job.file.pages) else "completed"
        if status != right:
            self._wrong(f"a job is {status}, not {right}", job, f"{pages} {body['error']}")
            return
        if (pages["total"], pages["failed"]) != (len(job.file.pages), poison):
            self._wrong("a job has the wrong pages", job, f"{pages}, of which poison {poison}")
        answer = self._client.request("GET", f"{path}/result")
        if answer is None or answer.status != 200:
            self._wrong("a result cannot be read", job, f"{answer and answer.response.text}")
            return
        self._result(job, answer.response.json())

    def _told(self, job: Job, run: int, status: str) -> None:
        """Its client was told of the end, at least once, and of no other end."""
        self.counts["jobs with a webhook"] += 1
        told = self._hooks.told(job.request_id)
        ends = {one.status for one in told if one.run == run}
        if not ends:
            self._wrong("the end of a job was not told", job, f"run {run} {status}")
        elif ends != {status}:
            self._wrong("a webhook told another end", job, f"run {run} {status}, told {ends}")
        for one in told:
            if not any(_verifies(verifier, one) for verifier in self._signed):
                self._wrong("a webhook does not verify", job, f"{one.headers}")

    def _result(self, job: Job, result: dict[str, Any]) -> None:
        pages = result["page_results"]
        numbers = [page["page"] for page in pages]
        if numbers != list(range(1, len(job.file.pages) + 1)):
            self._wrong("a result has not each page once", job, f"{numbers}")
            return
        for page, drawn in zip(pages, job.file.pages, strict=True):
            where = f"page {page['page']}: {page['text']!r} {page['error']}"
            self.counts["pages whose winner is a later attempt"] += (
                page["attempts"] > 1 and not drawn.poison
            )
            if drawn.poison:
                if (page["error"] or {}).get("code") != "attempts_exhausted":
                    self._wrong("a poison page is not attempts_exhausted", job, where)
            elif page["error"]:
                self._wrong("a good page failed", job, where)
            elif page["text"] != marker.text(drawn.document, drawn.page):
                self._wrong("a page has the wrong text", job, where)
        if result["text"] != "\f".join(page["text"] for page in pages):
            self._wrong("the joined text is not that of the pages", job, result["text"])

    def _library(self) -> None:
        """The library lists every job that exists, once, and no other."""
        listed: list[dict[str, Any]] = []
        after = ""
        while True:
            answer = self._client.request("GET", f"/api/v1/library?limit=200{after}")
            if answer is None or answer.status != 200:
                self._findings.add(
                    "the library cannot be read", f"{answer and answer.response.text}"
                )
                return
            body = answer.response.json()
            listed += body["data"]
            if not body["has_more"]:
                break
            after = f"&after={body['next']}"
        times = Counter(job["request_id"] for job in listed)
        for request_id, number in times.items():
            if number > 1:
                self._findings.add("the library lists a job twice", request_id)
        for job in self._ledger.jobs.values():
            if job.deleted and job.request_id in times:
                self._findings.add("the library lists a deleted job", _of(job))
            if not job.deleted and job.request_id not in times:
                self._findings.add("the library misses a job", _of(job))
        for body in listed:
            if body["request_id"] not in self._ledger.jobs:
                self._stranger(body)

    def _stranger(self, body: dict[str, Any]) -> None:
        """A job of which no client knows: right only if its answer was lost on the way."""
        match = _NAME.search(body["file_name"] or "")
        number = int(match[1]) // FILES_PER_SUBMISSION if match else -1
        plan = self._ledger.plans.get(number)
        what = f"{body['request_id']} {body['file_name']} {body['status']}"
        if plan is not None and plan.key:
            self._findings.add("a key ran twice", f"{plan.key}: {what}")
        elif number not in self._ledger.ambiguous:
            self._findings.add("the library lists a job that nobody submitted", what)
        self.counts["jobs accepted without the client's knowledge"] += 1
        if body["status"] not in TERMINAL:
            self._findings.add("a job did not end", what)

    def _store(self) -> None:
        deleted = {job.request_id for job in self._ledger.jobs.values() if job.deleted}
        runs: dict[tuple[str, str], int] = defaultdict(int)
        left: dict[str, list[str]] = defaultdict(list)
        for key in self._keys("tenants/"):
            parts = key.split("/")
            if len(parts) > 3 and parts[3] in deleted:
                left[parts[3]].append("/".join(parts[4:]))
            found = _RESULT.search(key)
            if found:
                runs[found[1], found[2]] += 1
        for request_id, names in left.items():
            self._findings.add("a deleted job has objects", f"{request_id}: {names}")
        self.counts["page results written"] += sum(runs.values())
        self.counts["page results written more than once"] += sum(n - 1 for n in runs.values())

    def _fsck(self) -> None:
        """Nothing differs but uploads that were refused, and could not be removed then."""
        for finding in fsck.check(self._service, repair=True):
            if finding.kind == "orphan":
                self.counts["refused uploads that were left behind"] += 1
            else:
                self._findings.add(f"fsck finds: {finding.kind}", f"{finding.subject} {finding}")
        for finding in fsck.check(self._service, repair=False):
            self._findings.add(f"fsck did not mend: {finding.kind}", f"{finding.subject}")

    def _lost(self, job: Job, what: str) -> None:
        self.counts["jobs LOST"] += 1
        self._wrong("LOST: an accepted job is not terminal", job, what)

    def _wrong(self, kind: str, job: Job, what: str) -> None:
        self._findings.add(kind, f"{_of(job)}: {what}")


def _verifies(verifier: Verifier, told: Told) -> bool:
    # Of its timestamp the harness makes nothing: a run takes longer than it is good for.
    signed = verifier.sign(
        told.headers["webhook-id"],
        datetime.fromtimestamp(int(told.headers["webhook-timestamp"]), UTC),
        told.body.decode(),
    )
    return signed in told.headers["webhook-signature"].split()


def _of(job: Job | None) -> str:
    if job is None:
        return "a job that no client knows"
    plan = job.plan
    parts = (
        job.request_id, f"submission {plan.number}", job.file.name, f"{len(job.file.pages)} pages",
        plan.web and f"url {plan.web}", job.file.damage, plan.verb, plan.key and "key",
        job.cancelled and "cancelled", job.deleted and "deleted",
    )  # fmt: skip
    return ", ".join(str(part) for part in parts if part)
