"""The load: clients that submit seeded documents, follow them, and change their minds."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.chaos.client import Answer, Client
from tests.chaos.documents import Plan, plan
from tests.chaos.ledger import TERMINAL, Findings, Job, Ledger

SUBMITTERS = 3
POLLERS = 2
CHANGERS = 2
#: A job that is not known to have ended is asked for this often, by both pollers together.
POLL_SECONDS = 0.1
#: Longer than the fetch time-out that the service is given.
HANG_SECONDS = 20


@dataclass(frozen=True)
class LoadSettings:
    seed: int
    verbs: frozenset[str]
    #: At most this many jobs are open at once: the load follows the service's pace.
    most_open: int


class WebServer:
    """Serves the documents that are submitted by URL; some addresses fail or never answer."""

    def __init__(self, settings: LoadSettings):
        ending = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, kind, number, _ = self.path.split("/")
                if kind == "hang":
                    ending.wait(HANG_SECONDS)
                    return
                if kind == "500":
                    self.send_error(500)
                    return
                content = plan(settings.seed, int(number), settings.verbs).files[0].content()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: Any) -> None:
                return

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                return

        self._ending = ending
        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()


class Load:
    """Threads of clients. `stop` ends the submitting, `close` the following too."""

    def __init__(
        self,
        settings: LoadSettings,
        client: Client,
        ledger: Ledger,
        findings: Findings,
        web_url: str,
        hook_url: str,
    ):
        self._settings = settings
        self._client = client
        self._ledger = ledger
        self._findings = findings
        self._web_url = web_url
        self._hook_url = hook_url
        self._numbers = itertools.count()
        self._source = random.Random(f"{settings.seed}/polls")
        #: When, which in the order of planning, what, to which job.
        self._due: list[tuple[float, int, str, Job]] = []
        self._planned = itertools.count()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._closed = threading.Event()
        self._submitters = self._threads(SUBMITTERS, self._submit_all)
        self._others = [
            *self._threads(POLLERS, self._poll_all),
            *self._threads(CHANGERS, self._change_all),
        ]

    def stop(self) -> None:
        """Submit nothing more; what is under way is finished."""
        self._stopped.set()
        for thread in self._submitters:
            thread.join()

    def busy(self) -> bool:
        """Whether a job is open or a verb still to be said."""
        with self._lock:
            waiting = bool(self._due)
        with self._ledger.lock:
            changing = any(job.changing for job in self._ledger.jobs.values())
        return waiting or changing or bool(self._ledger.open_jobs())

    def close(self) -> None:
        self._stopped.set()
        self._closed.set()
        for thread in [*self._submitters, *self._others]:
            thread.join()

    def _threads(self, count: int, target: Callable[[], None]) -> list[threading.Thread]:
        def run() -> None:
            try:
                target()
            except Exception as error:
                self._findings.add("the harness failed", f"{target.__name__}: {error!r}")
                raise

        made = [threading.Thread(target=run, daemon=True) for _ in range(count)]
        for thread in made:
            thread.start()
        return made

    def _submit_all(self) -> None:
        while not self._stopped.is_set():
            if len(self._ledger.open_jobs()) >= self._settings.most_open:
                self._stopped.wait(0.1)
                continue
            with self._lock:
                number = next(self._numbers)
            self._submit(plan(self._settings.seed, number, self._settings.verbs))

    def _submit(self, submission: Plan) -> None:
        with self._ledger.lock:
            self._ledger.plans[submission.number] = submission
            self._ledger.counts["submissions"] += 1
            self._ledger.counts["submissions with a key"] += bool(submission.key)
        answers: list[Answer | None] = []
        if submission.again == "beside":
            twin = threading.Thread(target=lambda: answers.append(self._post(submission)))
            twin.start()
            answers.append(self._post(submission))
            twin.join()
        else:
            answers.append(self._post(submission))
            if submission.again == "after":
                answers.append(self._post(submission))
        accepted = []
        for answer in answers:
            if answer is None:
                continue
            if answer.lost:
                with self._ledger.lock:
                    self._ledger.ambiguous.add(submission.number)
            if answer.status in (200, 202):
                accepted.append(_request_ids(answer.response))
            elif 400 <= answer.status < 500 and submission.readable:
                self._findings.add(
                    "a good document was refused",
                    f"{submission.number}: {answer.status} {answer.response.text}",
                )
            elif 400 <= answer.status < 500:
                self._ledger.count("refused as expected")
        if len({tuple(ids) for ids in accepted}) > 1:
            self._findings.add("a key ran twice", f"{submission.key}: {accepted}")
        for ids in accepted:
            for job in self._ledger.accept(submission, ids)[:1]:
                if submission.verb in ("cancel", "delete"):
                    self._plan_verb(job, submission.verb)

    def _post(self, submission: Plan) -> Answer | None:
        headers = {}
        if submission.key:
            headers["Idempotency-Key"] = submission.key
        if submission.wait:
            headers["Prefer"] = f"wait={submission.wait}"
        # Of a GIF every frame, not only the first.
        options = {"pages": "all", **({"webhook_url": self._hook_url} if submission.hook else {})}
        if submission.web:
            name = submission.files[0].name
            url = f"{self._web_url}/{submission.web}/{submission.number}/{name}"
            body = {"url": url, **options}
            return self._client.request("POST", "/api/v1/jobs", headers=headers, json=body)
        files = [("file", (file.name, file.content())) for file in submission.files]
        return self._client.request(
            "POST", "/api/v1/jobs", headers=headers, files=files, data=options
        )

    def _plan_verb(self, job: Job, verb: str) -> None:
        with self._ledger.lock:
            job.changing = True
        with self._lock:
            at = time.monotonic() + job.plan.after
            heapq.heappush(self._due, (at, next(self._planned), verb, job))

    def _poll_all(self) -> None:
        while not self._closed.is_set():
            jobs = self._ledger.open_jobs()
            hinted = [job for job in jobs if job.hinted and not job.changing]
            if not hinted and jobs:
                with self._lock:
                    hinted = [self._source.choice(jobs)]
            for job in hinted[:1]:
                self._look(job)
            self._closed.wait(0 if len(hinted) > 1 else POLL_SECONDS * POLLERS)

    def _look(self, job: Job) -> None:
        answer = self._client.request("GET", f"/api/v1/jobs/{job.request_id}")
        if answer is None or job.changing or not job.open:
            return
        if answer.status != 200:
            self._findings.add(
                "an accepted job was not found",
                f"{job.request_id}: {answer.status} {answer.response.text}",
            )
            return
        body = answer.response.json()
        if body["status"] not in TERMINAL:
            return
        with self._ledger.lock:
            already = not job.open
        self._ledger.ended(job, body["status"])
        if already:
            return
        if job.plan.verb == "delete-ended" and job.file == job.plan.files[0]:
            self._plan_verb(job, "delete")
        elif job.plan.verb == "retry" and body["pages"]["failed"] and not job.retried:
            job.retried = True
            self._plan_verb(job, "retry")

    def _change_all(self) -> None:
        while not self._closed.is_set():
            with self._lock:
                ready = self._due and self._due[0][0] <= time.monotonic()
                found = heapq.heappop(self._due) if ready else None
            if found is None:
                self._closed.wait(0.1)
                continue
            _, _, verb, job = found
            try:
                {"cancel": self._cancel, "delete": self._delete, "retry": self._retry}[verb](job)
            finally:
                with self._ledger.lock:
                    job.changing = False

    def _cancel(self, job: Job) -> None:
        answer = self._client.request("POST", f"/api/v1/jobs/{job.request_id}/cancel")
        if answer is None:
            return
        if answer.status != 200:
            self._unexpected("cancel", job, answer)
        elif answer.response.json()["status"] == "cancelled":
            with self._ledger.lock:
                job.cancelled = True

    def _delete(self, job: Job) -> None:
        path = f"/api/v1/jobs/{job.request_id}"
        answer = self._client.request("DELETE", path)
        if answer is None:
            return
        # Asked again after a lost answer it may already be gone.
        if answer.status != 204 and not (answer.status == 410 and answer.lost):
            self._unexpected("delete", job, answer)
            return
        with self._ledger.lock:
            job.deleted = True
        answer = self._client.request("GET", path)
        if answer is not None and answer.status != 410:
            self._unexpected("get after delete", job, answer)

    def _retry(self, job: Job) -> None:
        answer = self._client.request("POST", f"/api/v1/jobs/{job.request_id}/retry")
        if answer is None:
            return
        # After a lost answer the retry may run, or be over.
        if answer.status != 202 and not (answer.status in (200, 409) and answer.lost):
            self._unexpected("retry", job, answer)
            return
        with self._ledger.lock:
            job.status, job.hinted = "", False

    def _unexpected(self, verb: str, job: Job, answer: Answer) -> None:
        self._findings.add(
            f"{verb} was answered {answer.status}", f"{job.request_id}: {answer.response.text}"
        )


def _request_ids(response: httpx.Response) -> list[str]:
    body = response.json()
    return [job["request_id"] for job in body["jobs"]] if "jobs" in body else [body["request_id"]]
