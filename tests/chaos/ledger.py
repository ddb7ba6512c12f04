"""What the clients were told: every accepted job, every refusal, every broken promise."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.documents import File, Plan

TERMINAL = ("completed", "failed", "cancelled")
EXAMPLES = 5


@dataclass(eq=False)
class Job:
    """An accepted job; whoever changes it holds the ledger's lock."""

    request_id: str
    file: File
    plan: Plan
    accepted_at: float
    #: The terminal status that HTTP told, empty until then.
    status: str = ""
    ended_at: float = 0.0
    #: The records say that it ended; HTTP was not asked yet.
    hinted: bool = False
    #: Most pages that were ever seen terminal.
    progress: int = 0
    cancelled: bool = False
    deleted: bool = False
    #: Its client asked once for its failed pages to be read again.
    retried: bool = False
    #: A verb that changes it is on its way: until it is answered the job may be either.
    changing: bool = False

    @property
    def open(self) -> bool:
        return not self.status and not self.deleted


@dataclass
class Findings:
    """Broken promises by kind, with some examples. Safe to share between threads."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, example: str) -> None:
        with self._lock:
            self.counts[kind] += 1
            kept = self.examples.setdefault(kind, [])
            if len(kept) < EXAMPLES:
                kept.append(example[:600])


class Ledger:
    """Everything that the clients know. Safe to share between threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.jobs: dict[str, Job] = {}
        #: What was counted and is no violation: requests, answers by status, retries by reason.
        self.counts: Counter[str] = Counter()
        #: Plans that had an answer lost on the way: their job may exist more than once.
        self.ambiguous: set[int] = set()
        self.plans: dict[int, Plan] = {}

    def count(self, name: str, number: int = 1) -> None:
        with self.lock:
            self.counts[name] += number

    def accept(self, plan: Plan, request_ids: list[str]) -> list[Job]:
        """Note an accepted submission; returns its jobs that were not known before."""
        now = time.monotonic()
        with self.lock:
            made = [
                Job(request_id, file, plan, now)
                for request_id, file in zip(request_ids, plan.files, strict=True)
                if request_id not in self.jobs
            ]
            self.jobs |= {job.request_id: job for job in made}
        return made

    def open_jobs(self) -> list[Job]:
        with self.lock:
            return [job for job in self.jobs.values() if job.open]

    def ended(self, job: Job, status: str) -> None:
        with self.lock:
            if not job.status:
                job.status, job.ended_at = status, time.monotonic()
