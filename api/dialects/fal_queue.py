"""fal's queue protocol, under ``/queue``: submit, status, status stream, result, cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs
from api.dialects.common import json_object
from api.dialects.fal import answer, name_request, queued, submit, urls
from api.serving import PING, data_event, event_stream
from casola_ocr.errors import MalformedRequest, NotFound
from casola_ocr.ids import is_batch_id, is_request_id
from casola_ocr.jobs import Event
from casola_ocr.model import Job
from casola_ocr.wire import fal_answers
from casola_ocr.wire.fal_requests import APPS, ENDPOINTS, GOT, Endpoint, endpoint_of, parse

blueprint = Blueprint("fal_queue", __name__, url_prefix="/queue")
blueprint.before_request(authenticate)
blueprint.after_request(name_request)

#: A stream of statuses is ended after this long.
STREAM_SECONDS = 3600
_REQUEST = "/<owner>/<app>/requests/<request_id>"


def submit_to_queue(endpoint: Endpoint) -> ResponseReturnValue:
    asked = parse(endpoint, json_object())
    return queued(submit(asked, request.args.get("fal_webhook", "")))


for _endpoint in ENDPOINTS.values():
    blueprint.add_url_rule(
        f"/{_endpoint.name}",
        _endpoint.name.replace(".", "-"),
        submit_to_queue,
        methods=["POST"],
        defaults={"endpoint": _endpoint},
    )


@blueprint.get(f"{_REQUEST}/status")
def status(owner: str, app: str, request_id: str) -> ResponseReturnValue:
    found = _find(owner, app, request_id, jobs().look)
    code, told = fal_answers.status(
        [job.to_dict() for job in found], _logs(found) if _wants_logs() else []
    )
    return {**told, **_named(owner, app, request_id)}, code


@blueprint.get(f"{_REQUEST}/status/stream")
def stream(owner: str, app: str, request_id: str) -> ResponseReturnValue:
    found = _find(owner, app, request_id, jobs().get)
    ids = [job.request_id for job in found]
    events = jobs().events_of_many(tenant(), ids, seconds=STREAM_SECONDS)
    named, wants_logs = _named(owner, app, request_id), _wants_logs()
    return event_stream(_statuses(events, len(ids), named, wants_logs=wants_logs))


@blueprint.get(_REQUEST)
@blueprint.get(f"{_REQUEST}/response")
def result(owner: str, app: str, request_id: str) -> ResponseReturnValue:
    found = _find(owner, app, request_id, jobs().get)
    if not all(job.status.terminal for job in found):
        raise MalformedRequest("The request is still in progress.")
    return answer(found)


@blueprint.put(f"{_REQUEST}/cancel")
def cancel(owner: str, app: str, request_id: str) -> ResponseReturnValue:
    found = _find(owner, app, request_id, jobs().get)
    if all(job.status.terminal for job in found):
        return {"status": "ALREADY_COMPLETED"}, 400
    for job in found:
        jobs().cancel(tenant(), job.request_id)
    return {"status": "CANCELLATION_REQUESTED"}, 202


def _find(owner: str, app: str, request_id: str, verb: Callable[[str, str], Job]) -> list[Job]:
    """The documents of a request, each as the verb tells it."""
    if f"{owner}/{app}" not in APPS:
        raise NotFound("There is no such app.")
    if is_request_id(request_id):
        g.fal_request_id = request_id
        return [verb(tenant(), request_id)]
    made = jobs().batch(tenant(), request_id).jobs if is_batch_id(request_id) else ()
    if not made or endpoint_of(made[0].origin)[0] is not GOT:
        raise NotFound()
    g.fal_request_id = request_id
    return [verb(tenant(), job.request_id) for job in made]


def _wants_logs() -> bool:
    # One of fal's clients says 1 or 0, the other true or false.
    return request.args.get("logs", "").lower() in ("1", "true")


def _named(owner: str, app: str, request_id: str) -> dict[str, str]:
    return {"request_id": request_id, **urls(f"{owner}/{app}", request_id)}


def _logs(found: Sequence[Job]) -> list[dict[str, str]]:
    """Everything so far: a client that polls replaces what it had."""
    logs = []
    for job in found:
        if begun := fal_answers.started_log(job.to_dict()):
            told = jobs().pages_told(job.tenant, job.request_id)
            logs += [begun, *(fal_answers.page_log(page.data, page.at) for page in told)]
    return logs


def _statuses(
    events: Iterator[Event | None], count: int, named: dict[str, str], *, wants_logs: bool
) -> Iterator[bytes]:
    """A status whenever it changes, with the logs since the one before: a client adds them up."""
    told: dict[str, dict[str, Any]] = {}
    logs: list[dict[str, str]] = []
    for happened in events:
        if happened is None:
            yield PING
            continue
        name, data = happened.request_id, happened.data
        if happened.kind == "page":
            logs.append(fal_answers.page_log(data, happened.at))
            continue
        if happened.kind == "error":
            data = {**told[name], "status": "failed", "error": dict(data)}
        begun = fal_answers.started_log(data)
        if begun and not (name in told and told[name]["started_at"]):
            logs.insert(0, begun)
        told[name] = dict(data)
        if len(told) == count:
            _, made = fal_answers.status(list(told.values()), logs if wants_logs else [])
            if "logs" in made:
                logs = []
            yield data_event({**made, **named})
