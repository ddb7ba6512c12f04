"""fal's run protocol, and what its other parts share: submitting, request IDs, errors.

Shapes: `casola_ocr.wire`. `sync_mode` of ``fal/ocr`` is ours: true waits for the text, false
answers with the queue protocol's object at once. The other endpoints always wait, as at fal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs, settings
from api.dialects.common import check_count, document_from_url, json_object, wait_for
from api.params import idempotency_key
from api.problems import add_headers
from api.serving import PING, data_event, event_stream
from casola_ocr.chunks import begun
from casola_ocr.errors import CasolaError, MalformedRequest, WaitTimeout
from casola_ocr.ids import new_request_id
from casola_ocr.jobs import Jobs, NewDocument
from casola_ocr.model import Job, Lane, Webhook
from casola_ocr.wire.fal_answers import failed_output, output, refusal
from casola_ocr.wire.fal_requests import ENDPOINTS, OCR, Asked, Endpoint, parse

blueprint = Blueprint("fal", __name__)
blueprint.before_request(authenticate)

#: Seconds in which the work has to begin; the second is what fal's clients send.
_START_HEADERS = ("X-Fal-Request-Start-Timeout", "X-Fal-Request-Timeout")
#: fal's shortest.
_MIN_START_SECONDS = 0.1

#: What a client may ask to be kept lives at least and at most so long.
MIN_KEPT_SECONDS, MAX_KEPT_SECONDS = 60, 365 * 86_400

#: Status, body and headers, as `refusal` makes them.
Refused = tuple[int, dict[str, Any], dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A request that was accepted; several documents are a batch, and its ID is the request's."""

    endpoint: Endpoint
    #: As of `Asked`.
    sync_mode: bool
    jobs: Sequence[Job]

    @property
    def request_id(self) -> str:
        return self.jobs[0].batch_id or self.jobs[0].request_id


def run(endpoint: Endpoint) -> ResponseReturnValue:
    if endpoint is not OCR:
        # Such a client can only wait: better to refuse than to accept what nobody asks about.
        jobs().check_seats(tenant())
    # The pictures in the body are not named here: they would be kept for as long as this waits.
    made = submit(parse(endpoint, json_object()))
    if endpoint is OCR and not made.sync_mode:
        return queued(made)
    ended = wait_for(made.jobs, settings().sync_timeout_seconds)
    if ended[-1].status.terminal:
        return answer(ended)
    if endpoint is OCR:
        return {"request_id": made.request_id, "status": ended[-1].status.value}, 202
    raise WaitTimeout(f"The request took too long; it goes on as {made.request_id} in the queue.")


for _endpoint in ENDPOINTS.values():
    blueprint.add_url_rule(
        f"/{_endpoint.name}",
        _endpoint.name.replace(".", "-"),
        run,
        methods=["POST"],
        defaults={"endpoint": _endpoint},
    )


@blueprint.post("/fal/ocr/stream")
def stream() -> ResponseReturnValue:
    """Each page as it is read, then the output; what fails at once has its own status."""
    jobs().check_seats(tenant())
    (job,) = submit(parse(OCR, json_object())).jobs
    parts = _outputs(jobs(), job, settings().sync_timeout_seconds)
    return event_stream(begun(parts))


def _outputs(verbs: Jobs, job: Job, seconds: float) -> Generator[bytes]:
    told = {"request_id": job.request_id}
    started = False
    try:
        for page in verbs.read_along(job, seconds=seconds):
            started = True
            if page is None:
                yield PING
                continue
            piece = {"page": page["page"], "text": page["text"]}
            yield data_event({**told, "status": "processing", **piece})
        yield data_event(output(verbs, [verbs.get(job.tenant, job.request_id)]))
    except CasolaError as error:
        if not started:
            raise
        yield data_event({**told, "status": "failed", **refusal(error)[1]})
    except GeneratorExit:
        # Nobody listens any more.
        verbs.cancel(job.tenant, job.request_id)
        raise


def submit(asked: Asked, webhook_url: str = "") -> Submitted:
    """Accept what is asked for, with what its headers wish."""
    check_count(len(asked.urls))
    several = len(asked.urls) > 1
    if webhook_url and several:
        raise MalformedRequest(
            "A webhook tells of one document: send one image in each request.",
            field="webhook_url",
            kind="feature_not_supported",
        )
    low = request.headers.get("X-Fal-Queue-Priority", "").lower() == "low"
    options = replace(
        asked.options,
        lane=Lane.BULK if low else Lane.INTERACTIVE,
        webhook=Webhook(webhook_url, "fal") if webhook_url else None,
        # Documents of a batch begin one after the other: a limit would be for the first alone.
        start_within=None if several else _start_seconds(),
        idempotency_key=idempotency_key(),
        expires_in=kept_seconds("X-Fal-Object-Lifecycle-Preference"),
    )
    made = jobs().submit(tenant(), [_document(asked, at) for at in range(len(asked.urls))], options)
    g.fal_where = asked.location(0)
    submitted = Submitted(endpoint=asked.endpoint, sync_mode=asked.sync_mode, jobs=made)
    g.fal_request_id = submitted.request_id
    return submitted


def queued(made: Submitted) -> ResponseReturnValue:
    """The queue protocol's object of a request that was accepted just now."""
    place = 0
    with suppress(CasolaError):
        # Accepted it is, whatever fails now.
        place = jobs().placed(made.jobs[0]).queue_position or 0
    told = {"status": "IN_QUEUE", "request_id": made.request_id, "queue_position": place}
    return {**told, **urls(made.endpoint.app, made.request_id)}


def answer(ended: Sequence[Job]) -> ResponseReturnValue:
    """The output of a request that has ended, or why there is none."""
    refused = failed_output(ended)
    return _refused(refused) if refused else output(jobs(), ended)


def urls(app: str, request_id: str) -> dict[str, str]:
    base = f"{request.host_url}queue/{app}/requests/{request_id}"
    return {
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
    }


@blueprint.after_request
def name_request(response: Response) -> Response:
    # fal's clients read it from every response; its absence makes one of them retry.
    response.headers["x-fal-request-id"] = g.setdefault("fal_request_id", new_request_id())
    return response


def failed(error: CasolaError) -> Response:
    """The error as fal answers it."""
    response = _refused(refusal(error, g.get("fal_where", ("image_url",))))
    add_headers(response, error)
    return name_request(response)


def _refused(refused: Refused) -> Response:
    status, body, headers = refused
    response = jsonify(body)
    response.status_code = status
    response.headers.update(headers)
    return response


def _document(asked: Asked, index: int) -> NewDocument:
    g.fal_where = asked.location(index)
    return document_from_url(asked.urls[index])


def kept_seconds(header: str) -> int | None:
    """How long the client wants something kept: JSON in a header, None where it does not say.

    Raises:
        MalformedRequest: the header is not what fal's clients send.
    """
    try:
        asked = json.loads(request.headers.get(header, "{}")).get("expiration_duration_seconds")
        return None if asked is None else min(max(int(asked), MIN_KEPT_SECONDS), MAX_KEPT_SECONDS)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise MalformedRequest(f"{header} is not what fal's clients send.") from error


def _start_seconds() -> float | None:
    for name in _START_HEADERS:
        if text := request.headers.get(name):
            try:
                seconds = float(text)
            except ValueError:
                seconds = math.nan
            if not _MIN_START_SECONDS <= seconds < math.inf:
                raise MalformedRequest(f"'{name}' is a number of seconds above 0.1.")
            return seconds
    return None
