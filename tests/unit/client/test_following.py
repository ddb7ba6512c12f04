"""A job is followed, and its pages come as they are done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from casola_ocr.client import Client, JobFailed, JobStatus, NotFound
from casola_ocr.errors import TooBusy
from casola_ocr.jobs import Event
from casola_ocr.model import JobError
from tests.api_stub import CONTENT
from tests.both_clients import Either
from tests.exported import failed, line, page
from tests.served import Served


def told(kind: Any, data: dict[str, Any], position: str = "") -> Event:
    return Event(kind=kind, request_id=data["request_id"], data=data, position=position)


def told_page(request_id: str, number: int, status: str = "done", position: str = "") -> Event:
    return told("page", {"request_id": request_id, "page": number, "status": status}, position)


def test_a_job_is_followed_to_its_end(client: Either, served: Served) -> None:
    jobs = served.world.jobs
    request_id = client.submit(CONTENT).request_id
    job = jobs.known[request_id]
    ended = jobs.ended(job, JobStatus.COMPLETED)
    jobs.happens = [
        told("progress", job.to_dict()),
        None,
        told_page(request_id, 2, "failed", "5-0"),
        told("finished", ended.to_dict(), "7-1"),
    ]
    progress, one, finished = client.follow(request_id)
    assert (progress.kind, progress.job.status) == ("progress", JobStatus.QUEUED)
    assert (one.kind, one.page, one.failed) == ("page", 2, True)
    assert (finished.kind, finished.job.status) == ("finished", JobStatus.COMPLETED)


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_ends_early_is_taken_up_where_it_was(
    client: Either, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = served.world.jobs
    request_id = client.submit(CONTENT).request_id
    ended = jobs.ended(jobs.known[request_id], JobStatus.COMPLETED)
    parts = iter(
        [
            [told_page(request_id, 1, position="5-0")],
            [told("finished", ended.to_dict(), "7-1")],
        ]
    )
    after = []

    def events(tenant: str, name: str, position: str = "", *, seconds: float) -> Any:
        after.append(position)
        return iter(next(parts))

    monkeypatch.setattr(jobs, "events", events)
    monkeypatch.setattr("casola_ocr.client.following.PAUSE_SECONDS", 0.01)
    assert [event.kind for event in client.follow(request_id)] == ["page", "progress", "finished"]
    assert after == ["", "5-0"]


def test_where_nobody_may_follow_the_job_is_looked_at(client: Either, served: Served) -> None:
    jobs = served.world.jobs
    request_id = client.submit(CONTENT).request_id

    def full(*args: Any, **named: Any) -> Any:
        jobs.known[request_id] = jobs.ended(jobs.known[request_id], JobStatus.COMPLETED)
        raise TooBusy()

    jobs.events = full  # type: ignore[method-assign]
    (event,) = client.follow(request_id)
    assert (event.kind, event.job.request_id) == ("finished", request_id)


def test_who_follows_a_job_that_is_deleted_is_told(client: Either, served: Served) -> None:
    request_id = client.submit(CONTENT).request_id
    gone = {"request_id": request_id, "code": "gone", "detail": "The job was deleted."}
    served.world.jobs.happens = [told("error", gone)]
    with pytest.raises(NotFound) as caught:
        client.follow(request_id)
    assert (caught.value.code, caught.value.status) == ("gone", 410)


def test_an_iterator_that_is_left_closes_its_connection(served: Served) -> None:
    client = Client(served.url)
    request_id = client.submit(CONTENT).request_id
    job = served.world.jobs.known[request_id]
    closed = threading.Event()

    def events(*args: Any, **named: Any) -> Iterator[Event | None]:
        try:
            while not closed.wait(0.01):
                yield told("progress", job.to_dict())
        finally:
            closed.set()

    served.world.jobs.events = events  # type: ignore[method-assign]
    with client:
        followed = client.follow(request_id)
        next(followed)
        followed.close()  # type: ignore[attr-defined]
        assert closed.wait(10)


def test_pages_come_as_they_are_done_and_none_twice_or_never(
    client: Either, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = served.world.jobs
    request_id = client.submit(CONTENT).request_id
    jobs.pages = [page(line("one")), page(line("two"), number=2), page(line("three"), number=3)]
    ended = jobs.ended(jobs.known[request_id], JobStatus.COMPLETED)
    ended = replace(ended, pages=replace(ended.pages, total=3, done=3))
    jobs.happens = [
        told_page(request_id, 2),
        told_page(request_id, 2),
        told("finished", ended.to_dict(), "7-1"),
    ]
    monkeypatch.setattr(jobs, "page", lambda tenant, name, number: jobs.pages[number - 1].to_json())
    found = client.pages(request_id)
    assert [(page.page, page.text) for page in found] == [(2, "two"), (1, "one"), (3, "three")]


def test_pages_of_an_ended_job_come_in_order_and_its_failure_is_told(
    client: Either, served: Served
) -> None:
    jobs = served.world.jobs
    request_id = client.submit(CONTENT).request_id
    jobs.pages = [failed(1), failed(2)]
    ended = jobs.ended(jobs.known[request_id], JobStatus.FAILED)
    error = JobError(code="no_page_read", detail="No page could be read.")
    counts = replace(ended.pages, total=2, failed=2)
    jobs.known[request_id] = replace(ended, error=error, pages=counts)
    with pytest.raises(JobFailed, match="No page could be read"):
        client.pages(request_id)
