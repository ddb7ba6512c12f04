"""Jobs that were submitted together."""

from __future__ import annotations

from collections import Counter

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api.auth import authenticate, tenant
from api.context import jobs, settings
from api.description import Answer, Description
from api.dialects.common import wait_for
from api.params import Look, sparse
from api.validation import asked
from casola_ocr import shapes
from casola_ocr.model import Batch, JobStatus
from casola_ocr.times import timestamp

blueprint = Blueprint("batches", __name__, url_prefix="/api/v1/batches")
blueprint.before_request(authenticate)


@blueprint.get("/<batch_id>")
@Description(
    "get_batch", query=Look, answers={200: Answer("The batch as it stands.", shapes.Batch)}
)
def get(batch_id: str) -> ResponseReturnValue:
    """Read a batch.

    `wait` waits until all of its jobs have ended.
    """
    look = asked(Look)
    batch = jobs().batch(tenant(), batch_id)
    seconds = min(look.wait, settings().sync_timeout_seconds)
    if seconds and not all(job.status.terminal for job in batch.jobs):
        wait_for(batch.jobs, seconds)
        batch = jobs().batch(tenant(), batch_id)
    return render(batch, look.fields)


@blueprint.delete("/<batch_id>")
@Description("delete_batch", answers={204: Answer("Nothing is left of it.")})
def delete(batch_id: str) -> ResponseReturnValue:
    """Delete every job of a batch.

    When it was interrupted, the same request goes on.
    """
    jobs().delete_batch(tenant(), batch_id)
    return "", 204


@blueprint.post("/<batch_id>/cancel")
@Description("cancel_batch", answers={200: Answer("The batch.", shapes.Batch)})
def cancel(batch_id: str) -> ResponseReturnValue:
    """Stop every job of a batch that has not ended."""
    return render(jobs().cancel_batch(tenant(), batch_id))


def render(batch: Batch, fields: frozenset[str] = frozenset()) -> shapes.Batch:
    """The public shape of a batch, its jobs with these fields only."""
    counted = Counter(job.status for job in batch.jobs)
    ended = all(job.status.terminal for job in batch.jobs)
    return {
        "batch_id": batch.batch_id,
        "status": "completed" if ended else "processing",
        "created_at": timestamp(batch.created_at),
        "counts": {
            "total": len(batch.jobs),
            "queued": counted[JobStatus.QUEUED],
            "processing": counted[JobStatus.PROCESSING],
            "completed": counted[JobStatus.COMPLETED],
            "failed": counted[JobStatus.FAILED],
            "cancelled": counted[JobStatus.CANCELLED],
        },
        "jobs": [sparse(job, fields) for job in batch.jobs],
    }
