"""Looking at the records from outside: progress, what a process holds, and what is left over."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import redis

from tests.chaos.ledger import TERMINAL, Ledger

EVERY_SECONDS = 0.2
#: The records must have forgotten all of this when no job is open.
EMPTY_ZSETS = ("casola:due",)
ZERO_HASHES = ("casola:pending", "casola:pending_bytes", "casola:waiting", "casola:running")
NO_KEYS = ("wait:*", "casola:outside", "hooks:*")


#: Still its owner's; to be had by the next; claimed by somebody else, or terminal.
Fate = Literal["held", "free", "again"]


@dataclass(frozen=True)
class Held:
    """A step that a process had claimed."""

    request_id: str
    step: str
    state: str


class Watch:
    """Follows the open jobs in the records from a thread of its own; `close` ends it."""

    def __init__(self, url: str, ledger: Ledger):
        self._ledger = ledger
        self.client: Any = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=3, socket_connect_timeout=1
        )
        #: When pages became terminal, and how many then; the newest last.
        self._progress: deque[float] = deque(maxlen=20_000)
        self.pages_ended = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self.client.close()

    def progress_after(self, moment: float) -> float | None:
        """When, on the monotonic clock, the first page after `moment` became terminal."""
        return next((at for at in self._progress.copy() if at > moment), None)

    def open_jobs(self) -> int:
        return len(self._ledger.open_jobs())

    def held_by(self, pids: Iterable[int]) -> list[Held]:
        """The steps of open jobs that these processes have claimed; empty without records."""
        wanted = {str(pid) for pid in pids}
        ids = [job.request_id for job in self._ledger.open_jobs()]
        found = []
        for request_id, states in zip(ids, self._pages(ids), strict=True):
            for step, state in states.items():
                parts = state.split(":")
                # r:{attempt}:{fence}:{hostname}:{pid}…
                if parts[0] == "r" and len(parts) > 4 and parts[4] in wanted:
                    found.append(Held(request_id, step, state))
        return found

    def fate(self, held: list[Held]) -> list[Fate]:
        """What became of each of these steps since."""
        ids = [item.request_id for item in held]
        states = self._pages(ids)
        ended = self._fields(ids, "state")
        return [
            "again" if state in TERMINAL else _fate(item, pages.get(item.step))
            for item, pages, (state,) in zip(held, states, ended, strict=True)
        ]

    def leftovers(self) -> list[str]:
        """What the records still hold although no job is open; one sentence each."""
        found = []
        for key in EMPTY_ZSETS:
            members = self.client.zrange(key, 0, 4)
            if members:
                found.append(f"{key} has {self.client.zcard(key)} members: {members}")
        for key in ZERO_HASHES:
            rest = {name: value for name, value in self.client.hgetall(key).items() if value != "0"}
            if rest:
                found.append(f"{key} is {rest}")
        for pattern in NO_KEYS:
            keys = list(self.client.scan_iter(pattern, count=1000))
            if keys:
                found.append(f"{len(keys)} keys match {pattern}: {keys[:5]}")
        return found

    def _pages(self, ids: list[str]) -> list[dict[str, str]]:
        answers = self._pipeline(lambda pipe, key: pipe.hgetall(f"{key}:pages"), ids)
        return answers or [{} for _ in ids]

    def _fields(self, ids: list[str], *names: str) -> list[list[str | None]]:
        answers = self._pipeline(lambda pipe, key: pipe.hmget(key, names), ids)
        return answers or [[None] * len(names) for _ in ids]

    def _pipeline(self, add: Callable[[Any, str], object], ids: list[str]) -> list[Any]:
        if not ids:
            return []
        try:
            pipe = self.client.pipeline(transaction=False)
            for request_id in ids:
                add(pipe, f"job:{request_id}")
            answers: list[Any] = pipe.execute()
        except redis.RedisError:
            return []
        return answers

    def _run(self) -> None:
        while not self._closed.wait(EVERY_SECONDS):
            jobs = self._ledger.open_jobs()
            found = self._fields([job.request_id for job in jobs], "state", "done", "failed")
            now = time.monotonic()
            for job, (state, done, failed) in zip(jobs, found, strict=True):
                job.hinted = state in TERMINAL
                ended = int(done or 0) + int(failed or 0)
                if ended > job.progress:
                    self.pages_ended += ended - job.progress
                    job.progress = ended
                    self._progress.append(now)


def _fate(item: Held, state: str | None) -> Fate:
    if state == item.state:
        return "held"
    return "again" if state and state[0] in "rdf" else "free"
